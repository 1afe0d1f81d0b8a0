//! `inode_unlink(struct inode *dir, struct dentry *dentry)` and `inode_rmdir`: a name goes away.

use aya_ebpf::{macros::lsm, programs::LsmContext};
use stayhand_agent_ebpf::abi::{
    code::{hook, op},
    task::TaskState,
};

use crate::{
    hooks::{act, judged, named},
    judge::{Begun, begin_at, judge},
    offsets::{Addr, OFF_DENTRY_INODE, load},
    walk::{collect, here, identity_here},
};

#[lsm(hook = "inode_unlink")]
pub fn inode_unlink(ctx: LsmContext) -> i32 {
    judged(&ctx, "inode_unlink", |state, task| {
        delete(state, task, ctx.arg(0), ctx.arg(1))
    })
}

#[lsm(hook = "inode_rmdir")]
pub fn inode_rmdir(ctx: LsmContext) -> i32 {
    judged(&ctx, "inode_rmdir", |state, task| {
        delete(state, task, ctx.arg(0), ctx.arg(1))
    })
}

#[inline(always)]
fn delete(state: *mut TaskState, task: Addr, directory: Addr, dentry: Addr) -> i32 {
    // SAFETY: typed hook arguments.
    let begun = unsafe { begin_at(state, hook::INODE_DELETE, op::DELETE, dentry, directory) };
    let Begun { scratch, subject } = match begun {
        Ok(begun) => begun,
        Err(verdict) => return verdict,
    };
    // SAFETY: typed hook arguments and an inode walked from them; what is deleted has one.
    unsafe {
        let inode: Addr = load(dentry, &OFF_DENTRY_INODE);
        if !inode.is_null() {
            (*scratch).current.object = identity_here(here(scratch), inode);
        }
        named(scratch, directory, dentry);
        let walked = collect(scratch, dentry, directory);
        judge(scratch, subject, walked);
    }
    act(scratch, task)
}
