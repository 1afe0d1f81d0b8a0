//! What the hooks of `op::SYSTEM` share: what is asked of the kernel itself, or done to a process, has no object that
//! rules could name. One range of entries for all of them, and no walk.

use stayhand_agent_ebpf::abi::{
    code::hook,
    image::{NODES_PER_SLOT, Range, SYSTEM_NODE},
    task::{Current, TaskState},
};

use crate::{
    hooks::{act, slot},
    judge::{begin, judge},
    maps::NODES,
    offsets::Addr,
};

/// Judges an attempt that `say` describes in the state; see `hook::SYSTEM` for where.
#[inline(always)]
pub fn attempt(state: *mut TaskState, task: Addr, op: u32, say: impl FnOnce(*mut Current)) -> i32 {
    let Some(subject) = begin(state, hook::SYSTEM, op) else {
        return 0;
    };
    // SAFETY: the state is live.
    let found = unsafe {
        say(&raw mut (*state).current);
        entries(state)
    };
    judge(state, subject, found);
    act(state, task)
}

/// Collects the entries that have no object; false if the image lacks them.
#[inline(always)]
unsafe fn entries(state: *mut TaskState) -> bool {
    // SAFETY: the state is live; the node is copied at once.
    unsafe {
        let Some(node) = NODES.get(slot(state) * NODES_PER_SLOT + SYSTEM_NODE) else {
            return false;
        };
        *(&raw mut (*state).ranges).cast::<Range>() = node.here;
        (*state).current.range_count = 1;
    }
    true
}
