//! Holds.

use stayhand_guardrail::hold::{Cancel, Decided, Hold, HoldPhase, HoldState};

use super::{
    Invalid,
    action::{operation, sensitivity, sent_sensitivity},
    approval,
    invalid::{message, optional},
    name,
    scalar::{id, required, shown, some_id, some_text, text, time, timestamp, unix_ms},
};
use crate::{
    v1,
    v1::hold::{CancelCause, State},
};

impl From<HoldPhase> for State {
    fn from(phase: HoldPhase) -> Self {
        match phase {
            HoldPhase::Pending => Self::Pending,
            HoldPhase::Approved => Self::Approved,
            HoldPhase::Refused => Self::Refused,
            HoldPhase::Lapsed => Self::Lapsed,
            HoldPhase::TimedOut => Self::TimedOut,
            HoldPhase::Cancelled => Self::Cancelled,
            HoldPhase::Void => Self::Void,
        }
    }
}

pub(super) fn phase(field: &str, wire: i32) -> Result<HoldPhase, Invalid> {
    match State::try_from(wire) {
        Ok(State::Pending) => Ok(HoldPhase::Pending),
        Ok(State::Approved) => Ok(HoldPhase::Approved),
        Ok(State::Refused) => Ok(HoldPhase::Refused),
        Ok(State::Lapsed) => Ok(HoldPhase::Lapsed),
        Ok(State::TimedOut) => Ok(HoldPhase::TimedOut),
        Ok(State::Cancelled) => Ok(HoldPhase::Cancelled),
        Ok(State::Void) => Ok(HoldPhase::Void),
        Ok(State::Unspecified) | Err(_) => {
            Err(Invalid::new(field, format!("{wire} is no state of a hold")))
        }
    }
}

/// The state's own fields as they travel.
#[derive(Default)]
struct Parts {
    decided: Option<Decided>,
    end_time: Option<prost_types::Timestamp>,
    released: bool,
    cause: CancelCause,
    lapse: String,
}

fn parts(state: HoldState) -> Parts {
    match state {
        HoldState::Pending => Parts::default(),
        HoldState::Approved { decided, released } => Parts {
            decided: Some(decided),
            end_time: released.map(timestamp),
            released: released.is_some(),
            ..Parts::default()
        },
        HoldState::Refused { decided } => Parts {
            decided: Some(decided),
            ..Parts::default()
        },
        HoldState::Lapsed { why, at } => Parts {
            end_time: Some(timestamp(at)),
            lapse: why,
            ..Parts::default()
        },
        HoldState::TimedOut { at } | HoldState::Void { at } => Parts {
            end_time: Some(timestamp(at)),
            ..Parts::default()
        },
        HoldState::Cancelled { cause, at } => Parts {
            end_time: Some(timestamp(at)),
            cause: match cause {
                Cancel::ProcessGone => CancelCause::ProcessGone,
                Cancel::FatalSignal => CancelCause::FatalSignal,
            },
            ..Parts::default()
        },
    }
}

impl From<Hold> for v1::Hold {
    fn from(hold: Hold) -> Self {
        let Hold {
            id,
            host,
            subject,
            process,
            operation,
            object,
            rule,
            message,
            sensitivity,
            permission,
            approval,
            create_time,
            expire_time,
            state,
        } = hold;
        let phase = State::from(state.phase());
        let Parts {
            decided,
            end_time,
            released,
            cause,
            lapse,
        } = parts(state);
        let (answered_by, answer_reason, answer_time) = match decided {
            Some(Decided { by, reason, at }) => (by.into(), reason, Some(timestamp(at))),
            None => Default::default(),
        };
        Self {
            name: name::hold(id),
            host: host.into(),
            subject: Some(subject.into()),
            process: Some(process.into()),
            operation: v1::Operation::from(operation).into(),
            object: Some(object.into()),
            rule: Some(rule.into()),
            message: message.unwrap_or_default(),
            permission: shown(permission.as_ref()),
            state: phase.into(),
            create_time: Some(timestamp(create_time)),
            expire_time: Some(timestamp(expire_time)),
            answered_by,
            answer_reason,
            answer_time,
            released,
            end_time,
            cancel_cause: cause.into(),
            approval: approval::sent(approval),
            sensitivity: sent_sensitivity(sensitivity),
            lapse_reason: lapse,
        }
    }
}

impl TryFrom<v1::Hold> for Hold {
    type Error = Invalid;
    fn try_from(wire: v1::Hold) -> Result<Self, Invalid> {
        let v1::Hold {
            name,
            host,
            subject,
            process,
            operation: wire_operation,
            object,
            rule,
            message: wire_message,
            permission,
            state,
            create_time,
            expire_time,
            answered_by,
            answer_reason,
            answer_time,
            released,
            end_time,
            cancel_cause,
            approval: wire_approval,
            sensitivity: wire_sensitivity,
            lapse_reason,
        } = wire;
        let end_time = unix_ms("end_time", end_time)?;
        let decided = || {
            Ok::<_, Invalid>(Decided {
                by: id("answered_by", &answered_by)?,
                reason: text("answer_reason", answer_reason)?,
                at: time("answer_time", answer_time)?,
            })
        };
        let state = match phase("state", state)? {
            HoldPhase::Pending => HoldState::Pending,
            HoldPhase::Approved if released => HoldState::Approved {
                decided: decided()?,
                released: Some(required("end_time", end_time)?),
            },
            HoldPhase::Approved => HoldState::Approved {
                decided: decided()?,
                released: None,
            },
            HoldPhase::Refused => HoldState::Refused {
                decided: decided()?,
            },
            HoldPhase::Lapsed if lapse_reason.is_empty() => {
                return Err(Invalid::missing("lapse_reason"));
            }
            HoldPhase::Lapsed => HoldState::Lapsed {
                why: text("lapse_reason", lapse_reason)?,
                at: required("end_time", end_time)?,
            },
            HoldPhase::TimedOut => HoldState::TimedOut {
                at: required("end_time", end_time)?,
            },
            HoldPhase::Cancelled => HoldState::Cancelled {
                cause: cause(cancel_cause)?,
                at: required("end_time", end_time)?,
            },
            HoldPhase::Void => HoldState::Void {
                at: required("end_time", end_time)?,
            },
        };
        Ok(Self {
            id: name::parse("name", name::HOLDS, &name)?,
            host: id("host", &host)?,
            subject: message("subject", subject)?,
            process: message("process", process)?,
            operation: operation("operation", wire_operation)?,
            object: message("object", object)?,
            rule: message("rule", rule)?,
            message: some_text("message", wire_message)?,
            sensitivity: sensitivity(wire_sensitivity),
            permission: some_id("permission", &permission)?,
            approval: optional("approval", wire_approval)?.unwrap_or_default(),
            create_time: time("create_time", create_time)?,
            expire_time: time("expire_time", expire_time)?,
            state,
        })
    }
}

fn cause(wire: i32) -> Result<Cancel, Invalid> {
    match CancelCause::try_from(wire) {
        Ok(CancelCause::ProcessGone) => Ok(Cancel::ProcessGone),
        Ok(CancelCause::FatalSignal) => Ok(Cancel::FatalSignal),
        Ok(CancelCause::Unspecified) | Err(_) => Err(Invalid::new(
            "cancel_cause",
            format!("{wire} is no reason to cancel a hold"),
        )),
    }
}
