//! What is known of locks: from when on a host is shown to have taken one in, nothing that it covers may be permitted there.

use std::collections::{BTreeMap, BTreeSet};

use stayhand_control::store::StoredHost;
use stayhand_guardrail::{
    id::{Generation, HostId, LockId, UserName},
    lock::{Lock, Target},
    time::UnixMs,
};

use crate::clock::true_ns;

#[derive(Clone, Debug)]
struct Known {
    lock: Lock,
    /// What each host was to have when it was made
    desired: BTreeMap<HostId, Generation>,
    /// Hosts that were shown to have that
    taken_in: BTreeSet<HostId>,
}

#[derive(Debug, Default)]
pub(crate) struct Locks {
    known: BTreeMap<LockId, Known>,
    /// Whoever was to be locked at some time, whatever became of that
    asked_for: Vec<Target>,
    /// Something was given that a lock which stands covers
    pub(crate) gave_locked: bool,
}

impl Locks {
    pub(crate) fn made(&mut self, lock: Lock, desired: BTreeMap<HostId, Generation>) {
        let id = lock.id;
        let known = Known {
            lock,
            desired,
            taken_in: BTreeSet::new(),
        };
        self.known.insert(id, known);
    }

    pub(crate) fn asked_for(&mut self, target: Target) {
        self.asked_for.push(target);
    }

    /// Whether a lease of this person on this host may have gone and come again.
    pub(crate) fn took(&self, user: &UserName, host: &HostId) -> bool {
        let mut all = self.asked_for.iter();
        all.any(|target| target.covers(user, host))
    }

    /// Whether a lock certainly stands wherever this person is. By the control plane's own clock, which takes it away.
    pub(crate) fn stands_for(&self, user: &UserName, now: UnixMs) -> bool {
        let mut all = self.known.values();
        all.any(|known| known.lock.stands(now) && known.lock.target.covers_everywhere(user))
    }

    pub(crate) fn any(&self) -> Option<LockId> {
        self.known.keys().next().copied()
    }

    pub(crate) fn may_be_gone(&mut self, id: LockId) {
        self.known.remove(&id);
    }

    /// How far operators are shown that hosts are.
    pub(crate) fn shown(&mut self, hosts: &[StoredHost]) {
        for known in self.known.values_mut() {
            let has = hosts.iter().filter(|host| {
                let desired = known.desired.get(&host.id);
                desired.is_some_and(|desired| host.enforced >= *desired)
            });
            known.taken_in.extend(has.map(|host| host.id.clone()));
        }
    }

    /// The lock that forbids this, if one does. One with an end is over some time after it.
    pub(crate) fn covers(&self, who: &str, host: &str, time_ns: u64) -> Option<LockId> {
        let (who, host) = (who.parse().ok()?, host.parse().ok()?);
        let mut all = self.known.values();
        let found = all.find(|known| {
            let stands = known
                .lock
                .until
                .is_none_or(|until| time_ns < true_ns(until));
            stands && known.taken_in.contains(&host) && known.lock.target.covers(&who, &host)
        });
        found.map(|known| known.lock.id)
    }
}
