//! The smaller kinds of events.

use stayhand_guardrail::{
    event::{
        AgentState, EnforcementEvent, EventKind, FlagChanged, GrantChanged, HoldChanged,
        LockChange, LockChanged, Lost, PolicyChange, PolicyChanged, Tamper,
    },
    grant::GrantChange,
    id::{Generation, Revision},
};

use super::{
    Invalid, enforcement, hold,
    invalid::optional,
    lock, name,
    scalar::{id, ids, shown, some_id, some_text, text, time, timestamp, unix_ms},
};
use crate::{
    v1,
    v1::{grant_changed_event::Change, policy_changed_event},
};

impl From<HoldChanged> for v1::HoldChangedEvent {
    fn from(changed: HoldChanged) -> Self {
        let HoldChanged {
            hold,
            from,
            to,
            released,
            by,
            reason,
        } = changed;
        Self {
            hold: name::hold(hold),
            from: v1::hold::State::from(from).into(),
            to: v1::hold::State::from(to).into(),
            by: shown(by.as_ref()),
            reason: reason.unwrap_or_default(),
            released,
        }
    }
}

impl TryFrom<v1::HoldChangedEvent> for HoldChanged {
    type Error = Invalid;
    fn try_from(wire: v1::HoldChangedEvent) -> Result<Self, Invalid> {
        let v1::HoldChangedEvent {
            hold: wire_name,
            from,
            to,
            by,
            reason,
            released,
        } = wire;
        Ok(Self {
            hold: name::parse("hold", name::HOLDS, &wire_name)?,
            from: hold::phase("from", from)?,
            to: hold::phase("to", to)?,
            released,
            by: some_id("by", &by)?,
            reason: some_text("reason", reason)?,
        })
    }
}

impl From<GrantChanged> for v1::GrantChangedEvent {
    fn from(changed: GrantChanged) -> Self {
        let GrantChanged {
            grant,
            change,
            user,
            permissions,
            profile,
            by,
            reason,
            expire_time,
        } = changed;
        let change = match change {
            GrantChange::Created => Change::Created,
            GrantChange::Ended => Change::Ended,
            GrantChange::Revoked => Change::Revoked,
        };
        Self {
            grant: name::grant(grant),
            change: change.into(),
            user: user.into(),
            permissions: permissions.into_iter().map(Into::into).collect(),
            by: shown(by.as_ref()),
            reason: reason.unwrap_or_default(),
            expire_time: Some(timestamp(expire_time)),
            profile: shown(profile.as_ref()),
        }
    }
}

impl TryFrom<v1::GrantChangedEvent> for GrantChanged {
    type Error = Invalid;
    fn try_from(wire: v1::GrantChangedEvent) -> Result<Self, Invalid> {
        let v1::GrantChangedEvent {
            grant,
            change,
            user,
            permissions,
            by,
            reason,
            expire_time,
            profile,
        } = wire;
        let change = match Change::try_from(change) {
            Ok(Change::Created) => GrantChange::Created,
            Ok(Change::Ended) => GrantChange::Ended,
            Ok(Change::Revoked) => GrantChange::Revoked,
            Ok(Change::Unspecified) | Err(_) => {
                return Err(Invalid::new(
                    "change",
                    format!("{change} is no change of a grant"),
                ));
            }
        };
        Ok(Self {
            grant: name::parse("grant", name::GRANTS, &grant)?,
            change,
            user: id("user", &user)?,
            permissions: ids("permissions", permissions)?,
            profile: some_id("profile", &profile)?,
            by: some_id("by", &by)?,
            reason: some_text("reason", reason)?,
            expire_time: time("expire_time", expire_time)?,
        })
    }
}

