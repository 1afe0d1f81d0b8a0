//! Everything that is not a decision: holds, grants, policies, losses, the agent itself.

use serde_json::{Map, Value, json};

use super::{
    Body, VENDOR,
    class::{Class, action, activity, disposition, severity, status},
    objects,
};
use crate::{
    event::{
        AgentState, EnforcementEvent, Event, FlagChanged, GrantChanged, HoldChanged, LockChange,
        LockChanged, Lost, PolicyChange, PolicyChanged, Tamper,
    },
    grant::GrantChange,
    host::Phase,
    id::UserName,
    text::safe,
};

/// `entity.type_id`: a policy
const ENTITY_POLICY: u32 = 5;
/// `entity.type_id`: something that the list does not have
pub(super) const ENTITY_OTHER: u32 = 99;

pub(super) fn by(name: Option<&UserName>) -> String {
    name.map_or_else(String::new, |name| format!(" by {name}"))
}

pub(super) fn actor(name: &UserName) -> Value {
    json!({ "user": { "name": name.as_str() } })
}

pub(super) fn hold(change: &HoldChanged) -> Body {
    let uid = format!("holds/{}", change.hold);
    let word = if change.released {
        "released"
    } else if change.from == change.to {
        // An approval that is not the last one it takes.
        "reviewed"
    } else {
        change.to.as_str()
    };
    let message = format!("hold {} {word}{}", change.hold, by(change.by.as_ref()));
    let mut body = Body::new(
        Class::ENTITY_MANAGEMENT,
        activity::ENTITY_UPDATE,
        format!("hold.{word}"),
        message,
    );
    body.set("entity", json!({ "uid": uid, "name": change.hold.to_string(), "type": "Hold", "type_id": ENTITY_OTHER }));
    if let Some(by) = &change.by {
        body.set("actor", actor(by));
    }
    if let Some(reason) = &change.reason {
        body.set("comment", safe(reason));
    }
    body.note("from", change.from.as_str());
    body.note("to", change.to.as_str());
    body.note("released", change.released);
    body.correlation = Some(uid);
    body
}

pub(super) fn grant(change: &GrantChanged) -> Body {
    let uid = format!("grants/{}", change.grant);
    let activity = match change.change {
        GrantChange::Created => activity::ASSIGN_PRIVILEGES,
        GrantChange::Ended | GrantChange::Revoked => activity::REVOKE_PRIVILEGES,
    };
    let word = change.change.as_str();
    let permissions: Vec<String> = change.permissions.iter().map(ToString::to_string).collect();
    let message = format!(
        "grant {} {word}{}: {} for {}",
        change.grant,
        by(change.by.as_ref()),
        permissions.join(", "),
        change.user
    );
    let mut body = Body::new(
        Class::USER_ACCESS_MANAGEMENT,
        activity,
        format!("grant.{word}"),
        message,
    );
    body.severity = severity::LOW;
    if let Some(by) = &change.by {
        body.set("actor", actor(by));
    }
    body.set("user", json!({ "name": change.user.as_str() }));
    body.set("privileges", permissions);
    body.note("grant", uid.clone());
    body.note("expire_time", change.expire_time.0);
    if let Some(profile) = &change.profile {
        let values = profile.values.iter();
        let values = values.map(|(name, value)| (name.to_string(), json!(safe(value))));
        body.note("profile", profile.name());
        body.note(
            "profile_values",
            Value::Object(values.collect::<Map<String, Value>>()),
        );
    }
    if let Some(reason) = &change.reason {
        body.note("grant_reason", safe(reason));
    }
    body.correlation = Some(uid);
    body
}

fn code(change: PolicyChange) -> &'static str {
    match change {
        PolicyChange::Applied => "policy.applied",
        PolicyChange::Proposed => "policy.proposed",
        PolicyChange::Approved => "policy.approved",
        PolicyChange::Refused => "policy.refused",
        PolicyChange::RollOut => "policy.roll-out",
        PolicyChange::RollOutAdvanced => "policy.roll-out-advanced",
        PolicyChange::RolledOut => "policy.rolled-out",
        PolicyChange::RollOutStopped => "policy.roll-out-stopped",
        PolicyChange::RollOutResumed => "policy.roll-out-resumed",
        PolicyChange::Removed => "policy.removed",
    }
}

