//! `capable(const struct cred *cred, struct user_namespace *ns, int cap, unsigned int opts)`: a guarded subject
//! never has the capability that rewrites login uids and audit rules. Other capabilities tell of actions that no other
//! hook tells of.

use aya_ebpf::{macros::lsm, programs::LsmContext};
use stayhand_agent_ebpf::{
    abi::{
        code::{class, hook, reason, verdict},
        image::ACTIVE_IMAGE,
        task::{Said, TaskState, plan},
    },
    decide::{Attempt, unjudged},
};

use super::by_capability;
use crate::{
    emit::{reserve, submit},
    hold::{EPERM, plan},
    judge::{guarded, stamp},
    maps::ACTIVE,
    trace::said,
    who::{Who, current_task, scratch_of, who},
};

/// `CAP_AUDIT_CONTROL` (include/uapi/linux/capability.h)
const CAP_AUDIT_CONTROL: u32 = 30;
/// `CAP_OPT_NOAUDIT` (include/linux/security.h): a question, not an attempt.
pub(super) const CAP_OPT_NOAUDIT: u32 = 2;

#[lsm(hook = "capable")]
pub fn capable(ctx: LsmContext) -> i32 {
    let capability: u32 = ctx.arg(2);
    if capability != CAP_AUDIT_CONTROL {
        return by_capability::ask(&ctx, capability, ctx.arg(3));
    }
    match who(current_task()) {
        Who::Pinned(state) if guarded(state) => said(&ctx, "capable", refuse(state, ctx.arg(3))),
        Who::Failed => EPERM,
        _ => 0,
    }
}

#[inline(always)]
fn refuse(state: *mut TaskState, options: u32) -> i32 {
    if options & CAP_OPT_NOAUDIT == 0 {
        let scratch = scratch_of(state);
        if scratch.is_null() {
            return EPERM;
        }
        let active = ACTIVE.get(ACTIVE_IMAGE).copied().unwrap_or(0);
        // SAFETY: the scratch is live.
        unsafe {
            stamp(
                scratch,
                active,
                hook::CAPABLE,
                Attempt {
                    ops: 0,
                    port: 0,
                    protocol: 0,
                    subjects: 0,
                },
            );
            (*scratch).current.decision = unjudged(reason::CAP_AUDIT_CONTROL);
        }
        let (class, reason) = (u32::from(class::A), reason::CAP_AUDIT_CONTROL);
        plan(
            scratch,
            plan::DENY,
            Said {
                class,
                verdict: verdict::DENIED,
                reason,
                flags: 0,
            },
        );
        if let Some(room) = reserve(class) {
            submit(scratch, room);
        }
    }
    EPERM
}