impl From<PolicyChanged> for v1::PolicyChangedEvent {
    fn from(changed: PolicyChanged) -> Self {
        let PolicyChanged {
            policy,
            revision,
            by,
            change,
            proposal,
            reason,
        } = changed;
        let change = match change {
            PolicyChange::Applied => policy_changed_event::Change::Applied,
            PolicyChange::Proposed => policy_changed_event::Change::Proposed,
            PolicyChange::Approved => policy_changed_event::Change::Approved,
            PolicyChange::Refused => policy_changed_event::Change::Refused,
            PolicyChange::RollOut => policy_changed_event::Change::RollOut,
            PolicyChange::RollOutAdvanced => policy_changed_event::Change::RollOutAdvanced,
            PolicyChange::RolledOut => policy_changed_event::Change::RolledOut,
            PolicyChange::RollOutStopped => policy_changed_event::Change::RollOutStopped,
            PolicyChange::RollOutResumed => policy_changed_event::Change::RollOutResumed,
            PolicyChange::Removed => policy_changed_event::Change::Removed,
        };
        Self {
            policy: name::policy(&policy),
            revision: revision.0,
            by: shown(by.as_ref()),
            change: change.into(),
            proposal: proposal.map(name::proposal).unwrap_or_default(),
            reason: reason.unwrap_or_default(),
        }
    }
}

impl TryFrom<v1::PolicyChangedEvent> for PolicyChanged {
    type Error = Invalid;
    fn try_from(wire: v1::PolicyChangedEvent) -> Result<Self, Invalid> {
        let v1::PolicyChangedEvent {
            policy,
            revision,
            by,
            change,
            proposal,
            reason,
        } = wire;
        let change = match policy_changed_event::Change::try_from(change) {
            Ok(policy_changed_event::Change::Applied) => PolicyChange::Applied,
            Ok(policy_changed_event::Change::Proposed) => PolicyChange::Proposed,
            Ok(policy_changed_event::Change::Approved) => PolicyChange::Approved,
            Ok(policy_changed_event::Change::Refused) => PolicyChange::Refused,
            Ok(policy_changed_event::Change::RollOut) => PolicyChange::RollOut,
            Ok(policy_changed_event::Change::RollOutAdvanced) => PolicyChange::RollOutAdvanced,
            Ok(policy_changed_event::Change::RolledOut) => PolicyChange::RolledOut,
            Ok(policy_changed_event::Change::RollOutStopped) => PolicyChange::RollOutStopped,
            Ok(policy_changed_event::Change::RollOutResumed) => PolicyChange::RollOutResumed,
            Ok(policy_changed_event::Change::Removed) => PolicyChange::Removed,
            Err(_) => {
                let problem = format!("{change} is no change of a policy");
                return Err(Invalid::new("change", problem));
            }
        };
        Ok(Self {
            policy: name::parse("policy", name::POLICIES, &policy)?,
            revision: Revision(revision),
            by: some_id("by", &by)?,
            change,
            proposal: name::optional("proposal", name::PROPOSALS, &proposal)?,
            reason: some_text("reason", reason)?,
        })
    }
}

impl From<FlagChanged> for v1::FlagChangedEvent {
    fn from(changed: FlagChanged) -> Self {
        let FlagChanged {
            flag,
            until,
            by,
            reason,
        } = changed;
        Self {
            flag: flag.into(),
            until_time: until.map(timestamp),
            by: by.into(),
            reason,
        }
    }
}

impl TryFrom<v1::FlagChangedEvent> for FlagChanged {
    type Error = Invalid;
    fn try_from(wire: v1::FlagChangedEvent) -> Result<Self, Invalid> {
        let v1::FlagChangedEvent {
            flag,
            until_time,
            by,
            reason,
        } = wire;
        Ok(Self {
            flag: id("flag", &flag)?,
            until: unix_ms("until_time", until_time)?,
            by: id("by", &by)?,
            reason: text("reason", reason)?,
        })
    }
}

impl From<LockChanged> for v1::LockChangedEvent {
    fn from(changed: LockChanged) -> Self {
        let LockChanged {
            lock,
            target,
            change,
            until,
            by,
            reason,
        } = changed;
        let change = match change {
            LockChange::Created => v1::lock_changed_event::Change::Created,
            LockChange::Removed => v1::lock_changed_event::Change::Removed,
            LockChange::Ended => v1::lock_changed_event::Change::Ended,
        };
        Self {
            lock: name::lock(lock),
            change: change.into(),
            user: target.user().map(ToString::to_string).unwrap_or_default(),
            host: target.host().map(name::host).unwrap_or_default(),
            until_time: until.map(timestamp),
            by: by.map(String::from).unwrap_or_default(),
            reason: reason.unwrap_or_default(),
        }
    }
}

