//! Locks: while one stands, nothing that somebody gave counts. What no rule restricts goes on; a lock takes grants and approvals, and
//! gives nothing back but what it took.
//!
//! Whoever asks brings the time; nothing here reads a clock.

use serde::{Deserialize, Serialize};

use crate::{
    id::{HostId, LockId, UserName},
    subject::Subject,
    time::UnixMs,
};

/// Whom and where a lock is about. One of both is there, or both: a person on one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    user: Option<UserName>,
    host: Option<HostId>,
}

impl Target {
    /// None where it would be about everybody everywhere: whoever means that removes policies from nobody and stops the control plane.
    pub fn new(user: Option<UserName>, host: Option<HostId>) -> Option<Self> {
        (user.is_some() || host.is_some()).then_some(Self { user, host })
    }

    /// About whom; everybody if none
    pub fn user(&self) -> Option<&UserName> {
        self.user.as_ref()
    }

    /// Where; everywhere if none
    pub fn host(&self) -> Option<&HostId> {
        self.host.as_ref()
    }

    /// Whether it is about this person on this host.
    pub fn covers(&self, user: &UserName, host: &HostId) -> bool {
        self.user.as_ref().is_none_or(|own| own == user)
            && self.host.as_ref().is_none_or(|own| own == host)
    }

    /// The same for whoever is held. One whose name nobody knows at the moment may be whoever is meant.
    pub fn covers_subject(&self, subject: &Subject, host: &HostId) -> bool {
        let user = self.user.as_ref().zip(subject.user.as_ref());
        user.is_none_or(|(own, user)| own == user)
            && self.host.as_ref().is_none_or(|own| own == host)
    }

    /// Whether it is about this person wherever they are.
    pub fn covers_everywhere(&self, user: &UserName) -> bool {
        self.host.is_none() && self.user.as_ref().is_none_or(|own| own == user)
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.user, &self.host) {
            (Some(user), Some(host)) => write!(f, "user {user} on host {host}"),
            (Some(user), None) => write!(f, "user {user}"),
            (None, Some(host)) => write!(f, "host {host}"),
            (None, None) => f.write_str("nobody"),
        }
    }
}

/// A lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// Its id
    pub id: LockId,
    /// Whom and where
    pub target: Target,
    /// Until when; none where somebody has to take it away
    pub until: Option<UnixMs>,
    /// Who made it
    pub created_by: UserName,
    /// Why; told to whoever is held, and to whoever gives something
    pub reason: String,
    /// When
    pub create_time: UnixMs,
}

impl Lock {
    /// Whether it stands at this time.
    pub fn stands(&self, now: UnixMs) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl std::fmt::Display for Lock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            id,
            target,
            until,
            created_by,
            reason,
            create_time: _,
        } = self;
        write!(f, "{target} is locked by {created_by}")?;
        if let Some(until) = until {
            write!(f, " until {until}")?;
        }
        write!(f, ": {} (lock {id})", crate::text::safe(reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(user: Option<&str>, host: Option<&str>) -> Target {
        let user = user.map(|name| name.parse().unwrap());
        let host = host.map(|name| name.parse().unwrap());
        Target::new(user, host).unwrap()
    }

    fn user(name: &str) -> UserName {
        name.parse().unwrap()
    }

    #[test]
    fn a_lock_on_nobody_and_nothing_is_none() {
        assert_eq!(Target::new(None, None), None);
    }

    #[test]
    fn a_lock_covers_whom_it_names_where_it_names_and_nobody_else() {
        let [db1, db2] = ["db1", "db2"].map(|name| name.parse().unwrap());
        for (lock, alice_db1, alice_db2, bob_db1) in [
            (target(Some("alice"), None), true, true, false),
            (target(None, Some("db1")), true, false, true),
            (target(Some("alice"), Some("db1")), true, false, false),
        ] {
            assert_eq!(lock.covers(&user("alice"), &db1), alice_db1, "{lock}");
            assert_eq!(lock.covers(&user("alice"), &db2), alice_db2, "{lock}");
            assert_eq!(lock.covers(&user("bob"), &db1), bob_db1, "{lock}");
        }
    }

    #[test]
    fn whoever_is_held_and_has_no_name_may_be_whoever_is_locked() {
        let [db1, db2] = ["db1", "db2"].map(|name| name.parse().unwrap());
        let nameless = Subject {
            auid: 1000,
            user: None,
            session: None,
        };
        assert!(target(Some("alice"), None).covers_subject(&nameless, &db1));
        assert!(target(Some("alice"), Some("db1")).covers_subject(&nameless, &db1));
        assert!(!target(Some("alice"), Some("db1")).covers_subject(&nameless, &db2));
        let bob = Subject {
            user: Some(user("bob")),
            ..nameless
        };
        assert!(!target(Some("alice"), None).covers_subject(&bob, &db1));
        assert!(target(None, Some("db1")).covers_subject(&bob, &db1));
    }

    #[test]
    fn only_a_lock_on_a_user_alone_is_everywhere() {
        let alice = user("alice");
        assert!(target(Some("alice"), None).covers_everywhere(&alice));
        assert!(!target(Some("bob"), None).covers_everywhere(&alice));
        assert!(!target(Some("alice"), Some("db1")).covers_everywhere(&alice));
        assert!(!target(None, Some("db1")).covers_everywhere(&alice));
    }

    #[test]
    fn a_lock_ends_at_its_time_and_one_without_does_not() {
        let lock = |until| Lock {
            id: LockId(1),
            target: target(Some("alice"), None),
            until,
            created_by: user("carol"),
            reason: "looked at".to_owned(),
            create_time: UnixMs(1),
        };
        assert!(lock(Some(UnixMs(10))).stands(UnixMs(9)));
        assert!(!lock(Some(UnixMs(10))).stands(UnixMs(10)));
        assert!(lock(None).stands(UnixMs(u64::MAX)));
    }
}
