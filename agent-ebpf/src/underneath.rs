//! The walk of a file that is opened under another file system's name: from its inode to its own dentry, and up.
//!
//! Up to Linux 6.7 overlayfs opens the real file with the path above it; the real dentry is reached only through the
//! inode's list of names, as an address that the verifier does not type. So everything here is read by a checked
//! helper, in kernel loops whose state is in the task's scratch (see ARCHITECTURE.md). A file with several names is
//! judged by one of them.

use core::ffi::{c_long, c_void};

use aya_ebpf::helpers::generated::bpf_loop;
use stayhand_agent_ebpf::abi::{
    image::{ACTIVE_SLOT_MASK, LabelKey},
    task::{DEPTH_MAX, Level, Scratch},
};

use crate::{
    maps::LABELS,
    offsets::{
        Addr, OFF_DENTRY_ALIAS, OFF_DENTRY_INODE, OFF_DENTRY_NAME, OFF_DENTRY_NAME_LEN,
        OFF_DENTRY_PARENT, OFF_DENTRY_SEQ, OFF_INODE_ALIASES, OFF_INODE_GENERATION, OFF_INODE_INO,
        load, peek,
    },
    walk::may_be_labelled,
};

type Callback = unsafe extern "C" fn(u64, *mut c_void) -> c_long;

#[repr(C)]
struct Context {
    scratch: *mut Scratch,
}

/// The way up from the first name of `inode` on its own file system, which was noted and has this root.
///
/// # Safety
/// `inode` must be a typed inode pointer and the scratch live.
#[inline(never)]
pub unsafe fn climb(scratch: *mut Scratch, inode: Addr, root: Addr) -> bool {
    // SAFETY: by contract.
    unsafe {
        let rounds = &raw mut (*scratch).current.rounds;
        // Through memory: what is read back is a number, with which the verifier lets us reckon.
        core::ptr::write_volatile((&raw mut (*rounds).vectors[0]).cast::<Addr>(), root);
        core::ptr::write_volatile(
            &raw mut (*rounds).vectors[1],
            load(inode, &OFF_INODE_ALIASES),
        );
        if (*rounds).vectors[1] == 0 {
            return false;
        }
        walk(scratch, one_level)
    }
}

/// Whether no dentry on that way changed.
///
/// # Safety
/// After [`climb`], with the same scratch.
#[inline(never)]
pub unsafe fn unchanged(scratch: *mut Scratch) -> bool {
    // SAFETY: by contract.
    unsafe { walk(scratch, one_comparison) }
}

/// Runs `each` on every dentry from the first name up to the root; false if the root is not reached in time.
#[inline(always)]
unsafe fn walk(scratch: *mut Scratch, each: Callback) -> bool {
    let mut context = Context { scratch };
    // SAFETY: the context outlives the loop; the scratch is live by contract.
    unsafe {
        let rounds = &raw mut (*scratch).current.rounds;
        (*rounds).at = (*rounds).vectors[1].wrapping_sub(u64::from(OFF_DENTRY_ALIAS.load()));
        (*rounds).ended = 0;
        bpf_loop(
            DEPTH_MAX as u32,
            each as *mut c_void,
            (&raw mut context).cast(),
            0,
        );
        core::ptr::read_volatile(&raw const (*rounds).ended) != 0
    }
}

unsafe extern "C" fn one_level(index: u64, context: *mut c_void) -> c_long {
    // SAFETY: the context is `walk`'s; the scratch is live.
    unsafe {
        let scratch = (*context.cast::<Context>()).scratch;
        // Without an answer the loop has not ended, which fails the walk.
        c_long::from(read_level(scratch, index).unwrap_or(true))
    }
}

/// One dentry into its level; whether that was the last one.
#[inline(always)]
unsafe fn read_level(scratch: *mut Scratch, index: u64) -> Option<bool> {
    if index >= DEPTH_MAX as u64 {
        return None;
    }
    // SAFETY: index checked; live by contract.
    unsafe {
        let level = (&raw mut (*scratch).levels)
            .cast::<Level>()
            .add(index as usize);
        let at = (*scratch).current.rounds.at;
        (*level).seq = peek(at, &OFF_DENTRY_SEQ)?;
        (*level).name_ptr = peek(at, &OFF_DENTRY_NAME)?;
        (*level).name_len = peek(at, &OFF_DENTRY_NAME_LEN)?;
        let inode: u64 = peek(at, &OFF_DENTRY_INODE)?;
        (*level).label = if inode == 0 {
            0
        } else {
            label(scratch, inode)?
        };
        let parent: u64 = peek(at, &OFF_DENTRY_PARENT)?;
        if parent != at {
            (*scratch).current.rounds.at = parent;
            return Some(false);
        }
        (*scratch).current.depth = index as u32 + 1;
        (*scratch).current.rounds.ended = u32::from(at == (*scratch).current.rounds.vectors[0]);
        Some(true)
    }
}

#[inline(always)]
unsafe fn label(scratch: *mut Scratch, inode: u64) -> Option<u32> {
    // SAFETY: live by contract; the label is copied at once.
    unsafe {
        let key = LabelKey {
            ino: peek(inode, &OFF_INODE_INO)?,
            dev: (*scratch).current.here.dev,
            igen: peek(inode, &OFF_INODE_GENERATION)?,
            slot: ((*scratch).current.here.active & ACTIVE_SLOT_MASK) as u32,
            pad: 0,
        };
        if !may_be_labelled(&key) {
            return Some(0);
        }
        Some(LABELS.get(key).map_or(0, |label| label.node))
    }
}

/// The second look: whether a dentry on the way was renamed meanwhile ends the loop early, and so the walk.
unsafe extern "C" fn one_comparison(index: u64, context: *mut c_void) -> c_long {
    // SAFETY: the context is `walk`'s; the scratch is live.
    unsafe {
        let scratch = (*context.cast::<Context>()).scratch;
        c_long::from(compare_level(scratch, index).unwrap_or(true))
    }
}

#[inline(always)]
unsafe fn compare_level(scratch: *mut Scratch, index: u64) -> Option<bool> {
    if index >= DEPTH_MAX as u64 {
        return None;
    }
    // SAFETY: index checked; live by contract.
    unsafe {
        let level = (&raw const (*scratch).levels)
            .cast::<Level>()
            .add(index as usize);
        let at = (*scratch).current.rounds.at;
        let seq: u32 = peek(at, &OFF_DENTRY_SEQ)?;
        if seq != (*level).seq || seq & 1 != 0 {
            return None;
        }
        let parent: u64 = peek(at, &OFF_DENTRY_PARENT)?;
        if parent != at {
            (*scratch).current.rounds.at = parent;
            return Some(false);
        }
        (*scratch).current.rounds.ended = 1;
        Some(true)
    }
}
