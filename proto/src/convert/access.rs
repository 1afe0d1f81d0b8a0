//! Sessions of operators over the network, and the tokens with which programs act for them.

use stayhand_guardrail::event::{
    AccessTokenChange, AccessTokenChanged, Door, SessionChange, SessionChanged,
};

use super::{
    Invalid, name,
    scalar::{bounded, id, shown, some_id, some_text, text, texts, time, timestamp, unix_ms},
};
use crate::{
    v1,
    view::{AccessTokenView, SessionView},
};

/// Actions of one token: more than there are.
const ACTIONS_MAX: usize = 64;

fn word<T: Copy>(
    field: &str,
    said: &str,
    all: &[T],
    as_str: impl Fn(T) -> &'static str,
) -> Result<T, Invalid> {
    let found = all.iter().copied().find(|one| as_str(*one) == said);
    found.ok_or_else(|| Invalid::new(field, "is none of the words that there are"))
}

fn door(said: &str) -> Result<Door, Invalid> {
    word("door", said, &Door::ALL, Door::as_str)
}

impl From<SessionChanged> for v1::SessionChangedEvent {
    fn from(changed: SessionChanged) -> Self {
        let SessionChanged {
            session,
            change,
            user,
            door,
            subject,
            token,
            by,
            expire_time,
            address,
            reason,
        } = changed;
        Self {
            session: session.map(name::session).unwrap_or_default(),
            change: change.as_str().to_owned(),
            user: shown(user.as_ref()),
            door: door.as_str().to_owned(),
            subject: subject.unwrap_or_default(),
            token: token.map(name::access_token).unwrap_or_default(),
            by: shown(by.as_ref()),
            expire_time: expire_time.map(timestamp),
            address: address.unwrap_or_default(),
            reason: reason.unwrap_or_default(),
        }
    }
}

impl TryFrom<v1::SessionChangedEvent> for SessionChanged {
    type Error = Invalid;
    fn try_from(wire: v1::SessionChangedEvent) -> Result<Self, Invalid> {
        let v1::SessionChangedEvent {
            session,
            change,
            user,
            door: through,
            subject,
            token,
            by,
            expire_time,
            address,
            reason,
        } = wire;
        Ok(Self {
            session: name::optional("session", name::SESSIONS, &session)?,
            change: word(
                "change",
                &change,
                &SessionChange::ALL,
                SessionChange::as_str,
            )?,
            user: some_id("user", &user)?,
            door: door(&through)?,
            subject: some_text("subject", subject)?,
            token: name::optional("token", name::ACCESS_TOKENS, &token)?,
            by: some_id("by", &by)?,
            expire_time: unix_ms("expire_time", expire_time)?,
            address: some_text("address", address)?,
            reason: some_text("reason", reason)?,
        })
    }
}

impl From<AccessTokenChanged> for v1::AccessTokenChangedEvent {
    fn from(changed: AccessTokenChanged) -> Self {
        let AccessTokenChanged {
            token,
            change,
            purpose,
            user,
            actions,
            by,
            expire_time,
            address,
            reason,
        } = changed;
        Self {
            token: name::access_token(token),
            change: change.as_str().to_owned(),
            purpose,
            user: user.into(),
            actions,
            by: shown(by.as_ref()),
            expire_time: Some(timestamp(expire_time)),
            address: address.unwrap_or_default(),
            reason: reason.unwrap_or_default(),
        }
    }
}

impl TryFrom<v1::AccessTokenChangedEvent> for AccessTokenChanged {
    type Error = Invalid;
    fn try_from(wire: v1::AccessTokenChangedEvent) -> Result<Self, Invalid> {
        let v1::AccessTokenChangedEvent {
            token,
            change,
            purpose,
            user,
            actions,
            by,
            expire_time,
            address,
            reason,
        } = wire;
        Ok(Self {
            token: name::parse("token", name::ACCESS_TOKENS, &token)?,
            change: word(
                "change",
                &change,
                &AccessTokenChange::ALL,
                AccessTokenChange::as_str,
            )?,
            purpose: text("purpose", purpose)?,
            user: id("user", &user)?,
            actions: texts("actions", bounded("actions", actions, ACTIONS_MAX)?)?,
            by: some_id("by", &by)?,
            expire_time: time("expire_time", expire_time)?,
            address: some_text("address", address)?,
            reason: some_text("reason", reason)?,
        })
    }
}

impl From<SessionView> for v1::Session {
    fn from(view: SessionView) -> Self {
        let SessionView {
            id,
            user,
            door,
            subject,
            token,
            created,
            expires,
            used,
            address,
        } = view;
        Self {
            name: name::session(id),
            user: user.into(),
            door: door.as_str().to_owned(),
            subject: subject.unwrap_or_default(),
            token: token.map(name::access_token).unwrap_or_default(),
            create_time: Some(timestamp(created)),
            expire_time: Some(timestamp(expires)),
            use_time: used.map(timestamp),
            address: address.unwrap_or_default(),
        }
    }
}

impl TryFrom<v1::Session> for SessionView {
    type Error = Invalid;
    fn try_from(wire: v1::Session) -> Result<Self, Invalid> {
        let v1::Session {
            name: named,
            user,
            door: through,
            subject,
            token,
            create_time,
            expire_time,
            use_time,
            address,
        } = wire;
        Ok(Self {
            id: name::parse("name", name::SESSIONS, &named)?,
            user: id("user", &user)?,
            door: door(&through)?,
            subject: some_text("subject", subject)?,
            token: name::optional("token", name::ACCESS_TOKENS, &token)?,
            created: time("create_time", create_time)?,
            expires: time("expire_time", expire_time)?,
            used: unix_ms("use_time", use_time)?,
            address: some_text("address", address)?,
        })
    }
}

impl From<AccessTokenView> for v1::AccessToken {
    fn from(view: AccessTokenView) -> Self {
        let AccessTokenView {
            id,
            purpose,
            user,
            actions,
            created,
            expires,
            used,
            revoked,
        } = view;
        Self {
            name: name::access_token(id),
            purpose,
            user: user.into(),
            actions,
            create_time: Some(timestamp(created)),
            expire_time: Some(timestamp(expires)),
            use_time: used.map(timestamp),
            revoke_time: revoked.map(timestamp),
        }
    }
}

impl TryFrom<v1::AccessToken> for AccessTokenView {
    type Error = Invalid;
    fn try_from(wire: v1::AccessToken) -> Result<Self, Invalid> {
        let v1::AccessToken {
            name: named,
            purpose,
            user,
            actions,
            create_time,
            expire_time,
            use_time,
            revoke_time,
        } = wire;
        Ok(Self {
            id: name::parse("name", name::ACCESS_TOKENS, &named)?,
            purpose: text("purpose", purpose)?,
            user: id("user", &user)?,
            actions: texts("actions", bounded("actions", actions, ACTIONS_MAX)?)?,
            created: time("create_time", create_time)?,
            expires: time("expire_time", expire_time)?,
            used: unix_ms("use_time", use_time)?,
            revoked: unix_ms("revoke_time", revoke_time)?,
        })
    }
}
