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
    task::TaskState,
};

use crate::{
    emit::{Said, emit},
    hold::{EPERM, Held, RESTART, hold},
    judge::outcome,
    offsets::Addr,
    who::allowed,
};

/// Carries out the decision in the state: records what is recorded and yields what the hook returns.
#[inline(always)]
fn act(state: *mut TaskState, task: Addr) -> i32 {
    let (verdict, reason) = outcome(state);
    match verdict {
        verdict::ALLOWED => allow(state, reason),
        verdict::HELD => match hold(state, task) {
            Held::GoOn => allowed(state),
            Held::Stopped => RESTART,
            Held::Denied => EPERM,
        },
        _ => {
            let _counted_if_lost = emit(state, Said { class: class::B, verdict: verdict::DENIED, reason, flags: 0 });
            EPERM
        }
    }
}

/// An allowed action. Under a grant it goes on only with its record.
#[inline(always)]
fn allow(state: *mut TaskState, reason: u32) -> i32 {
    // SAFETY: the state is live.
    let recorded = unsafe { (*state).current.decision.recorded } != 0;
    match reason {
        reason::GRANT => {
            if !emit(state, Said { class: class::A, verdict: verdict::ALLOWED, reason, flags: 0 }) {
                let said = Said { class: class::B, verdict: verdict::DENIED, reason: reason::NO_RECORD, flags: 0 };
                let _counted_if_lost = emit(state, said);
                return EPERM;
            }
        }
        reason::DEFAULT => {}
        _ if recorded => {
            let flags = if reason == reason::WOULD_HAVE { record_flag::MONITOR } else { 0 };
            let _counted_if_lost = emit(state, Said { class: class::C, verdict: verdict::ALLOWED, reason, flags });
        }
        _ => {}
    }
    allowed(state)
}
