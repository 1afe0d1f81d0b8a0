//! Names that begin and end as a pattern says: one try per shape that a directory's node has, in order.
//!
//! Only where no literal name leads on. A function of its own, because walks and kept directories both ask.

use core::ffi::{c_long, c_void};

use aya_ebpf::helpers::generated::bpf_loop;
use stayhand_agent_ebpf::{
    abi::{
        image::{EdgeKey, NODES_PER_SLOT, SHAPES_MAX, Shape},
        task::TaskState,
    },
    path::{and_hash, wild_hash},
};

use crate::{
    maps::{EDGES, NODES},
    walk::name_hash,
};

/// What [`wild_from`] says if it cannot be told: no node has this number.
pub const UNTOLD: u32 = u32::MAX;

/// What is tried. Nothing of it changes between rounds: what is found is in `Rounds`.
#[repr(C)]
struct Context {
    state: *mut TaskState,
    pointer: u64,
    len: u32,
    node: u32,
    slot: u32,
}

/// Node reached from `node` by the patterns that a name matches, 0 for none, or [`UNTOLD`].
#[inline(never)]
pub fn wild_from(state: *mut TaskState, slot: u32, node: u32, pointer: u64, len: u32) -> u32 {
    let mut context = Context {
        state,
        pointer,
        len,
        node,
        slot,
    };
    // SAFETY: the context outlives the loop; the state is live.
    unsafe {
        let rounds = &raw mut (*state).current.rounds;
        core::ptr::write_volatile(&raw mut (*rounds).wild, 0);
        bpf_loop(
            SHAPES_MAX as u32,
            one_shape as *mut c_void,
            (&raw mut context).cast(),
            0,
        );
        core::ptr::read_volatile(&raw const (*rounds).wild)
    }
}

/// One shape; 1 after the last one.
unsafe extern "C" fn one_shape(index: u64, context: *mut c_void) -> c_long {
    // SAFETY: the context is `wild_from`'s; the state is live.
    unsafe {
        let context = context.cast::<Context>();
        let wild = &raw mut (*(*context).state).current.rounds.wild;
        let Some(shape) = shape((*context).slot, (*context).node, index) else {
            return 1;
        };
        let (start, end) = (u32::from(shape.start) - 1, u32::from(shape.end));
        if (*context).len < start + end {
            return 0;
        }
        let found = core::ptr::read_volatile(wild);
        let next = step(context, shape, start, end, found);
        core::ptr::write_volatile(wild, next);
        c_long::from(next == UNTOLD)
    }
}

#[inline(always)]
fn shape(slot: u32, node: u32, index: u64) -> Option<Shape> {
    if node >= NODES_PER_SLOT || index >= SHAPES_MAX as u64 {
        return None;
    }
    let node = NODES.get_ptr(slot * NODES_PER_SLOT + node)?;
    // SAFETY: a live map value; the index is checked.
    let shape = unsafe { *(&raw const (*node).shapes).cast::<Shape>().add(index as usize) };
    (!shape.is_none()).then_some(shape)
}

/// Where the name leads with this shape, too.
#[inline(always)]
unsafe fn step(context: *const Context, shape: Shape, start: u32, end: u32, found: u32) -> u32 {
    // SAFETY: live by contract of `one_shape`.
    unsafe {
        let (state, pointer, len) = ((*context).state, (*context).pointer, (*context).len);
        let tail = pointer.wrapping_add(u64::from(len.wrapping_sub(end)));
        let (Some(before), Some(behind)) =
            (name_hash(state, pointer, start), name_hash(state, tail, end))
        else {
            return UNTOLD;
        };
        let single = edge(context, (*context).node, wild_hash(before, behind, shape));
        if single == 0 {
            return found;
        }
        if found == 0 {
            return single;
        }
        match edge(context, found, and_hash(single)) {
            0 => UNTOLD,
            both => both,
        }
    }
}

#[inline(always)]
unsafe fn edge(context: *const Context, node: u32, name_hash: u64) -> u32 {
    // SAFETY: live by contract of `one_shape`; the value is copied at once.
    unsafe {
        let slot = (*context).slot;
        let key = EdgeKey {
            name_hash,
            node,
            slot,
        };
        EDGES.get(key).map_or(0, |node| *node)
    }
}
