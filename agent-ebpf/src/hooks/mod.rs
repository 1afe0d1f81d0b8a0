//! One file per hook: read the arguments, say what is attempted, act on the decision.

mod address;
mod attr;
mod bind;
mod by_capability;
mod capable;
mod connect;
mod create;
mod credentials;
mod delete;
mod exec;
mod kernel;
mod listen;
mod load;
mod make;
mod map;
mod mount;
mod move_mount;
mod netlink;
mod open;
mod process;
mod raw;
mod rename;
mod send;
mod system;
mod task;
mod unix;
mod verify;

use aya_ebpf::programs::LsmContext;
use stayhand_agent_ebpf::abi::{
    code::{class, reason, verdict},
    image::ACTIVE_SLOT_MASK,
    record::record_flag,
    task::{Said, TaskState, plan},
};

use crate::{
    answers::keep,
    emit::{reserve, submit},
    hold::{EPERM, RESTART, again, hold, open, plan},
    judge::{outcome, unruled},
    offsets::{Addr, OFF_DENTRY_NAME, OFF_DENTRY_NAME_LEN, load},
    trace::said,
    walk::{identity_here, name_hash},
    who::{Who, allowed, current_task, my_turn, who},
};

/// Judges what a guarded task is about to do: everybody else is let through, and refused if it cannot be told who
/// it is.
#[inline(always)]
fn judged(
    ctx: &LsmContext,
    hook: &'static str,
    attempt: impl FnOnce(*mut TaskState, Addr) -> i32,
) -> i32 {
    let task = current_task();
    match who(task) {
        Who::Pinned(state) if my_turn(state) => said(ctx, hook, attempt(state, task)),
        Who::Failed => EPERM,
        _ => 0,
    }
}

/// As [`judged`], for what need not pin anybody: where no rule of anybody is about it, it does not matter who asks, and
/// that is told by one load.
#[inline(always)]
fn judged_if_ruled(
    ctx: &LsmContext,
    hook: &'static str,
    ops: u32,
    attempt: impl FnOnce(*mut TaskState, Addr) -> i32,
) -> i32 {
    if unruled(ops) {
        return 0;
    }
    judged(ctx, hook, attempt)
}

/// Slot of the image that the attempt is judged on.
///
/// # Safety
/// `state` must be live.
#[inline(always)]
unsafe fn slot(state: *mut TaskState) -> u32 {
    // SAFETY: live by contract.
    unsafe { ((*state).current.active & ACTIVE_SLOT_MASK) as u32 }
}

/// Binds the attempt to the name that goes away or comes into being, and to its directory.
///
/// # Safety
/// Typed pointers, and a live state.
#[inline(always)]
unsafe fn named(state: *mut TaskState, directory: Addr, dentry: Addr) {
    // SAFETY: by contract.
    unsafe {
        let current = &raw mut (*state).current;
        (*current).other = identity_here(state, directory);
        let (pointer, len): (u64, u32) = (
            load(dentry, &OFF_DENTRY_NAME),
            load(dentry, &OFF_DENTRY_NAME_LEN),
        );
        match name_hash(state, pointer, len) {
            Some(hash) => (*current).name_hash = hash,
            None => (*current).unholdable = 1,
        }
    }
}

/// Carries out the decision in the state: plans, records once, returns.
#[inline(always)]
fn act(state: *mut TaskState, task: Addr) -> i32 {
    decided::<false>(state, task)
}

/// The same for what may be an execution.
#[inline(always)]
fn act_on_program(state: *mut TaskState, task: Addr) -> i32 {
    decided::<true>(state, task)
}

#[inline(always)]
fn decided<const PROGRAM: bool>(state: *mut TaskState, task: Addr) -> i32 {
    let (verdict, reason) = outcome(state);
    match verdict {
        verdict::ALLOWED => allow(state, reason),
        verdict::HELD => hold::<PROGRAM>(state, task),
        _ => plan(
            state,
            plan::DENY,
            Said {
                class: class::B as u32,
                verdict: verdict::DENIED,
                reason,
                flags: 0,
            },
        ),
    }
    carry_out(state, task)
}

#[inline(always)]
fn allow(state: *mut TaskState, reason: u32) {
    // SAFETY: the state is live.
    let recorded = unsafe { (*state).current.decision.recorded } != 0;
    if reason == reason::GRANT {
        plan(
            state,
            plan::GRANT,
            Said {
                class: class::A as u32,
                verdict: verdict::ALLOWED,
                reason,
                flags: 0,
            },
        );
    } else if reason == reason::DEFAULT || !recorded {
        plan(state, plan::GO_ON, Said::default());
    } else {
        let flags = if reason == reason::WOULD_HAVE {
            record_flag::MONITOR
        } else {
            0
        };
        plan(
            state,
            plan::OBSERVE,
            Said {
                class: class::C as u32,
                verdict: verdict::ALLOWED,
                reason,
                flags,
            },
        );
    }
}

/// The one place where records are reserved and filled.
#[inline(always)]
fn carry_out(state: *mut TaskState, task: Addr) -> i32 {
    // SAFETY: the state is live. Volatile: see `plan`.
    let (what, class) = unsafe {
        (
            core::ptr::read_volatile(&raw const (*state).current.plan),
            core::ptr::read_volatile(&raw const (*state).current.said.class),
        )
    };
    match what {
        plan::GO_ON => return allowed(state),
        plan::STOPPED => return RESTART,
        _ => {}
    }
    let Some(room) = reserve(class) else {
        return if what == plan::OBSERVE {
            allowed(state)
        } else {
            EPERM
        };
    };
    if what == plan::OPEN {
        open(state, task);
    }
    submit(state, room);
    if what == plan::APPROVED {
        keep(state);
    }
    if what == plan::AGAIN {
        return if again() { RESTART } else { EPERM };
    }
    // SAFETY: the state is live.
    match unsafe { core::ptr::read_volatile(&raw const (*state).current.said.verdict) } {
        verdict::ALLOWED => allowed(state),
        verdict::HELD => RESTART,
        _ => EPERM,
    }
}
