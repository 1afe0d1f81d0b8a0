//! Hosts that join and leave, tokens with which they do, and certificates.

use stayhand_guardrail::event::{
    AuthorityChange, AuthorityChanged, JoinTokenChange, JoinTokenChanged, MembershipChange,
    MembershipChanged,
};

use super::{
    Invalid, name,
    scalar::{shown, some_id, some_text, time, timestamp, unix_ms},
};
use crate::{
    v1,
    v1::{authority_changed_event, join_token_changed_event, membership_changed_event},
    view::{JoinTokenView, MembershipView},
};

impl From<MembershipChanged> for v1::MembershipChangedEvent {
    fn from(changed: MembershipChanged) -> Self {
        use membership_changed_event::Change;
        let MembershipChanged {
            member,
            change,
            by,
            token,
            address,
            reason,
        } = changed;
        let change = match change {
            MembershipChange::Joined => Change::Joined,
            MembershipChange::Recovered => Change::Recovered,
            MembershipChange::Revoked => Change::Revoked,
        };
        Self {
            member: name::host(&member),
            change: change.into(),
            by: shown(by.as_ref()),
            token: token.map(name::join_token).unwrap_or_default(),
            address: address.unwrap_or_default(),
            reason: reason.unwrap_or_default(),
        }
    }
}

impl TryFrom<v1::MembershipChangedEvent> for MembershipChanged {
    type Error = Invalid;
    fn try_from(wire: v1::MembershipChangedEvent) -> Result<Self, Invalid> {
        use membership_changed_event::Change;
        let v1::MembershipChangedEvent {
            member,
            change,
            by,
            token,
            address,
            reason,
        } = wire;
        let change = match Change::try_from(change) {
            Ok(Change::Joined) => MembershipChange::Joined,
            Ok(Change::Recovered) => MembershipChange::Recovered,
            Ok(Change::Revoked) => MembershipChange::Revoked,
            Ok(Change::Unspecified) | Err(_) => {
                let problem = format!("{change} is no change of a host's membership");
                return Err(Invalid::new("change", problem));
            }
        };
        Ok(Self {
            member: name::parse("member", name::HOSTS, &member)?,
            change,
            by: some_id("by", &by)?,
            token: name::optional("token", name::JOIN_TOKENS, &token)?,
            address: some_text("address", address)?,
            reason: some_text("reason", reason)?,
        })
    }
}

impl From<JoinTokenChanged> for v1::JoinTokenChangedEvent {
    fn from(changed: JoinTokenChanged) -> Self {
        use join_token_changed_event::Change;
        let JoinTokenChanged {
            token,
            change,
            by,
            member,
            expire_time,
            uses_left,
            address,
            reason,
        } = changed;
        let change = match change {
            JoinTokenChange::Created => Change::Created,
            JoinTokenChange::Revoked => Change::Revoked,
            JoinTokenChange::Refused => Change::Refused,
        };
        Self {
            token: name::join_token(token),
            change: change.into(),
            by: shown(by.as_ref()),
            member: member.as_ref().map(name::host).unwrap_or_default(),
            expire_time: Some(timestamp(expire_time)),
            uses_left,
            address: address.unwrap_or_default(),
            reason: reason.unwrap_or_default(),
        }
    }
}

impl TryFrom<v1::JoinTokenChangedEvent> for JoinTokenChanged {
    type Error = Invalid;
    fn try_from(wire: v1::JoinTokenChangedEvent) -> Result<Self, Invalid> {
        use join_token_changed_event::Change;
        let v1::JoinTokenChangedEvent {
            token,
            change,
            by,
            member,
            expire_time,
            uses_left,
            address,
            reason,
        } = wire;
        let change = match Change::try_from(change) {
            Ok(Change::Created) => JoinTokenChange::Created,
            Ok(Change::Revoked) => JoinTokenChange::Revoked,
            Ok(Change::Refused) => JoinTokenChange::Refused,
            Ok(Change::Unspecified) | Err(_) => {
                let problem = format!("{change} is no change of a join token");
                return Err(Invalid::new("change", problem));
            }
        };
        Ok(Self {
            token: name::parse("token", name::JOIN_TOKENS, &token)?,
            change,
            by: some_id("by", &by)?,
            member: name::optional("member", name::HOSTS, &member)?,
            expire_time: time("expire_time", expire_time)?,
            uses_left,
            address: some_text("address", address)?,
            reason: some_text("reason", reason)?,
        })
    }
}

