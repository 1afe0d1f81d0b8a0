//! `task_fix_setuid` and `task_fix_setgid(struct cred *new, const struct cred *old, int flags)`: a call that makes its
//! caller root, and a daemon's that makes it a service's user. A program that is set-uid does so by its execution, which rules
//! on it restrict.

use aya_ebpf::{Global, macros::lsm, programs::LsmContext};
use stayhand_agent_ebpf::abi::code::{op, request};

use super::system::attempt;
use crate::{
    hold::EPERM,
    hooks::judged,
    offsets::{
        Addr, OFF_CRED_EGID, OFF_CRED_EUID, OFF_CRED_FSGID, OFF_CRED_FSUID, OFF_CRED_UID, load,
    },
    who::{Who, current_task, serving, who},
};

#[lsm(hook = "task_fix_setuid")]
pub fn task_fix_setuid(ctx: LsmContext) -> i32 {
    if !becomes_root(&ctx, &OFF_CRED_EUID, &OFF_CRED_FSUID) {
        return becomes_service(&ctx);
    }
    gain(&ctx, "task_fix_setuid", request::USER_ID)
}

#[lsm(hook = "task_fix_setgid")]
pub fn task_fix_setgid(ctx: LsmContext) -> i32 {
    if !becomes_root(&ctx, &OFF_CRED_EGID, &OFF_CRED_FSGID) {
        return 0;
    }
    gain(&ctx, "task_fix_setgid", request::GROUP_ID)
}

/// Whether an id with which the kernel judges the caller turns 0: the real and the saved one give no right before they
/// are made the effective one.
#[inline(always)]
fn becomes_root(ctx: &LsmContext, effective: &Global<u32>, files: &Global<u32>) -> bool {
    let (new, old): (Addr, Addr) = (ctx.arg(0), ctx.arg(1));
    let turns = |id: &Global<u32>| {
        // SAFETY: typed hook arguments.
        unsafe { load::<u32>(new, id) == 0 && load::<u32>(old, id) != 0 }
    };
    turns(effective) || turns(files)
}

/// Pins whoever takes a service's user on, or has it. By the real user id: a daemon that logs people in changes the effective
/// one for a moment, and is no service for that.
#[inline(always)]
fn becomes_service(ctx: &LsmContext) -> i32 {
    let new: Addr = ctx.arg(0);
    // SAFETY: typed hook argument.
    let uid: u32 = unsafe { load(new, &OFF_CRED_UID) };
    let task = current_task();
    // Written so that every way out is a number of its own: made of a comparison, it is one that newer kernels do not accept.
    match who(task) {
        Who::Unguarded => match serving(task, uid) {
            Who::Failed => EPERM,
            _ => 0,
        },
        _ => 0,
    }
}

#[inline(always)]
fn gain(ctx: &LsmContext, hook: &'static str, what: u64) -> i32 {
    judged(ctx, hook, |state, task| {
        attempt(state, task, op::SETUID, |current, _| {
            // SAFETY: live scratch.
            unsafe { (*current).object.ino = what };
        })
    })
}
