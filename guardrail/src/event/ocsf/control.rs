//! The decision table: how a verdict and its reason read in the Security Control profile.

use super::class::{action, disposition, severity, status};
use crate::{
    reason::{Reason, Verdict},
    sensitivity::Sensitivity,
};

/// How one decision reads in the Security Control profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Control {
    pub(super) action: u32,
    pub(super) disposition: u32,
    pub(super) status: u32,
    pub(super) severity: u32,
    pub(super) alert: bool,
}

/// The decision table. The verdict is the truth: a reason that contradicts it only adds words.
pub(super) fn control(verdict: Verdict, reason: Reason) -> Control {
    match verdict {
        Verdict::Allowed => allowed(reason),
        Verdict::Denied => denied(reason),
        Verdict::Held => Control {
            action: action::MODIFIED,
            disposition: disposition::DELAYED,
            status: status::UNKNOWN,
            severity: severity::LOW,
            alert: true,
        },
    }
}

/// What a rule's sensitivity makes of the severity of what became of an action: it raises an alarm and lowers none.
pub(super) fn raised(of_outcome: u32, sensitivity: Option<Sensitivity>) -> u32 {
    let of_rule = sensitivity.map_or(severity::INFORMATIONAL, |one| match one {
        Sensitivity::Low => severity::LOW,
        Sensitivity::Medium => severity::MEDIUM,
        Sensitivity::High => severity::HIGH,
        Sensitivity::Critical => severity::CRITICAL,
    });
    of_outcome.max(of_rule)
}

fn allowed(reason: Reason) -> Control {
    let (action, disposition, severity, alert) = match reason {
        Reason::HoldApproved => (
            action::ALLOWED,
            disposition::APPROVED,
            severity::INFORMATIONAL,
            false,
        ),
        Reason::RuleAlert => (action::OBSERVED, disposition::ALERT, severity::LOW, true),
        Reason::WouldHave => (
            action::OBSERVED,
            disposition::DETECTED,
            severity::LOW,
            false,
        ),
        _ => (
            action::ALLOWED,
            disposition::ALLOWED,
            severity::INFORMATIONAL,
            false,
        ),
    };
    Control {
        action,
        disposition,
        status: status::SUCCESS,
        severity,
        alert,
    }
}

fn denied(reason: Reason) -> Control {
    let (disposition, severity) = match reason {
        Reason::NoGrant | Reason::NotAllowed | Reason::HoldTimedOut | Reason::HoldLapsed => {
            (disposition::UNAUTHORIZED, severity::MEDIUM)
        }
        Reason::HoldRefused => (disposition::REJECTED, severity::MEDIUM),
        Reason::HoldCancelled => (disposition::BLOCKED, severity::LOW),
        Reason::NoRecord
        | Reason::WalkFailed
        | Reason::ImageChanged
        | Reason::FactUnknown
        | Reason::NoAgent
        | Reason::Unknown => (disposition::ERROR, severity::MEDIUM),
        Reason::CapAuditControl | Reason::ArgsChanged => (disposition::BLOCKED, severity::HIGH),
        _ => (disposition::BLOCKED, severity::MEDIUM),
    };
    Control {
        action: action::DENIED,
        disposition,
        status: status::FAILURE,
        severity,
        alert: true,
    }
}

pub(super) fn action_name(id: u32) -> &'static str {
    match id {
        action::ALLOWED => "Allowed",
        action::DENIED => "Denied",
        action::OBSERVED => "Observed",
        _ => "Modified",
    }
}

pub(super) fn disposition_name(id: u32) -> &'static str {
    match id {
        disposition::ALLOWED => "Allowed",
        disposition::BLOCKED => "Blocked",
        disposition::APPROVED => "Approved",
        disposition::DELAYED => "Delayed",
        disposition::DETECTED => "Detected",
        disposition::ALERT => "Alert",
        disposition::REJECTED => "Rejected",
        disposition::UNAUTHORIZED => "Unauthorized",
        _ => "Error",
    }
}