impl TryFrom<v1::LockChangedEvent> for LockChanged {
    type Error = Invalid;
    fn try_from(wire: v1::LockChangedEvent) -> Result<Self, Invalid> {
        let change = match wire.change() {
            v1::lock_changed_event::Change::Created => LockChange::Created,
            v1::lock_changed_event::Change::Removed => LockChange::Removed,
            v1::lock_changed_event::Change::Ended => LockChange::Ended,
            v1::lock_changed_event::Change::Unspecified => return Err(Invalid::missing("change")),
        };
        let v1::LockChangedEvent {
            lock: own,
            change: _,
            user,
            host,
            until_time,
            by,
            reason,
        } = wire;
        Ok(Self {
            lock: name::parse("lock", name::LOCKS, &own)?,
            target: lock::target(&user, &host)?,
            change,
            until: unix_ms("until_time", until_time)?,
            by: some_id("by", &by)?,
            reason: some_text("reason", reason)?,
        })
    }
}

impl From<Lost> for v1::LostEvent {
    fn from(lost: Lost) -> Self {
        let Lost {
            class,
            count,
            stage,
            since,
        } = lost;
        Self {
            event_class: class.as_str().to_owned(),
            count,
            stage: stage.as_str().to_owned(),
            since_time: Some(timestamp(since)),
        }
    }
}

impl TryFrom<v1::LostEvent> for Lost {
    type Error = Invalid;
    fn try_from(wire: v1::LostEvent) -> Result<Self, Invalid> {
        let v1::LostEvent {
            event_class,
            count,
            stage,
            since_time,
        } = wire;
        Ok(Self {
            class: id("event_class", &event_class)?,
            count,
            stage: id("stage", &stage)?,
            since: time("since_time", since_time)?,
        })
    }
}

pub(super) fn from_agent(state: AgentState, started: bool) -> v1::AgentEvent {
    let AgentState {
        version,
        enforced,
        detail,
    } = state;
    v1::AgentEvent {
        started,
        version,
        enforced,
        detail,
    }
}

pub(super) fn agent(wire: v1::AgentEvent) -> Result<EventKind, Invalid> {
    let v1::AgentEvent {
        started,
        version,
        enforced,
        detail,
    } = wire;
    let state = AgentState {
        version: text("version", version)?,
        enforced,
        detail: text("detail", detail)?,
    };
    Ok(if started {
        EventKind::AgentStarted(state)
    } else {
        EventKind::AgentStopped(state)
    })
}

impl From<EnforcementEvent> for v1::EnforcementEvent {
    fn from(event: EnforcementEvent) -> Self {
        let EnforcementEvent { generation, phase } = event;
        let (phase, reasons) = enforcement::from_phase(phase);
        Self {
            generation: generation.0,
            phase: phase.into(),
            reasons,
        }
    }
}

impl TryFrom<v1::EnforcementEvent> for EnforcementEvent {
    type Error = Invalid;
    fn try_from(wire: v1::EnforcementEvent) -> Result<Self, Invalid> {
        let v1::EnforcementEvent {
            generation,
            phase,
            reasons,
        } = wire;
        Ok(Self {
            generation: Generation(generation),
            phase: enforcement::phase(phase, reasons)?,
        })
    }
}

impl From<Tamper> for v1::TamperEvent {
    fn from(tamper: Tamper) -> Self {
        let Tamper {
            what,
            subject,
            process,
        } = tamper;
        Self {
            what,
            subject: subject.map(Into::into),
            process: process.map(Into::into),
        }
    }
}

impl TryFrom<v1::TamperEvent> for Tamper {
    type Error = Invalid;
    fn try_from(wire: v1::TamperEvent) -> Result<Self, Invalid> {
        let v1::TamperEvent {
            what,
            subject,
            process,
        } = wire;
        Ok(Self {
            what: text("what", what)?,
            subject: optional("subject", subject)?,
            process: optional("process", process)?,
        })
    }
}