impl From<AuthorityChanged> for v1::AuthorityChangedEvent {
    fn from(changed: AuthorityChanged) -> Self {
        use authority_changed_event::Change;
        let AuthorityChanged {
            authority,
            change,
            by,
            reason,
        } = changed;
        let change = match change {
            AuthorityChange::Made => Change::Made,
            AuthorityChange::Retired => Change::Retired,
        };
        Self {
            authority: name::authority(authority),
            change: change.into(),
            by: shown(by.as_ref()),
            reason: reason.unwrap_or_default(),
        }
    }
}

impl TryFrom<v1::AuthorityChangedEvent> for AuthorityChanged {
    type Error = Invalid;
    fn try_from(wire: v1::AuthorityChangedEvent) -> Result<Self, Invalid> {
        use authority_changed_event::Change;
        let v1::AuthorityChangedEvent {
            authority,
            change,
            by,
            reason,
        } = wire;
        let change = match Change::try_from(change) {
            Ok(Change::Made) => AuthorityChange::Made,
            Ok(Change::Retired) => AuthorityChange::Retired,
            Ok(Change::Unspecified) | Err(_) => {
                let problem = format!("{change} is no change of an authority");
                return Err(Invalid::new("change", problem));
            }
        };
        Ok(Self {
            authority: name::parse("authority", name::AUTHORITIES, &authority)?,
            change,
            by: some_id("by", &by)?,
            reason: some_text("reason", reason)?,
        })
    }
}

impl From<MembershipView> for v1::HostMembership {
    fn from(view: MembershipView) -> Self {
        let MembershipView {
            joined,
            certificate_end,
            recoveries,
            revoked,
        } = view;
        let (revoke_time, revoked_by, revoke_reason) = match revoked {
            Some((at, by, why)) => (Some(timestamp(at)), by.into(), why),
            None => (None, String::new(), String::new()),
        };
        Self {
            join_time: Some(timestamp(joined)),
            certificate_expire_time: certificate_end.map(timestamp),
            recoveries,
            revoke_time,
            revoked_by,
            revoke_reason,
        }
    }
}

impl TryFrom<v1::HostMembership> for MembershipView {
    type Error = Invalid;
    fn try_from(wire: v1::HostMembership) -> Result<Self, Invalid> {
        let v1::HostMembership {
            join_time,
            certificate_expire_time,
            recoveries,
            revoke_time,
            revoked_by,
            revoke_reason,
        } = wire;
        let revoked = match unix_ms("revoke_time", revoke_time)? {
            Some(at) => Some((
                at,
                super::scalar::id("revoked_by", &revoked_by)?,
                super::scalar::text("revoke_reason", revoke_reason)?,
            )),
            None => None,
        };
        Ok(Self {
            joined: time("join_time", join_time)?,
            certificate_end: unix_ms("certificate_expire_time", certificate_expire_time)?,
            recoveries,
            revoked,
        })
    }
}

impl From<JoinTokenView> for v1::JoinToken {
    fn from(view: JoinTokenView) -> Self {
        let JoinTokenView {
            id,
            created_by,
            created,
            expires,
            uses_left,
            host,
            replace,
            revoked,
        } = view;
        Self {
            name: name::join_token(id),
            created_by: created_by.into(),
            create_time: Some(timestamp(created)),
            expire_time: Some(timestamp(expires)),
            uses_left,
            host: host.as_ref().map(name::host).unwrap_or_default(),
            replace,
            revoke_time: revoked.map(timestamp),
        }
    }
}

impl TryFrom<v1::JoinToken> for JoinTokenView {
    type Error = Invalid;
    fn try_from(wire: v1::JoinToken) -> Result<Self, Invalid> {
        let v1::JoinToken {
            name: wire_name,
            created_by,
            create_time,
            expire_time,
            uses_left,
            host,
            replace,
            revoke_time,
        } = wire;
        Ok(Self {
            id: name::parse("name", name::JOIN_TOKENS, &wire_name)?,
            created_by: super::scalar::id("created_by", &created_by)?,
            created: time("create_time", create_time)?,
            expires: time("expire_time", expire_time)?,
            uses_left,
            host: name::optional("host", name::HOSTS, &host)?,
            replace,
            revoked: unix_ms("revoke_time", revoke_time)?,
        })
    }
}
