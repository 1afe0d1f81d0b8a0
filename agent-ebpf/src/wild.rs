//! Names that begin and end as a pattern says: one try per shape that a directory's node has, in order.
//!
//! Only where no literal name leads on. A function of its own, because walks and kept directories both ask.

use core::ffi::{c_long, c_void};

use aya_ebpf::helpers::generated::bpf_loop;
use stayhand_agent_ebpf::{
    abi::{
        image::{EdgeKey, NODES_PER_SLOT, SHAPES_MAX, Shape},
        task::{Scratch, Tried},
    },
    path::{and_hash, wild_hash},
};

use crate::{
    maps::{EDGES, NODES},
    walk::name_hash,
};

/// What [`wild_from`] says if it cannot be told: no node has this number.
pub const UNTOLD: u32 = u32::MAX;

/// What is tried is in `Rounds`: the stack is deep here, and has no room.
#[repr(C)]
struct Context {
    scratch: *mut Scratch,
}

/// Node reached from `node` by the patterns that a name matches, 0 for none, or [`UNTOLD`].
#[inline(never)]
pub fn wild_from(scratch: *mut Scratch, slot: u32, node: u32, pointer: u64, len: u32) -> u32 {
    let mut context = Context { scratch };
    // SAFETY: the context outlives the loop; the scratch is live.
    unsafe {
        let tried = &raw mut (*scratch).current.rounds.wild;
        core::ptr::write_volatile(&raw mut (*tried).pointer, pointer);
        core::ptr::write_volatile(&raw mut (*tried).len, len);
        core::ptr::write_volatile(&raw mut (*tried).node, node);
        core::ptr::write_volatile(&raw mut (*tried).slot, slot);
        core::ptr::write_volatile(&raw mut (*tried).found, 0);
        bpf_loop(
            SHAPES_MAX as u32,
            one_shape as *mut c_void,
            (&raw mut context).cast(),
            0,
        );
        core::ptr::read_volatile(&raw const (*tried).found)
    }
}

/// One shape; 1 after the last one.
unsafe extern "C" fn one_shape(index: u64, context: *mut c_void) -> c_long {
    // SAFETY: the context is `wild_from`'s; the scratch is live.
    unsafe {
        let scratch = (*context.cast::<Context>()).scratch;
        let tried = &raw mut (*scratch).current.rounds.wild;
        let Some(shape) = shape(tried, index) else {
            return 1;
        };
        let (start, end) = (u32::from(shape.start) - 1, u32::from(shape.end));
        if (*tried).len < start + end {
            return 0;
        }
        let Some(before) = name_hash(scratch, (*tried).pointer, start) else {
            (*tried).found = UNTOLD;
            return 1;
        };
        core::ptr::write_volatile(&raw mut (*tried).start, before);
        let tail = (*tried).pointer + u64::from((*tried).len - end);
        let Some(behind) = name_hash(scratch, tail, end) else {
            (*tried).found = UNTOLD;
            return 1;
        };
        let before = core::ptr::read_volatile(&raw const (*tried).start);
        lead(tried, wild_hash(before, behind, shape))
    }
}

#[inline(always)]
unsafe fn shape(tried: *const Tried, index: u64) -> Option<Shape> {
    // SAFETY: live by contract of `one_shape`; a live map value; the index is checked.
    unsafe {
        if (*tried).node >= NODES_PER_SLOT || index >= SHAPES_MAX as u64 {
            return None;
        }
        let node = NODES.get_ptr((*tried).slot * NODES_PER_SLOT + (*tried).node)?;
        let shape = *(&raw const (*node).shapes)
            .cast::<Shape>()
            .add(index as usize);
        (!shape.is_none()).then_some(shape)
    }
}

/// Where the name leads with one more pattern, if it matches it; 1 if that cannot be told.
#[inline(always)]
unsafe fn lead(tried: *mut Tried, hash: u64) -> c_long {
    // SAFETY: live by contract of `one_shape`.
    unsafe {
        let single = edge(tried, (*tried).node, hash);
        if single == 0 {
            return 0;
        }
        let found = core::ptr::read_volatile(&raw const (*tried).found);
        let both = if found == 0 {
            single
        } else {
            edge(tried, found, and_hash(single))
        };
        if both == 0 {
            (*tried).found = UNTOLD;
            return 1;
        }
        (*tried).found = both;
    }
    0
}

#[inline(always)]
unsafe fn edge(tried: *const Tried, node: u32, name_hash: u64) -> u32 {
    // SAFETY: live by contract of `one_shape`; the value is copied at once.
    unsafe {
        let slot = (*tried).slot;
        let key = EdgeKey {
            name_hash,
            node,
            slot,
        };
        EDGES.get(key).map_or(0, |node| *node)
    }
}
