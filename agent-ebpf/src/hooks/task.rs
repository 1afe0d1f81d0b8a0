//! `task_alloc(struct task_struct *task, unsigned long clone_flags)`: a new task inherits the pin. If its
//! state cannot be made, there is no new task.

use aya_ebpf::{macros::lsm, programs::LsmContext};
use stayhand_agent_ebpf::abi::{code::counter, task::pin};

use crate::{
    lineage::forked,
    maps::{count, task_state, task_state_or_new},
    offsets::Addr,
    trace::said,
    who::{Who, cookie, current_task, who},
};

/// `CLONE_THREAD` (include/uapi/linux/sched.h)
const CLONE_THREAD: u64 = 0x0001_0000;
const ENOMEM: i32 = 12;

#[lsm(hook = "task_alloc")]
pub fn task_alloc(ctx: LsmContext) -> i32 {
    let parent = match who(current_task()) {
        Who::Pinned(state) => state,
        Who::Failed => return -ENOMEM,
        Who::Unguarded | Who::Agent => return 0,
    };
    let child: Addr = ctx.arg(0);
    let flags: u64 = ctx.arg(1);
    // SAFETY: typed hook argument.
    if unsafe { !task_state(child).is_null() } {
        return 0; // a newer program has done it
    }
    let state = task_state_or_new(child);
    if state.is_null() {
        count(counter::STORAGE_FAILED);
        return -ENOMEM;
    }
    let cookie = cookie();
    let thread = flags & CLONE_THREAD != 0;
    // SAFETY: both states are live and checked for null; the child does not run yet.
    unsafe {
        (*state).auid = (*parent).auid;
        (*state).session = (*parent).session;
        (*state).task_cookie = cookie;
        (*state).process_cookie = if thread {
            (*parent).process_cookie
        } else {
            cookie
        };
        // An image says the same of both.
        (*state).subject_of = (*parent).subject_of;
        (*state).subject_changes = (*parent).subject_changes;
        (*state).subject = (*parent).subject;
        forked(state, parent, thread);
        (*state).pin = pin::LOGIN;
    }
    said(&ctx, "task_alloc", 0)
}
