//! One file per hook: read the arguments, say what is attempted, act on the decision.

mod capable;
mod connect;
mod create;
mod exec;
mod open;
mod task;

use stayhand_agent_ebpf::abi::{
    code::{class, reason, verdict},
    record::record_flag,
    task::{Said, TaskState, plan},
};

use crate::{
    answers::keep,
    emit::{reserve, submit},
    hold::{EPERM, RESTART, again, hold, open, plan},
    judge::outcome,
    offsets::Addr,
    who::allowed,
};

/// Carries out the decision in the state: plans, records once, returns.
#[inline(always)]
fn act(state: *mut TaskState, task: Addr) -> i32 {
    let (verdict, reason) = outcome(state);
    match verdict {
        verdict::ALLOWED => allow(state, reason),
        verdict::HELD => hold(state, task),
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
