//! Grants.

use stayhand_guardrail::{
    grant::{Grant, GrantState},
    id::Revision,
};

use super::{
    Invalid,
    invalid::inside,
    lock, name,
    scalar::{bounded, id, ids, shown, some_id, text, time, timestamp},
};
use crate::{
    limits::ITEMS_MAX,
    v1,
    v1::grant::State,
    view::{EnforcementView, GrantView},
};

impl From<GrantView> for v1::Grant {
    fn from(view: GrantView) -> Self {
        let GrantView {
            grant,
            enforcement,
            locks,
            more_locks,
        } = view;
        let Grant {
            id,
            user,
            permissions,
            profile,
            hosts,
            reason,
            created_by,
            create_time,
            expire_time,
            revision,
            state,
        } = grant;
        let mut wire = Self {
            name: name::grant(id),
            user: user.into(),
            permissions: permissions.into_iter().map(Into::into).collect(),
            reason,
            created_by: created_by.into(),
            create_time: Some(timestamp(create_time)),
            expire_time: Some(timestamp(expire_time)),
            state: State::Active.into(),
            revoked_by: String::new(),
            revoke_reason: String::new(),
            revoke_time: None,
            enforcement: enforcement.into_iter().map(Into::into).collect(),
            etag: revision.to_string(),
            hosts: hosts.into_iter().map(Into::into).collect(),
            end_time: None,
            profile: shown(profile.as_ref()),
            locks: locks.into_iter().map(Into::into).collect(),
            more_locks,
        };
        match state {
            GrantState::Active => {}
            GrantState::Ended { at } => {
                wire.state = State::Ended.into();
                wire.end_time = Some(timestamp(at));
            }
            GrantState::Revoked { by, reason, at } => {
                wire.state = State::Revoked.into();
                wire.revoked_by = by.into();
                wire.revoke_reason = reason;
                wire.revoke_time = Some(timestamp(at));
            }
        }
        wire
    }
}

impl TryFrom<v1::Grant> for GrantView {
    type Error = Invalid;
    fn try_from(wire: v1::Grant) -> Result<Self, Invalid> {
        let v1::Grant {
            name,
            user,
            permissions,
            reason,
            created_by,
            create_time,
            expire_time,
            state,
            revoked_by,
            revoke_reason,
            revoke_time,
            enforcement,
            etag,
            hosts,
            end_time,
            profile,
            locks,
            more_locks,
        } = wire;
        let state = match State::try_from(state) {
            Ok(State::Active) => GrantState::Active,
            Ok(State::Ended) => GrantState::Ended {
                at: time("end_time", end_time)?,
            },
            Ok(State::Revoked) => GrantState::Revoked {
                by: id("revoked_by", &revoked_by)?,
                reason: text("revoke_reason", revoke_reason)?,
                at: time("revoke_time", revoke_time)?,
            },
            Ok(State::Unspecified) | Err(_) => {
                return Err(Invalid::new(
                    "state",
                    format!("{state} is no state of a grant"),
                ));
            }
        };
        let grant = Grant {
            id: name::parse("name", name::GRANTS, &name)?,
            user: id("user", &user)?,
            permissions: ids("permissions", permissions)?,
            profile: some_id("profile", &profile)?,
            hosts: ids("hosts", hosts)?,
            reason: text("reason", reason)?,
            created_by: id("created_by", &created_by)?,
            create_time: time("create_time", create_time)?,
            expire_time: time("expire_time", expire_time)?,
            revision: Revision(id("etag", &etag)?),
            state,
        };
        Ok(Self {
            grant,
            enforcement: enforcements(enforcement)?,
            locks: lock::listed(locks)?,
            more_locks,
        })
    }
}

/// A list of what hosts are enforcing.
pub(super) fn enforcements(
    wire: Vec<v1::HostEnforcement>,
) -> Result<Vec<EnforcementView>, Invalid> {
    bounded("enforcement", wire, ITEMS_MAX)?
        .into_iter()
        .enumerate()
        .map(|(at, wire)| inside(&format!("enforcement[{at}]"), wire.try_into()))
        .collect()
}
