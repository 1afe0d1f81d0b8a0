//! Locks: while one stands, no grant that it covers counts, what waits is refused, and nothing new is given. It takes nothing away for
//! good: a grant that is not over when the last lock on it goes counts again.
//!
//! An approval that its host has not yet waits with the grants. One that it has goes on: it may be carrying that out at this moment.

use std::collections::BTreeSet;

use stayhand_guardrail::{
    grant::Grant,
    hold::{Fact, Hold},
    id::{Generation, HostId, LockId, UserName},
    limits::{LOCK_MAX, LOCKS_MAX, REASON_BYTES_MAX},
    lock::{Lock, Target},
    policy::HostLabels,
    time::{DurationMs, UnixMs},
};

use super::{App, Error, holds, ids};
use crate::{
    authz::{Action, LockResource, Resource},
    limits::ENDINGS_PER_TICK,
    operator::Operator,
    store::{StoredGrant, StoredHold, Write},
};

/// Why there is no lock, or what one is in the way of.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// It stands in the way.
    #[error("{0}; `stayhand lock ls` shows the locks that stand")]
    Locked(Box<Lock>),
    /// Nobody made it, or it is gone.
    #[error("lock `{0}` does not stand (any more); `stayhand lock ls` shows those that do")]
    Unknown(LockId),
    /// Whoever is at somebody's keyboard is not let out by that.
    #[error("`{0}` is the one who is locked and cannot remove that; ask another operator")]
    Own(UserName),
    /// As many as anybody looks through.
    #[error(
        "{0} locks stand, which is the most; remove some that are of no use any more (stayhand lock rm)"
    )]
    TooMany(usize),
}

impl App {
    /// Makes a lock, refuses what it covers and is waiting, and tells the hosts.
    pub async fn create_lock(
        &self,
        operator: &Operator,
        target: Target,
        ttl: Option<DurationMs>,
        reason: String,
    ) -> Result<Lock, Error> {
        // The name service may be slow; the writer is not held meanwhile.
        let (target, is_known) = self.canonical(target).await;
        let own = target.user() == Some(operator.user());
        let resource = self.lock_resource(&target).await?;
        self.allows_of(operator, Action::LockCreate, &resource, own)?;
        ids::reason(&reason)?;
        if let Some(ttl) = ttl.filter(|ttl| ttl.0 == 0 || *ttl > LOCK_MAX) {
            let problem = format!("a lock with an end stands for up to {LOCK_MAX}, not for {ttl}");
            return Err(Error::field("ttl", problem));
        }
        let mut write = self.store().begin().await?;
        let now = self.now();
        if !is_known {
            has_something(&mut write, &target, now).await?;
        }
        let standing = write.locks().await?;
        if standing.iter().filter(|lock| lock.stands(now)).count() >= LOCKS_MAX {
            return Err(LockError::TooMany(LOCKS_MAX).into());
        }
        let lock = Lock {
            id: LockId(self.outside.id().as_u64_pair().1.max(1)),
            target,
            until: ttl.map(|ttl| now.plus(ttl)),
            created_by: operator.user().clone(),
            reason,
            create_time: now,
        };
        let held = held(&mut write, std::slice::from_ref(&lock)).await?;
        let generation = tell(&mut write, &lock, &held).await?;
        write.put_lock(&lock, generation).await?;
        for hold in held {
            refuse(&mut write, hold, &lock, now).await?;
        }
        write.commit().await?;
        tracing::warn!(lock = %lock.id, target = %lock.target, by = %operator.user(), "locked");
        Ok(lock)
    }

    /// Takes a lock away, whether it has an end or not.
    pub async fn remove_lock(
        &self,
        operator: &Operator,
        id: LockId,
        reason: String,
    ) -> Result<(), Error> {
        let mut write = self.store().begin().await?;
        let found = write.locks().await?.into_iter().find(|one| one.id == id);
        let lock = found.ok_or(LockError::Unknown(id))?;
        let own = lock.target.user() == Some(operator.user());
        if own {
            return Err(LockError::Own(operator.user().clone()).into());
        }
        let resource = self.lock_resource(&lock.target).await?;
        self.allows_of(operator, Action::LockRemove, &resource, own)?;
        ids::reason(&reason)?;
        let now = self.now();
        let by = (operator.user().clone(), reason);
        write.drop_lock(&lock, Some(by), now).await?;
        tell_gone(&mut write, std::slice::from_ref(&lock)).await?;
        write.commit().await?;
        tracing::warn!(lock = %id, target = %lock.target, by = %operator.user(), "lock removed");
        Ok(())
    }

