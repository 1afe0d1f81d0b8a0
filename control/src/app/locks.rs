//! Locks: while one stands, no grant that it covers counts, what waits is refused, and nothing new is given. It takes nothing away for
//! good: a grant that is not over when the last lock on it goes counts again.
//!
//! An approval that its host has not yet waits with the grants. One that it has goes on: it may be carrying that out at this moment.

use stayhand_guardrail::{
    grant::Grant,
    hold::{Fact, Hold},
    id::{HostId, LockId, UserName},
    limits::{LOCK_MAX, LOCKS_MAX},
    lock::{Lock, Target},
    time::{DurationMs, UnixMs},
};

use super::{App, Error, holds, ids};
use crate::{
    authz::{Action, LockResource, Resource},
    operator::Operator,
    store::{StoredHold, Write},
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
    /// Nobody locks themselves out of the control plane's sight.
    #[error(
        "you cannot lock yourself: whoever is at your keyboard could as well take it away; ask another operator"
    )]
    Own,
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
        let own = target.user() == Some(operator.user());
        self.allows_of(
            operator,
            Action::LockCreate,
            &self.lock_resource(&target).await?,
            own,
        )?;
        ids::reason(&reason)?;
        if let Some(ttl) = ttl.filter(|ttl| ttl.0 == 0 || *ttl > LOCK_MAX) {
            let problem = format!("a lock with an end stands for up to {LOCK_MAX}, not for {ttl}");
            return Err(Error::field("ttl", problem));
        }
        self.somebody_known(&target).await?;
        let mut write = self.store().begin().await?;
        if write.locks().await?.len() >= LOCKS_MAX {
            return Err(LockError::TooMany(LOCKS_MAX).into());
        }
        let now = self.now();
        let lock = Lock {
            id: LockId(self.outside.id().as_u64_pair().1.max(1)),
            target,
            until: ttl.map(|ttl| now.plus(ttl)),
            created_by: operator.user().clone(),
            reason,
            create_time: now,
        };
        write.put_lock(&lock).await?;
        for StoredHold { hold, .. } in write.pending_holds().await? {
            if lock.target.covers_subject(&hold.subject, &hold.host) {
                refuse(&mut write, hold, &lock, now).await?;
            }
        }
        write.publish(lock.target.host()).await?;
        write.commit().await?;
        tracing::warn!(lock = %lock.id, target = %lock.target, by = %operator.user(), "locked");
        Ok(lock)
    }

    /// Takes a lock away before its end.
    pub async fn remove_lock(
        &self,
        operator: &Operator,
        id: LockId,
        reason: String,
    ) -> Result<(), Error> {
        ids::reason(&reason)?;
        let mut write = self.store().begin().await?;
        let found = write.locks().await?.into_iter().find(|one| one.id == id);
        let lock = found.ok_or(LockError::Unknown(id))?;
        let own = lock.target.user() == Some(operator.user());
        self.allows_of(
            operator,
            Action::LockRemove,
            &self.lock_resource(&lock.target).await?,
            own,
        )?;
        if own {
            return Err(LockError::Own.into());
        }
        let by = (operator.user().clone(), reason);
        write.drop_lock(&lock, Some(by), self.now()).await?;
        write.publish(lock.target.host()).await?;
        write.commit().await?;
        tracing::warn!(lock = %id, target = %lock.target, by = %operator.user(), "lock removed");
        Ok(())
    }

    /// Locks that stand and that somebody gets to see.
    pub async fn lock_list(&self, operator: &Operator) -> Result<Vec<Lock>, Error> {
        self.allows(operator, Action::LockList, &Resource::Control)?;
        Ok(self.store().locks().await?)
    }

    /// Takes away what is over, and tells the hosts.
    pub(super) async fn end_locks(&self) -> Result<(), Error> {
        let now = self.now();
        let mut write = self.store().begin().await?;
        for lock in write.locks().await? {
            if !lock.stands(now) {
                write.drop_lock(&lock, None, now).await?;
                write.publish(lock.target.host()).await?;
                tracing::info!(lock = %lock.id, target = %lock.target, "lock ended");
            }
        }
        write.commit().await?;
        Ok(())
    }

    /// A person of whom nobody has heard cannot be locked by a typing error; a host may be locked before it joins.
    async fn somebody_known(&self, target: &Target) -> Result<(), Error> {
        match target.user() {
            Some(user) if self.names.uid(user).await.is_none() => {
                Err(Error::UnknownUser(user.clone()))
            }
            _ => Ok(()),
        }
    }

    async fn lock_resource(&self, target: &Target) -> Result<Resource, Error> {
        let labels = match target.host() {
            Some(host) => self.store().host_labels(host).await?,
            None => stayhand_guardrail::policy::HostLabels::default(),
        };
        Ok(Resource::Lock(Box::new(LockResource {
            subject: target.user().map(ToString::to_string).unwrap_or_default(),
            host: target.host().map(ToString::to_string).unwrap_or_default(),
            labels,
        })))
    }
}

/// What would be given, and could count nowhere.
pub(super) fn nothing_locks(
    locks: Vec<Lock>,
    user: &UserName,
    hosts: &[HostId],
) -> Result<(), LockError> {
    let mut locks = locks.into_iter();
    match locks.find(|lock| lock.target.covers_all(user, hosts)) {
        Some(lock) => Err(LockError::Locked(Box::new(lock))),
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
    let fact = Fact::Refuse {
        by: lock.created_by.clone(),
        reason: format!("locked: {}", lock.reason),
    };
    holds::happened(write, hold, fact, now).await
}

/// Locks that a grant runs into, anywhere.
pub(super) fn on_grant(locks: &[Lock], grant: &Grant) -> Vec<Lock> {
    let is_there = |lock: &Lock| match lock.target.host() {
        Some(host) => grant.hosts.is_empty() || grant.hosts.contains(host),
        None => true,
    };
    let is_whose = |lock: &Lock| lock.target.user().is_none_or(|user| *user == grant.user);
    let found = locks.iter().filter(|lock| is_there(lock) && is_whose(lock));
    found.cloned().collect()
}
