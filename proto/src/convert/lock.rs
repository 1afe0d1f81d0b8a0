//! Locks.

use stayhand_guardrail::{
    limits::LOCKS_MAX,
    lock::{Lock, Target},
};

use super::{
    Invalid,
    invalid::inside,
    name,
    scalar::{bounded, id, some_id, text, time, timestamp, unix_ms},
};
use crate::v1;

/// Whom and where a lock is about, as it is on the wire.
///
/// # Errors
///
/// Names that are none, and a lock on nobody and nothing.
pub fn target(user: &str, host: &str) -> Result<Target, Invalid> {
    let user = some_id("user", user)?;
    let host = name::optional("host", name::HOSTS, host)?;
    let missing = "is missing, and so is `host`; a lock is on one of them, or on both";
    Target::new(user, host).ok_or_else(|| Invalid::new("user", missing))
}

impl From<Lock> for v1::Lock {
    fn from(lock: Lock) -> Self {
        let Lock {
            id,
            target,
            until,
            created_by,
            reason,
            create_time,
        } = lock;
        Self {
            name: name::lock(id),
            user: target.user().map(ToString::to_string).unwrap_or_default(),
            host: target.host().map(name::host).unwrap_or_default(),
            until_time: until.map(timestamp),
            created_by: created_by.into(),
            reason,
            create_time: Some(timestamp(create_time)),
        }
    }
}

impl TryFrom<v1::Lock> for Lock {
    type Error = Invalid;
    fn try_from(wire: v1::Lock) -> Result<Self, Invalid> {
        let v1::Lock {
            name: own,
            user,
            host,
            until_time,
            created_by,
            reason,
            create_time,
        } = wire;
        Ok(Self {
            id: name::parse("name", name::LOCKS, &own)?,
            target: target(&user, &host)?,
            until: unix_ms("until_time", until_time)?,
            created_by: id("created_by", &created_by)?,
            reason: text("reason", reason)?,
            create_time: time("create_time", create_time)?,
        })
    }
}

/// Locks on something.
pub(super) fn listed(wire: Vec<v1::Lock>) -> Result<Vec<Lock>, Invalid> {
    bounded("locks", wire, LOCKS_MAX)?
        .into_iter()
        .enumerate()
        .map(|(at, wire)| inside(&format!("locks[{at}]"), wire.try_into()))
        .collect()
}
