//! Events: the envelope and recorded decisions.

use stayhand_guardrail::{
    event::{DecisionEvent, Event, EventKind, HoldRef},
    id::{EventSeq, Generation},
    reason::Reason,
};

use super::{
    Invalid,
    action::{operation, sensitivity, sent_sensitivity, verdict},
    event_kind,
    invalid::{inside, message, optional},
    name,
    scalar::{id, shown, some_id, some_text, time, timestamp, uuid},
};
use crate::{v1, v1::event::Kind};

impl From<Event> for v1::Event {
    fn from(event: Event) -> Self {
        let Event {
            host,
            boot_id,
            epoch,
            seq,
            time,
            kind,
        } = event;
        let kind = match kind {
            EventKind::Decision(decision) => Kind::Decision((*decision).into()),
            EventKind::HoldChanged(changed) => Kind::HoldChanged(changed.into()),
            EventKind::GrantChanged(changed) => Kind::GrantChanged(changed.into()),
            EventKind::PolicyChanged(changed) => Kind::PolicyChanged(changed.into()),
            EventKind::FlagChanged(changed) => Kind::FlagChanged(changed.into()),
            EventKind::LockChanged(changed) => Kind::LockChanged(changed.into()),
            EventKind::MembershipChanged(changed) => Kind::MembershipChanged(changed.into()),
            EventKind::JoinTokenChanged(changed) => Kind::JoinTokenChanged(changed.into()),
            EventKind::AuthorityChanged(changed) => Kind::AuthorityChanged(changed.into()),
            EventKind::SessionChanged(changed) => Kind::SessionChanged(changed.into()),
            EventKind::AccessTokenChanged(changed) => Kind::AccessTokenChanged(changed.into()),
            EventKind::Lost(lost) => Kind::Lost(lost.into()),
            EventKind::AgentStarted(state) => Kind::Agent(event_kind::from_agent(state, true)),
            EventKind::AgentStopped(state) => Kind::Agent(event_kind::from_agent(state, false)),
            EventKind::Enforcement(enforcement) => Kind::Enforcement(enforcement.into()),
            EventKind::Tamper(tamper) => Kind::Tamper(tamper.into()),
        };
        Self {
            host: host.into(),
            boot_id: boot_id.to_string(),
            epoch: epoch.to_string(),
            sequence: seq.0,
            time: Some(timestamp(time)),
            kind: Some(kind),
        }
    }
}

impl TryFrom<v1::Event> for Event {
    type Error = Invalid;
    fn try_from(wire: v1::Event) -> Result<Self, Invalid> {
        let v1::Event {
            host,
            boot_id,
            epoch,
            sequence,
            time: wire_time,
            kind,
        } = wire;
        if sequence == 0 {
            return Err(Invalid::new("sequence", "is 0; events count from 1"));
        }
        let kind = match kind {
            None => return Err(Invalid::missing("kind")),
            Some(Kind::Decision(wire)) => {
                EventKind::Decision(Box::new(inside("decision", DecisionEvent::try_from(wire))?))
            }
            Some(Kind::HoldChanged(wire)) => {
                EventKind::HoldChanged(inside("hold_changed", wire.try_into())?)
            }
            Some(Kind::GrantChanged(wire)) => {
                EventKind::GrantChanged(inside("grant_changed", wire.try_into())?)
            }
            Some(Kind::PolicyChanged(wire)) => {
                EventKind::PolicyChanged(inside("policy_changed", wire.try_into())?)
            }
            Some(Kind::FlagChanged(wire)) => {
                EventKind::FlagChanged(inside("flag_changed", wire.try_into())?)
            }
            Some(Kind::LockChanged(wire)) => {
                EventKind::LockChanged(inside("lock_changed", wire.try_into())?)
            }
            Some(Kind::MembershipChanged(wire)) => {
                EventKind::MembershipChanged(inside("membership_changed", wire.try_into())?)
            }
            Some(Kind::JoinTokenChanged(wire)) => {
                EventKind::JoinTokenChanged(inside("join_token_changed", wire.try_into())?)
            }
            Some(Kind::AuthorityChanged(wire)) => {
                EventKind::AuthorityChanged(inside("authority_changed", wire.try_into())?)
            }
            Some(Kind::SessionChanged(wire)) => {
                EventKind::SessionChanged(inside("session_changed", wire.try_into())?)
            }
            Some(Kind::AccessTokenChanged(wire)) => {
                EventKind::AccessTokenChanged(inside("access_token_changed", wire.try_into())?)
            }
            Some(Kind::Lost(wire)) => EventKind::Lost(inside("lost", wire.try_into())?),
            Some(Kind::Agent(wire)) => inside("agent", event_kind::agent(wire))?,
            Some(Kind::Enforcement(wire)) => {
                EventKind::Enforcement(inside("enforcement", wire.try_into())?)
            }
            Some(Kind::Tamper(wire)) => EventKind::Tamper(inside("tamper", wire.try_into())?),
        };
        Ok(Self {
            host: id("host", &host)?,
            boot_id: uuid("boot_id", &boot_id)?,
            epoch: uuid("epoch", &epoch)?,
            seq: EventSeq(sequence),
            time: time("time", wire_time)?,
            kind,
        })
    }
}