    /// Every lock that stands.
    pub async fn lock_list(&self, operator: &Operator) -> Result<Vec<Lock>, Error> {
        self.allows(operator, Action::LockList, &Resource::Control)?;
        let stored = self.store().locks().await?;
        Ok(stored.into_iter().map(|one| one.lock).collect())
    }

    /// Takes away what is over, and tells the hosts.
    pub(super) async fn end_locks(&self) -> Result<(), Error> {
        let now = self.now();
        let mut write = self.store().begin().await?;
        let mut over = write.locks().await?;
        over.retain(|lock| !lock.stands(now));
        over.truncate(ENDINGS_PER_TICK as usize);
        for lock in &over {
            write.drop_lock(lock, None, now).await?;
            tracing::info!(lock = %lock.id, target = %lock.target, "lock ended");
        }
        tell_gone(&mut write, &over).await?;
        write.commit().await?;
        Ok(())
    }

    /// The target by the name that the name service itself uses, and whether that knows it. Rules are asked about that name. A lock
    /// waits for no name service: where that cannot be asked, it is the name that was given.
    async fn canonical(&self, target: Target) -> (Target, bool) {
        let Some(user) = target.user() else {
            return (target, true);
        };
        let Ok(person) = self.names.person(user).await else {
            return (target, true);
        };
        let Some(name) = person.name().cloned() else {
            return (target, false);
        };
        let named = Target::new(Some(name), target.host().cloned());
        (named.unwrap_or(target), true)
    }

    async fn lock_resource(&self, target: &Target) -> Result<Resource, Error> {
        let labels = match target.host() {
            Some(host) => self.store().host_labels(host).await?,
            None => HostLabels::default(),
        };
        Ok(Resource::Lock(Box::new(LockResource {
            subject: target.user().map(ToString::to_string).unwrap_or_default(),
            host: target.host().map(ToString::to_string).unwrap_or_default(),
            labels,
        })))
    }
}

/// A typing error locks nobody; somebody whom no directory knows any more can be locked for as long as they have something or wait
/// for it.
async fn has_something(write: &mut Write<'_>, target: &Target, now: UnixMs) -> Result<(), Error> {
    let Some(user) = target.user() else {
        return Ok(());
    };
    let has = |one: &StoredGrant| one.grant.user == *user;
    let waits = |one: &StoredHold| one.hold.subject.user.as_ref() == Some(user);
    if write.live_grants(now).await?.iter().any(has)
        || write.every_open_hold().await?.iter().any(waits)
    {
        Ok(())
    } else {
        Err(Error::UnknownUser(user.clone()))
    }
}

/// What is held and not over, and about whom one of these locks is.
async fn held(write: &mut Write<'_>, locks: &[Lock]) -> Result<Vec<Hold>, Error> {
    let open = write.every_open_hold().await?;
    let mut held: Vec<Hold> = open.into_iter().map(|one| one.hold).collect();
    held.retain(|hold| {
        let covers = |lock: &Lock| lock.target.covers_subject(&hold.subject, &hold.host);
        locks.iter().any(covers)
    });
    Ok(held)
}

/// Hosts that are to hear of something. On others nothing changes.
struct Hearers {
    everybody: bool,
    hosts: BTreeSet<HostId>,
}

impl Hearers {
    fn of(held: &[Hold]) -> Self {
        Self {
            everybody: false,
            hosts: held.iter().map(|hold| hold.host.clone()).collect(),
        }
    }

    fn hosts_of(&mut self, grant: &Grant) {
        self.everybody |= grant.hosts.is_empty();
        self.hosts.extend(grant.hosts.iter().cloned());
    }

    async fn publish(self, write: &mut Write<'_>) -> Result<Option<Generation>, Error> {
        let hosts: Vec<HostId> = self.hosts.into_iter().collect();
        if self.everybody {
            Ok(Some(write.publish(None).await?))
        } else if hosts.is_empty() {
            Ok(None)
        } else {
            Ok(Some(write.publish_on(&hosts).await?))
        }
    }
}

