//! Hosts that join and leave, and the tokens with which they do.

use serde_json::json;

use super::{
    Body,
    class::{Class, activity, severity, status},
    lifecycle::{ENTITY_OTHER, actor, by as by_whom},
};
use crate::{
    event::{
        AuthorityChange, AuthorityChanged, JoinTokenChange, JoinTokenChanged, MembershipChange,
        MembershipChanged,
    },
    text::safe,
};

pub(super) fn host(change: &MembershipChanged) -> Body {
    let activity = match change.change {
        MembershipChange::Joined => activity::ENTITY_CREATE,
        MembershipChange::Recovered | MembershipChange::Revoked => activity::ENTITY_UPDATE,
    };
    let word = change.change.as_str();
    let by = change.by.as_ref();
    let by_whom = by_whom(by);
    let message = format!("host {} {word}{by_whom}", change.member);
    let mut body = Body::new(
        Class::ENTITY_MANAGEMENT,
        activity,
        format!("host.{word}"),
        message,
    );
    // A key that counts again without anybody having been asked is worth a look.
    body.severity = match change.change {
        MembershipChange::Joined => severity::LOW,
        MembershipChange::Recovered | MembershipChange::Revoked => severity::MEDIUM,
    };
    if let Some(by) = by {
        body.set("actor", actor(by));
    }
    body.set(
        "entity",
        json!({
            "uid": format!("hosts/{}", change.member),
            "name": change.member.as_str(),
            "type": "Host",
            "type_id": ENTITY_OTHER,
        }),
    );
    if let Some(token) = change.token {
        body.note("join_token", json!(format!("joinTokens/{token}")));
    }
    from_where(
        &mut body,
        change.address.as_deref(),
        change.reason.as_deref(),
    );
    body
}

pub(super) fn token(change: &JoinTokenChanged) -> Body {
    let refused = change.change == JoinTokenChange::Refused;
    let activity = match change.change {
        JoinTokenChange::Created => activity::ENTITY_CREATE,
        JoinTokenChange::Revoked | JoinTokenChange::Refused => activity::ENTITY_UPDATE,
    };
    let word = change.change.as_str();
    let by = change.by.as_ref();
    let by_whom = by_whom(by);
    let message = format!("join token {} {word}{by_whom}", change.token);
    let mut body = Body::new(
        Class::ENTITY_MANAGEMENT,
        activity,
        format!("join-token.{word}"),
        message,
    );
    body.severity = if refused {
        severity::HIGH
    } else {
        severity::LOW
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
            "uid": format!("joinTokens/{}", change.token),
            "name": change.token.to_string(),
            "type": "Join token",
            "type_id": ENTITY_OTHER,
        }),
    );
    body.note("expire_time", json!(change.expire_time.0));
    body.note("uses_left", json!(change.uses_left));
    if let Some(member) = &change.member {
        body.note("host", json!(member.as_str()));
    }
    from_where(
        &mut body,
        change.address.as_deref(),
        change.reason.as_deref(),
    );
    body
}

pub(super) fn authority(change: &AuthorityChanged) -> Body {
    let activity = match change.change {
        AuthorityChange::Made => activity::ENTITY_CREATE,
        AuthorityChange::Retired => activity::ENTITY_UPDATE,
    };
    let word = change.change.as_str();
    let by = change.by.as_ref();
    let by_whom = by_whom(by);
    let message = format!("authority {} {word}{by_whom}", change.authority);
    let mut body = Body::new(
        Class::ENTITY_MANAGEMENT,
        activity,
        format!("authority.{word}"),
        message,
    );
    // Seldom, and everything of certificates depends on it.
    body.severity = severity::MEDIUM;
    if let Some(by) = by {
        body.set("actor", actor(by));
    }
    body.set(
        "entity",
        json!({
            "uid": format!("authorities/{}", change.authority),
            "name": change.authority.to_string(),
            "type": "Authority",
            "type_id": ENTITY_OTHER,
        }),
    );
    from_where(&mut body, None, change.reason.as_deref());
    body
}

pub(super) fn from_where(body: &mut Body, address: Option<&str>, reason: Option<&str>) {
    if let Some(address) = address {
        body.note("address", json!(safe(address)));
    }
    if let Some(reason) = reason {
        body.set("comment", safe(reason));
    }
}
