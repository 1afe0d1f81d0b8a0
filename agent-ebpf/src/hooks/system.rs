//! What the hooks of `op::SYSTEM` share: what is asked of the kernel itself, or done to a process, has no object that
//! rules could name. One range of entries for all of them, and no walk.

use stayhand_agent_ebpf::abi::{
    code::hook,
    image::{NODES_PER_SLOT, Range, SYSTEM_NODE},
    task::{Current, Scratch, TaskState},
};

use crate::{
    hooks::{act, slot},
    judge::{Begun, begin, judge},
    maps::NODES,
    offsets::Addr,
};

/// Judges an attempt that `say` describes in the scratch; see `hook::SYSTEM` for where.
#[inline(always)]
pub fn attempt(
    state: *mut TaskState,
    task: Addr,
    op: u32,
    say: impl FnOnce(*mut Current, *mut Scratch),
) -> i32 {
    let Begun { scratch, subject } = match begin(state, hook::SYSTEM, op) {
        Ok(begun) => begun,
        Err(verdict) => return verdict,
    };
    // SAFETY: the scratch is live.
    let found = unsafe {
        say(&raw mut (*scratch).current, scratch);
        entries(scratch)
    };
    judge(scratch, subject, found);
    act(scratch, task)
}

/// Collects the entries that have no object; false if the image lacks them.
#[inline(always)]
unsafe fn entries(scratch: *mut Scratch) -> bool {
    // SAFETY: the scratch is live; the node is copied at once.
    unsafe {
        let Some(node) = NODES.get(slot(scratch) * NODES_PER_SLOT + SYSTEM_NODE) else {
            return false;
        };
        *(&raw mut (*scratch).ranges).cast::<Range>() = node.here;
        (*scratch).current.range_count = 1;
    }
    true
}