fn said(change: &PolicyChanged) -> String {
    let proposal = change
        .proposal
        .map_or_else(String::new, |id| format!(" (proposal {id})"));
    let word = change.change.as_str();
    format!(
        "policy {} revision {} {word}{}{proposal}",
        change.policy,
        change.revision,
        by(change.by.as_ref())
    )
}

pub(super) fn policy(change: &PolicyChanged) -> Body {
    let first = change.revision.0 <= 1;
    let activity = if first {
        activity::ENTITY_CREATE
    } else {
        activity::ENTITY_UPDATE
    };
    let message = said(change);
    let mut body = Body::new(
        Class::ENTITY_MANAGEMENT,
        activity,
        code(change.change),
        message,
    );
    // Nobody stops one for nothing, and where it stops by itself nobody may be looking.
    body.severity = match change.change {
        PolicyChange::RollOutStopped => severity::HIGH,
        _ => severity::LOW,
    };
    if let Some(by) = &change.by {
        body.set("actor", actor(by));
    }
    body.set(
        "entity",
        json!({
            "uid": format!("policies/{}", change.policy),
            "name": change.policy.as_str(),
            "type": "Policy",
            "type_id": ENTITY_POLICY,
            "version": change.revision.to_string(),
        }),
    );
    if let Some(reason) = &change.reason {
        body.set("comment", safe(reason));
    }
    body
}

pub(super) fn flag(change: &FlagChanged) -> Body {
    let (word, until) = match change.until {
        Some(until) => ("set", format!(" until {until}")),
        None => ("cleared", String::new()),
    };
    let message = format!("flag {} {word} by {}{until}", change.flag, change.by);
    let mut body = Body::new(
        Class::ENTITY_MANAGEMENT,
        activity::ENTITY_UPDATE,
        format!("flag.{word}"),
        message,
    );
    body.severity = severity::LOW;
    body.set("actor", actor(&change.by));
    body.set(
        "entity",
        json!({
            "uid": format!("flags/{}", change.flag),
            "name": change.flag.as_str(),
            "type": "Flag",
            "type_id": ENTITY_OTHER,
        }),
    );
    body.set("comment", safe(&change.reason));
    body
}

pub(super) fn lock(change: &LockChanged) -> Body {
    let word = change.change.as_str();
    let until = match (change.change, change.until) {
        (LockChange::Created, Some(until)) => format!(" until {until}"),
        _ => String::new(),
    };
    let message = format!(
        "lock on {} {word}{}{until}",
        change.target,
        by(change.by.as_ref())
    );
    let activity = match change.change {
        LockChange::Created => activity::ENTITY_CREATE,
        LockChange::Removed | LockChange::Ended => activity::ENTITY_DELETE,
    };
    let mut body = Body::new(
        Class::ENTITY_MANAGEMENT,
        activity,
        format!("lock.{word}"),
        message,
    );
    body.severity = severity::MEDIUM;
    if let Some(by) = &change.by {
        body.set("actor", actor(by));
    }
    body.set(
        "entity",
        json!({
            "uid": format!("locks/{}", change.lock),
            "name": change.target.to_string(),
            "type": "Lock",
            "type_id": ENTITY_OTHER,
        }),
    );
    if let Some(reason) = &change.reason {
        body.set("comment", safe(reason));
    }
    body
}

