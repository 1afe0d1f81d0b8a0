//! `inode_create(struct inode *dir, struct dentry *dentry, umode_t mode)`: a new regular file. Judges the
//! creation and the open that the same call will make as one question.

use aya_ebpf::{macros::lsm, programs::LsmContext};
use stayhand_agent_ebpf::abi::{
    code::{hook, op},
    image::ACTIVE_SLOT_MASK,
    task::TaskState,
};

use crate::{
    hold::EPERM,
    hooks::act,
    judge::{begin, judge},
    offsets::{Addr, OFF_DENTRY_NAME, OFF_DENTRY_NAME_LEN, load},
    trace::said,
    walk::{collect, identity, name_hash},
    who::{Who, current_task, my_turn, who},
};

#[lsm(hook = "inode_create")]
pub fn inode_create(ctx: LsmContext) -> i32 {
    let task = current_task();
    match who(task) {
        Who::Pinned(state) if my_turn(state) => said(
            &ctx,
            "inode_create",
            judged(state, task, ctx.arg(0), ctx.arg(1)),
        ),
        Who::Failed => EPERM,
        _ => 0,
    }
}

#[inline(always)]
fn judged(state: *mut TaskState, task: Addr, directory: Addr, dentry: Addr) -> i32 {
    let Some(subject) = begin(state, hook::INODE_CREATE, op::CREATE | op::WRITE, 0) else {
        return 0;
    };
    // SAFETY: typed hook arguments; the state is live and its first level was just walked.
    let verdict = unsafe {
        let current = &raw mut (*state).current;
        (*current).object = identity(directory, ((*current).active & ACTIVE_SLOT_MASK) as u32);
        (*current).content = [0; 4];
        (*current).dest_addr = [0; 16];
        let (pointer, len): (u64, u32) = (
            load(dentry, &OFF_DENTRY_NAME),
            load(dentry, &OFF_DENTRY_NAME_LEN),
        );
        let Some(hash) = name_hash(state, pointer, len) else {
            return EPERM;
        };
        (*current).name_hash = hash;
        let walked = collect(state, dentry, directory);
        judge(state, subject, walked);
        act(state, task)
    };
    if verdict == 0 {
        // SAFETY: the state is live.
        unsafe {
            (*state).created_in = (*state).current.object;
            (*state).created_name_hash = (*state).current.name_hash;
        }
        return 0;
    }
    verdict
}