impl From<DecisionEvent> for v1::DecisionEvent {
    fn from(decision: DecisionEvent) -> Self {
        let DecisionEvent {
            verdict,
            reason,
            operation,
            object,
            object_cut,
            subject,
            process,
            args_redacted,
            generation,
            rule,
            message,
            sensitivity,
            permission,
            grant,
            hold,
            monitor,
        } = decision;
        let mut wire = Self {
            verdict: v1::Verdict::from(verdict).into(),
            reason: reason.to_string(),
            operation: v1::Operation::from(operation).into(),
            object: Some(object.into()),
            subject: Some(subject.into()),
            process: Some(process.into()),
            generation: generation.0,
            rule: rule.map(Into::into),
            message: message.unwrap_or_default(),
            permission: shown(permission.as_ref()),
            grant: grant.map(name::grant).unwrap_or_default(),
            hold: String::new(),
            hold_expire_time: None,
            answered_by: String::new(),
            answer_reason: String::new(),
            monitor,
            object_cut,
            arguments_redacted: args_redacted,
            sensitivity: sent_sensitivity(sensitivity),
        };
        if let Some(HoldRef {
            id,
            deadline,
            answered_by,
            answer_reason,
        }) = hold
        {
            wire.hold = name::hold(id);
            wire.hold_expire_time = Some(timestamp(deadline));
            wire.answered_by = shown(answered_by.as_ref());
            wire.answer_reason = answer_reason.unwrap_or_default();
        }
        wire
    }
}

impl TryFrom<v1::DecisionEvent> for DecisionEvent {
    type Error = Invalid;
    fn try_from(wire: v1::DecisionEvent) -> Result<Self, Invalid> {
        let v1::DecisionEvent {
            verdict: wire_verdict,
            reason,
            operation: wire_operation,
            object,
            subject,
            process,
            generation,
            rule,
            message: wire_message,
            permission,
            grant,
            hold,
            hold_expire_time,
            answered_by,
            answer_reason,
            monitor,
            object_cut,
            arguments_redacted,
            sensitivity: wire_sensitivity,
        } = wire;
        let hold = match name::optional("hold", name::HOLDS, &hold)? {
            None => None,
            Some(id) => Some(HoldRef {
                id,
                deadline: time("hold_expire_time", hold_expire_time)?,
                answered_by: some_id("answered_by", &answered_by)?,
                answer_reason: some_text("answer_reason", answer_reason)?,
            }),
        };
        Ok(Self {
            verdict: verdict(wire_verdict),
            // A newer agent may know more reasons; the event is worth more than the word.
            reason: reason.parse().unwrap_or(Reason::Unknown),
            operation: operation("operation", wire_operation)?,
            object: message("object", object)?,
            object_cut,
            subject: message("subject", subject)?,
            process: message("process", process)?,
            args_redacted: arguments_redacted,
            generation: Generation(generation),
            rule: optional("rule", rule)?,
            message: some_text("message", wire_message)?,
            sensitivity: sensitivity(wire_sensitivity),
            permission: some_id("permission", &permission)?,
            grant: name::optional("grant", name::GRANTS, &grant)?,
            hold,
            monitor,
        })
    }
}