pub(super) fn lost(lost: &Lost) -> Body {
    let count = if lost.count == 0 {
        "an unknown number of".to_owned()
    } else {
        lost.count.to_string()
    };
    let message = format!(
        "{count} class {} records lost in the {} since {}",
        lost.class.as_str(),
        lost.stage.as_str(),
        lost.since
    );
    let mut body = Body::new(
        Class::EVENT_LOG_ACTIVITY,
        activity::OTHER,
        "records.lost",
        message,
    );
    body.severity = severity::HIGH;
    body.status = status::FAILURE;
    body.set("activity_name", "Records lost");
    body.set("actor", json!({ "app_name": "stayhand-agent" }));
    body.set("log_name", "stayhand");
    body.note(
        "lost",
        json!({
            "class": lost.class.as_str(),
            "count": if lost.count == 0 { Value::Null } else { lost.count.into() },
            "stage": lost.stage.as_str(),
            "since": lost.since.0,
        }),
    );
    body
}

pub(super) fn agent(agent: &AgentState, started: bool) -> Body {
    let (activity, word) = if started {
        (activity::APPLICATION_START, "started")
    } else {
        (activity::APPLICATION_STOP, "stopped")
    };
    let enforced = if agent.enforced {
        "enforced"
    } else {
        "NOT ENFORCED"
    };
    let message = format!("agent {} {word}, {enforced}", safe(&agent.version));
    let mut body = Body::new(
        Class::APPLICATION_LIFECYCLE,
        activity,
        format!("agent.{word}"),
        message,
    );
    if !agent.enforced {
        body.severity = severity::HIGH;
        body.status = status::FAILURE;
    }
    body.set("app", app(&agent.version));
    body.note("enforced", agent.enforced);
    body.note("detail", safe(&agent.detail));
    body
}

fn app(version: &str) -> Value {
    json!({ "name": "stayhand-agent", "vendor_name": VENDOR, "version": safe(version) })
}

pub(super) fn enforcement(event: &EnforcementEvent) -> Body {
    let word = event.phase.as_str();
    let activity = if event.phase == Phase::Enforced {
        activity::APPLICATION_ENABLE
    } else {
        activity::OTHER
    };
    let message = format!("generation {} {word}", event.generation);
    let mut body = Body::new(
        Class::APPLICATION_LIFECYCLE,
        activity,
        format!("generation.{word}"),
        message,
    );
    if activity == activity::OTHER {
        body.set("activity_name", format!("Generation {word}"));
    }
    body.set(
        "app",
        json!({ "name": "stayhand-agent", "vendor_name": VENDOR }),
    );
    body.note("generation", event.generation.0);
    body.note("phase", word);
    if let Phase::Rejected { reasons } = &event.phase {
        body.severity = severity::HIGH;
        body.status = status::FAILURE;
        body.note(
            "reasons",
            reasons
                .iter()
                .map(|reason| safe(reason))
                .collect::<Vec<_>>(),
        );
    }
    body
}

pub(super) fn tamper(event: &Event, tamper: &Tamper) -> Body {
    let what = safe(&tamper.what);
    let who = tamper
        .subject
        .as_ref()
        .map_or_else(String::new, |subject| format!(" by {}", subject.shown()));
    let mut body = Body::new(
        Class::DETECTION_FINDING,
        activity::FINDING_CREATE,
        "tamper",
        format!("tamper{who} on {}: {what}", event.host),
    );
    body.severity = severity::HIGH;
    body.profiles = vec!["security_control", "linux/linux_users"];
    body.set(
        "finding_info",
        json!({ "uid": event.uid(), "title": what, "types": ["tamper"] }),
    );
    body.set("action_id", action::OBSERVED);
    body.set("disposition_id", disposition::DETECTED);
    body.set("is_alert", true);
    let mut evidence = Map::new();
    if let (Some(subject), Some(process)) = (&tamper.subject, &tamper.process) {
        evidence.insert("actor".to_owned(), objects::actor(event, subject, process));
    } else if let Some(subject) = &tamper.subject {
        evidence.insert(
            "actor".to_owned(),
            json!({ "user": objects::user(subject) }),
        );
    }
    if !evidence.is_empty() {
        body.set("evidences", json!([evidence]));
    }
    body
}
