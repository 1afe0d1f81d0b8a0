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
    image::{ACTIVE_SLOT_MASK, entry_flag},
    record::record_flag,
    task::{Said, Scratch, TaskState, plan},
};

use crate::{
    answers::keep,
    emit::{reserve, submit},
    hold::{EPERM, RESTART, again, hold, open, plan},
    judge::{outcome, unruled},
    offsets::{Addr, OFF_DENTRY_NAME, OFF_DENTRY_NAME_LEN, load},
    trace::said,
    walk::{here, identity_here, name_hash},
    who::{Who, concluded, current_task, my_turn, who},
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
    judged_of(ctx, hook, task, who(task), attempt)
}

/// The same, of whom the caller knows who it is.
#[inline(always)]
fn judged_of(
    ctx: &LsmContext,
    hook: &'static str,
    task: Addr,
    who: Who,
    attempt: impl FnOnce(*mut TaskState, Addr) -> i32,
) -> i32 {
    match who {
        Who::Pinned(state) if my_turn(state) => {
            said(ctx, hook, concluded(state, attempt(state, task)))
        }
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
/// `scratch` must be live.
#[inline(always)]
unsafe fn slot(scratch: *mut Scratch) -> u32 {
    // SAFETY: live by contract.
    unsafe { ((*scratch).current.here.active & ACTIVE_SLOT_MASK) as u32 }
}

/// Binds the attempt to the name that goes away or comes into being, and to its directory.
///
/// # Safety
/// Typed pointers, and a live scratch.
#[inline(always)]
unsafe fn named(scratch: *mut Scratch, directory: Addr, dentry: Addr) {
    // SAFETY: by contract.
    unsafe {
        let current = &raw mut (*scratch).current;
        (*current).other = identity_here(here(scratch), directory);
        let (pointer, len): (u64, u32) = (
            load(dentry, &OFF_DENTRY_NAME),
            load(dentry, &OFF_DENTRY_NAME_LEN),
        );
        match name_hash(scratch, pointer, len) {
            Some(hash) => (*current).name_hash = hash,
            None => (*current).unholdable = 1,
        }
    }
}

/// Carries out the decision in the scratch: plans, records once, returns.
#[inline(always)]
fn act(scratch: *mut Scratch, task: Addr) -> i32 {
    decided::<false>(scratch, task)
}

/// The same for what may be an execution.
#[inline(always)]
fn act_on_program(scratch: *mut Scratch, task: Addr) -> i32 {
    decided::<true>(scratch, task)
}

#[inline(always)]
fn decided<const PROGRAM: bool>(scratch: *mut Scratch, task: Addr) -> i32 {
    let (verdict, reason) = outcome(scratch);
    match verdict {
        verdict::ALLOWED => allow(scratch, reason),
        verdict::HELD => hold::<PROGRAM>(scratch, task),
        _ => plan(
            scratch,
            plan::DENY,
            Said {
                class: class::B as u32,
                verdict: verdict::DENIED,
                reason,
                flags: 0,
            },
        ),
    }
    carry_out(scratch, task)
}

#[inline(always)]
fn allow(scratch: *mut Scratch, reason: u32) {
    // SAFETY: the scratch is live.
    let recorded = unsafe { (*scratch).current.decision.recorded } != 0;
    if reason == reason::GRANT {
        plan(
            scratch,
            plan::GRANT,
            Said {
                class: class::A as u32,
                verdict: verdict::ALLOWED,
                reason,
                flags: 0,
            },
        );
    } else if reason == reason::DEFAULT || !recorded {
        plan(scratch, plan::GO_ON, Said::default());
    } else {
        let flags = if reason == reason::WOULD_HAVE {
            record_flag::MONITOR
        } else {
            0
        };
        plan(
            scratch,
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

/// Whether everything that a grant was needed for says that it goes on without a record. The loss is counted.
#[inline(always)]
fn goes_on_unrecorded(scratch: *mut Scratch) -> bool {
    // SAFETY: the scratch is live.
    let on_loss = unsafe { (*scratch).current.decision.on_loss };
    on_loss & u32::from(entry_flag::GOES_ON_UNRECORDED) != 0
}

/// The one place where records are reserved and filled.
#[inline(always)]
fn carry_out(scratch: *mut Scratch, task: Addr) -> i32 {
    // SAFETY: the scratch is live. Volatile: see `plan`.
    let (what, class) = unsafe {
        (
            core::ptr::read_volatile(&raw const (*scratch).current.plan),
            core::ptr::read_volatile(&raw const (*scratch).current.said.class),
        )
    };
    match what {
        plan::GO_ON => return 0,
        plan::STOPPED => return RESTART,
        _ => {}
    }
    let Some(room) = reserve(class) else {
        return match what {
            plan::OBSERVE => 0,
            plan::GRANT if goes_on_unrecorded(scratch) => 0,
            _ => EPERM,
        };
    };
    if what == plan::OPEN {
        open(scratch, task);
    }
    submit(scratch, room);
    if what == plan::APPROVED {
        keep(scratch);
    }
    if what == plan::AGAIN {
        return if again() { RESTART } else { EPERM };
    }
    // SAFETY: the scratch is live.
    match unsafe { core::ptr::read_volatile(&raw const (*scratch).current.said.verdict) } {
        verdict::ALLOWED => 0,
        verdict::HELD => RESTART,
        _ => EPERM,
    }
}
