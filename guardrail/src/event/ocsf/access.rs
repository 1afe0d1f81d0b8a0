//! Operators that sign in over the network, and the tokens with which programs act for them.

use serde_json::json;

use super::{
    Body,
    class::{Class, activity, severity, status},
    lifecycle::{ENTITY_OTHER, actor, by as by_whom},
    membership::from_where,
};
use crate::{
    event::{AccessTokenChange, AccessTokenChanged, Door, SessionChange, SessionChanged},
    text::safe,
};

/// `auth_protocol_id` of `OpenID`.
const PROTOCOL_OPENID: u32 = 4;
/// `auth_protocol_id` of what the standard has no number for.
const PROTOCOL_OTHER: u32 = 99;
/// `logon_type_id` of a session over the network.
const LOGON_NETWORK: u32 = 3;

pub(super) fn session(change: &SessionChanged) -> Body {
    let (activity, failed) = match change.change {
        SessionChange::Opened | SessionChange::Used => (activity::LOGON, false),
        SessionChange::Revoked => (activity::LOGOFF, false),
        SessionChange::Refused => (activity::LOGON, true),
    };
    let word = change.change.as_str();
    let user = change.user.as_ref();
    let whose = user.map_or_else(|| "somebody unknown".to_owned(), ToString::to_string);
    let by = change.by.as_ref();
    let by_whom = by_whom(by);
    let message = format!(
        "session of {whose} {word}{by_whom} ({})",
        change.door.as_str()
    );
    let code = format!("session.{word}");
    let mut body = Body::new(Class::AUTHENTICATION, activity, code, message);
    body.severity = match (change.change, change.door) {
        (SessionChange::Refused, _)
        | (SessionChange::Opened | SessionChange::Used, Door::BreakGlass) => severity::HIGH,
        (SessionChange::Revoked, _) => severity::MEDIUM,
        _ => severity::INFORMATIONAL,
    };
    if failed {
        body.status = status::FAILURE;
    }
    // Whom the provider named, where nobody here is linked to that.
    let subject = change.subject.as_deref().map(safe);
    let name = user.map(ToString::to_string).or_else(|| subject.clone());
    let mut person = json!({ "name": name.unwrap_or_default() });
    if let Some(subject) = subject {
        person["uid_alt"] = json!(subject);
    }
    body.set("user", person);
    body.set("service", json!({ "name": "stayhand-control" }));
    let (protocol, number) = match change.door {
        Door::Oidc => ("OpenID Connect", PROTOCOL_OPENID),
        Door::BreakGlass => ("certificate", PROTOCOL_OTHER),
        Door::Token => ("token", PROTOCOL_OTHER),
    };
    body.set("auth_protocol", protocol);
    body.set("auth_protocol_id", number);
    body.set("logon_type_id", LOGON_NETWORK);
    if let Some(by) = by {
        body.set("actor", actor(by));
    }
    if let Some(session) = change.session {
        body.set("session", json!({ "uid": format!("sessions/{session}") }));
    }
    body.note("door", change.door.as_str());
    if let Some(token) = change.token {
        body.note("access_token", json!(format!("accessTokens/{token}")));
    }
    if let Some(expires) = change.expire_time {
        body.note("expire_time", json!(expires.0));
    }
    let (address, reason) = (change.address.as_deref(), change.reason.as_deref());
    from_where(&mut body, address, reason);
    body
}

pub(super) fn token(change: &AccessTokenChanged) -> Body {
    let refused = change.change == AccessTokenChange::Refused;
    let activity = match change.change {
        AccessTokenChange::Created => activity::ENTITY_CREATE,
        AccessTokenChange::Revoked | AccessTokenChange::Refused => activity::ENTITY_UPDATE,
    };
    let word = change.change.as_str();
    let by = change.by.as_ref();
    let by_whom = by_whom(by);
    let message = format!("token {} of {} {word}{by_whom}", change.token, change.user);
    let code = format!("access-token.{word}");
    let mut body = Body::new(Class::ENTITY_MANAGEMENT, activity, code, message);
    body.severity = match change.change {
        AccessTokenChange::Refused => severity::HIGH,
        AccessTokenChange::Created => severity::MEDIUM,
        AccessTokenChange::Revoked => severity::LOW,
    };
    if refused {
        body.status = status::FAILURE;
    }
    if let Some(by) = by {
        body.set("actor", actor(by));
    }
    body.set(
        "entity",
        json!({
            "uid": format!("accessTokens/{}", change.token),
            "name": safe(&change.purpose),
            "type": "Access token",
            "type_id": ENTITY_OTHER,
        }),
    );
    body.note("user", change.user.as_str());
    body.note("actions", json!(change.actions));
    body.note("expire_time", json!(change.expire_time.0));
    let (address, reason) = (change.address.as_deref(), change.reason.as_deref());
    from_where(&mut body, address, reason);
    body
}