/// Publishes where a new lock takes something from somebody. Grants that are over and that nobody has ended yet are looked at, too:
/// hosts have them until they hear of that.
async fn tell(write: &mut Write<'_>, lock: &Lock, held: &[Hold]) -> Result<Generation, Error> {
    let mut hearers = Hearers::of(held);
    if let Some(host) = lock.target.host() {
        hearers.hosts.insert(host.clone());
    } else {
        for StoredGrant { grant, .. } in write.live_grants(UnixMs(0)).await? {
            if lock.target.covers_everywhere(&grant.user) {
                hearers.hosts_of(&grant);
            }
        }
    }
    Ok(hearers.publish(write).await?.unwrap_or_default())
}

/// Publishes where locks that are gone gave something back. Their grants are told of anew on every host that has one of them: of
/// that generation it is shown how far each host is.
async fn tell_gone(write: &mut Write<'_>, locks: &[Lock]) -> Result<(), Error> {
    let mut hearers = Hearers::of(&held(write, locks).await?);
    let on_hosts = locks.iter().filter_map(|lock| lock.target.host());
    hearers.hosts.extend(on_hosts.cloned());
    let mut back = vec![];
    for StoredGrant { grant, .. } in write.live_grants(UnixMs(0)).await? {
        if locks.iter().any(|lock| meets(lock, &grant)) {
            hearers.hosts_of(&grant);
            back.push(grant.id);
        }
    }
    if let Some(generation) = hearers.publish(write).await? {
        write.renumber_grants(&back, generation).await?;
    }
    Ok(())
}

/// Refuses what would be given and could count nowhere.
pub(super) fn nothing_locks(
    locks: &[Lock],
    user: &UserName,
    hosts: &[HostId],
) -> Result<(), LockError> {
    let everywhere = locks
        .iter()
        .find(|lock| lock.target.covers_everywhere(user));
    let on = |host| locks.iter().find(|lock| lock.target.covers(user, host));
    let on_each: Option<Vec<&Lock>> = hosts.iter().map(on).collect();
    let on_each = on_each.and_then(|locks| locks.first().copied());
    match everywhere.or(on_each) {
        Some(lock) => Err(LockError::Locked(Box::new(lock.clone()))),
        None => Ok(()),
    }
}

/// The lock that a hold runs into, if there is one.
pub(super) async fn on_hold(write: &mut Write<'_>, hold: &Hold) -> Result<Option<Lock>, Error> {
    let locks = write.locks().await?;
    let covers = |lock: &Lock| lock.target.covers_subject(&hold.subject, &hold.host);
    Ok(locks.into_iter().find(covers))
}

/// Refuses what is held, in the name of whoever made the lock.
pub(super) async fn refuse(
    write: &mut Write<'_>,
    hold: Hold,
    lock: &Lock,
    now: UnixMs,
) -> Result<(), Error> {
    let mut reason = format!("locked: {}", lock.reason);
    reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
    let by = lock.created_by.clone();
    holds::happened(write, hold, Fact::Refuse { by, reason }, now).await
}

/// Whether a grant runs into a lock, anywhere.
pub(super) fn meets(lock: &Lock, grant: &Grant) -> bool {
    let target = &lock.target;
    target.user().is_none_or(|user| *user == grant.user)
        && target.host().is_none_or(|host| grant.is_for(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(user: Option<&str>, host: Option<&str>) -> Lock {
        let user = user.map(|name| name.parse().unwrap());
        let host = host.map(|name| name.parse().unwrap());
        Lock {
            id: LockId(1),
            target: Target::new(user, host).unwrap(),
            until: None,
            created_by: "carol".parse().unwrap(),
            reason: "looked at".into(),
            create_time: UnixMs(1),
        }
    }

    #[test]
    fn what_could_count_nowhere_is_refused_and_what_could_somewhere_is_given() {
        let alice: UserName = "alice".parse().unwrap();
        let hosts = |names: &[&str]| -> Vec<HostId> {
            names.iter().map(|name| name.parse().unwrap()).collect()
        };
        let [db1, db2] = ["db1", "db2"].map(|host| lock(None, Some(host)));
        let refused =
            |locks: &[Lock], on: &[&str]| nothing_locks(locks, &alice, &hosts(on)).is_err();
        let both = [db1, db2];
        assert!(refused(&both, &["db1", "db2"]));
        assert!(!refused(&both, &["db1", "db2", "db3"]));
        assert!(!refused(&both[..1], &["db1", "db2"]));
        assert!(!refused(&both, &[]));
        for on in [&[][..], &["db3"]] {
            assert!(refused(&[lock(Some("alice"), None)], on));
            assert!(!refused(&[lock(Some("bob"), None)], on));
        }
        assert!(refused(&[lock(Some("alice"), Some("db3"))], &["db3"]));
    }
}
