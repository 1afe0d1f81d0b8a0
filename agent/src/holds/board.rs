//! Where the threads of the agent see every hold: the uplink, the service for people, and whoever makes events.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use stayhand_guardrail::hold::Hold;
use tokio::sync::watch;

/// Every hold that is known, each with the number of its last change.
pub struct Board {
    holds: Mutex<BTreeMap<u64, (u64, Hold)>>,
    version: watch::Sender<u64>,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            holds: Mutex::default(),
            version: watch::Sender::new(0),
        }
    }
}

impl Board {
    /// Shows a hold as it is now; the same again is no change.
    pub fn put(&self, hold: &Hold) {
        let mut holds = self.lock();
        if holds
            .get(&hold.id.0)
            .is_some_and(|(_, shown)| shown == hold)
        {
            return;
        }
        self.version.send_modify(|version| {
            *version += 1;
            holds.insert(hold.id.0, (*version, hold.clone()));
        });
    }

    /// Takes a hold off.
    pub fn remove(&self, id: u64) {
        self.lock().remove(&id);
    }

    /// A hold as it is now.
    pub fn get(&self, id: u64) -> Option<Hold> {
        self.lock().get(&id).map(|(_, hold)| hold.clone())
    }

    /// What changed after `version`, in the order of the changes, and the version now.
    pub fn changed_since(&self, version: u64) -> (u64, Vec<Hold>) {
        let holds = self.lock();
        let mut changed: Vec<&(u64, Hold)> =
            holds.values().filter(|(at, _)| *at > version).collect();
        changed.sort_by_key(|(at, _)| *at);
        (
            *self.version.borrow(),
            changed.into_iter().map(|(_, hold)| hold.clone()).collect(),
        )
    }

    /// Holds that wait for an answer.
    pub fn pending(&self) -> usize {
        let holds = self.lock();
        holds
            .values()
            .filter(|(_, hold)| !hold.state.is_over())
            .count()
    }

    /// Tells of changes.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, (u64, Hold)>> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
