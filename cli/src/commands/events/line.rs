//! One event as one line for people. Columns are padded, not measured: the next event is not known yet.

use stayhand_guardrail::{
    event::{
        AccessTokenChange, AccessTokenChanged, AgentState, DecisionEvent, Door, Event, EventKind,
        GrantChanged, HoldChanged, JoinTokenChange, LockChange, LockChanged, MembershipChange,
        SessionChange, SessionChanged,
    },
    id::{PolicyName, UserName},
    reason::Verdict,
    text::safe,
};

use crate::{
    screen::{Screen, Tone},
    time::Moment,
    view::Time,
};

/// `12:00:03 CET  db1  DENIED  alice exec /usr/bin/nc · baseline/no-netcat · rule-deny`
pub(super) fn of(event: &Event, screen: &Screen) -> String {
    let time = stamp(event.time.0, &screen.moment());
    let (word, tone, text) = told(&event.kind);
    let word = screen.paint(&format!("{word:<9}"), tone);
    let host = &event.host;
    format!("{time}  {host:<12}  {word}  {text}")
}

fn stamp(ms: u64, moment: &Moment) -> String {
    let time = i64::try_from(ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.map(|time| moment.clock(Time(time)))
        .unwrap_or_default()
}

fn told(kind: &EventKind) -> (&'static str, Tone, String) {
    match kind {
        EventKind::Decision(decision) => self::decision(decision),
        EventKind::HoldChanged(changed) => ("HOLD", Tone::Strong, hold(changed)),
        EventKind::GrantChanged(changed) => ("GRANT", Tone::Strong, grant(changed)),
        EventKind::PolicyChanged(changed) => {
            let name: &PolicyName = &changed.policy;
            let by = changed.by.as_ref();
            let by = by.map_or_else(String::new, |by| format!(" by {by}"));
            let word = changed.change.as_str();
            let proposal = changed
                .proposal
                .map_or_else(String::new, |id| format!(" (proposal {id})"));
            // Why something changed that nobody did is nowhere else.
            let why = changed.reason.as_ref().filter(|_| changed.by.is_none());
            let why = why.map_or_else(String::new, |why| format!(": {}", safe(why)));
            let text = format!(
                "{name} revision {} {word}{by}{proposal}{why}",
                changed.revision
            );
            ("POLICY", Tone::Strong, text)
        }
        EventKind::FlagChanged(changed) => {
            let word = match changed.until {
                Some(until) => format!("set until {until}"),
                None => "cleared".to_owned(),
            };
            let mut text = format!("{} {word}", changed.flag);
            by(&mut text, Some(&changed.by), Some(&changed.reason));
            ("FLAG", Tone::Strong, text)
        }
        EventKind::LockChanged(changed) => ("LOCK", Tone::Care, lock_changed(changed)),
        EventKind::MembershipChanged(changed) => {
            let tone = match changed.change {
                MembershipChange::Joined => Tone::Strong,
                MembershipChange::Recovered | MembershipChange::Revoked => Tone::Care,
            };
            let mut text = format!("{} {}", changed.member, changed.change.as_str());
            if let Some(token) = changed.token {
                text.push_str(&format!(" with token {token}"));
            }
            came_from(&mut text, changed.address.as_deref());
            by(&mut text, changed.by.as_ref(), changed.reason.as_deref());
            ("HOST", tone, text)
        }
        EventKind::JoinTokenChanged(changed) => {
            let tone = match changed.change {
                JoinTokenChange::Refused => Tone::Bad,
                JoinTokenChange::Created | JoinTokenChange::Revoked => Tone::Strong,
            };
            let mut text = format!("{} {}", changed.token, changed.change.as_str());
            if let Some(member) = &changed.member {
                text.push_str(&format!(" for {member}"));
            }
            came_from(&mut text, changed.address.as_deref());
            by(&mut text, changed.by.as_ref(), changed.reason.as_deref());
            ("TOKEN", tone, text)
        }
        EventKind::AuthorityChanged(changed) => {
            let mut text = format!("{} {}", changed.authority, changed.change.as_str());
            by(&mut text, changed.by.as_ref(), changed.reason.as_deref());
            ("AUTHORITY", Tone::Care, text)
        }
        EventKind::SessionChanged(changed) => session(changed),
        EventKind::AccessTokenChanged(changed) => access_token(changed),
        EventKind::Lost(lost) => {
            let count = match lost.count {
                0 => "an unknown number of".to_owned(),
                count => count.to_string(),
            };
            let text = format!(
                "{count} events of class {} at {}",
                lost.class.as_str(),
                lost.stage.as_str()
            );
            ("LOST", Tone::Bad, text)
        }
        EventKind::AgentStarted(state) => ("AGENT", Tone::Strong, agent("started", state)),
        EventKind::AgentStopped(state) => ("AGENT", Tone::Care, agent("stopped", state)),
        EventKind::Enforcement(at) => {
            let text = format!("generation {} {}", at.generation, at.phase.as_str());
            ("STATE", Tone::Strong, text)
        }
        EventKind::Tamper(tamper) => {
            let who = tamper
                .subject
                .as_ref()
                .map(|subject| format!(" by {}", subject.shown()));
            (
                "TAMPER",
                Tone::Bad,
                format!("{}{}", safe(&tamper.what), who.unwrap_or_default()),
            )
        }
    }
}

fn lock_changed(changed: &LockChanged) -> String {
    let until = changed
        .until
        .filter(|_| changed.change == LockChange::Created);
    let until = until.map_or_else(String::new, |until| format!(" until {until}"));
    let mut text = format!("{} {}{until}", changed.target, changed.change.as_str());
    by(&mut text, changed.by.as_ref(), changed.reason.as_deref());
    text
}

fn decision(decision: &DecisionEvent) -> (&'static str, Tone, String) {
    let (word, tone) = match decision.verdict {
        Verdict::Denied => ("DENIED", Tone::Bad),
        Verdict::Held => ("HELD", Tone::Care),
        Verdict::Allowed if decision.monitor => ("WATCHED", Tone::Care),
        Verdict::Allowed => ("ALLOWED", Tone::Good),
    };
    let who = decision.subject.shown();
    let mut text = format!("{who} {} {}", decision.operation, decision.object);
    if let Some(rule) = &decision.rule {
        text.push_str(&format!(" · {rule}"));
    }
    text.push_str(&format!(" · {}", decision.reason));
    if let Some(sensitivity) = decision.rule_sensitivity() {
        text.push_str(&format!(" · sensitivity {sensitivity}"));
    }
    if let Some(hold) = &decision.hold {
        text.push_str(&format!(" · hold {}", hold.id));
    }
    if let Some(grant) = decision.grant {
        text.push_str(&format!(" · grant {grant}"));
    }
    (word, tone, text)
}

fn hold(changed: &HoldChanged) -> String {
    // An approval that is not the last one it takes.
    let word = if changed.from == changed.to {
        "approved in part"
    } else {
        changed.to.as_str()
    };
    let mut text = format!("{} {word}", changed.hold);
    if changed.released {
        text.push_str(", went on");
    }
    by(&mut text, changed.by.as_ref(), changed.reason.as_deref());
    text
}

fn grant(changed: &GrantChanged) -> String {
    let permissions: Vec<String> = changed
        .permissions
        .iter()
        .map(ToString::to_string)
        .collect();
    let mut text = format!(
        "{} {}: {} {}",
        changed.grant,
        changed.change.as_str(),
        changed.user,
        permissions.join(", ")
    );
    by(&mut text, changed.by.as_ref(), changed.reason.as_deref());
    text
}

fn came_from(text: &mut String, address: Option<&str>) {
    if let Some(address) = address {
        text.push_str(&format!(" from {}", safe(address)));
    }
}

fn by(text: &mut String, who: Option<&UserName>, why: Option<&str>) {
    if let Some(who) = who {
        text.push_str(&format!(" · by {who}"));
    }
    if let Some(why) = why.filter(|why| !why.is_empty()) {
        text.push_str(&format!(": {}", safe(why)));
    }
}

fn agent(did: &str, state: &AgentState) -> String {
    let enforced = if state.enforced {
        "enforced"
    } else {
        "NOT ENFORCED"
    };
    format!(
        "{did}, version {}, {enforced}; {}",
        safe(&state.version),
        safe(&state.detail)
    )
}

fn session(changed: &SessionChanged) -> (&'static str, Tone, String) {
    let tone = match (changed.change, changed.door) {
        (SessionChange::Refused, _) => Tone::Bad,
        (SessionChange::Revoked, _) | (_, Door::BreakGlass) => Tone::Care,
        (SessionChange::Opened | SessionChange::Used, _) => Tone::Strong,
    };
    let user = changed.user.as_ref().map(ToString::to_string);
    let subject = changed.subject.as_deref().map(safe);
    let whose = match (user, subject) {
        (Some(user), Some(subject)) => format!("{user} (subject {subject})"),
        (Some(user), None) => user,
        (None, subject) => format!("subject {}", subject.unwrap_or_default()),
    };
    let word = changed.change.as_str();
    let mut text = format!("session of {whose} {word} ({})", changed.door.as_str());
    if let Some(token) = changed.token {
        text.push_str(&format!(" with token {token}"));
    }
    came_from(&mut text, changed.address.as_deref());
    by(&mut text, changed.by.as_ref(), changed.reason.as_deref());
    ("SESSION", tone, text)
}

fn access_token(changed: &AccessTokenChanged) -> (&'static str, Tone, String) {
    let tone = match changed.change {
        AccessTokenChange::Refused => Tone::Bad,
        AccessTokenChange::Created | AccessTokenChange::Revoked => Tone::Strong,
    };
    let word = changed.change.as_str();
    let purpose = safe(&changed.purpose);
    let mut text = format!("{} {word} for {} ({purpose})", changed.token, changed.user);
    came_from(&mut text, changed.address.as_deref());
    by(&mut text, changed.by.as_ref(), changed.reason.as_deref());
    ("TOKEN", tone, text)
}
