//! Who waits for changes. A signal says that something changed after a commit, never what: the store is read
//! again, so a slow listener misses nothing and holds up nobody.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use stayhand_guardrail::id::{Generation, HostId};
use tokio::sync::watch;

/// What one change touched.
#[derive(Debug, Default)]
pub(super) struct Touched {
    pub(super) hosts: Vec<(HostId, Generation)>,
    pub(super) grants: bool,
    pub(super) holds: bool,
    pub(super) events: Option<u64>,
    pub(super) certificates: bool,
}

/// Channels of changes.
#[derive(Debug)]
pub struct Signals {
    hosts: Mutex<BTreeMap<HostId, watch::Sender<Generation>>>,
    grants: watch::Sender<u64>,
    holds: watch::Sender<u64>,
    events: watch::Sender<u64>,
    certificates: watch::Sender<u64>,
}

impl Default for Signals {
    fn default() -> Self {
        let channel = || watch::Sender::new(0);
        Self {
            hosts: Mutex::default(),
            grants: channel(),
            holds: channel(),
            events: channel(),
            certificates: channel(),
        }
    }
}

impl Signals {
    /// Desired generations of one host, newest only: states that nobody took yet coalesce.
    pub fn host(&self, host: &HostId) -> watch::Receiver<Generation> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        hosts
            .entry(host.clone())
            .or_insert_with(|| watch::Sender::new(Generation(0)))
            .subscribe()
    }

    /// Changes of grants, of where they are enforced, and of which hosts are online.
    pub fn grants(&self) -> watch::Receiver<u64> {
        self.grants.subscribe()
    }

    /// Changes of holds.
    pub fn holds(&self) -> watch::Receiver<u64> {
        self.holds.subscribe()
    }

    /// Positions of stored events.
    pub fn events(&self) -> watch::Receiver<u64> {
        self.events.subscribe()
    }

    /// Certificates that were taken away.
    pub fn certificates(&self) -> watch::Receiver<u64> {
        self.certificates.subscribe()
    }

    /// A host came or went.
    pub fn presence(&self) {
        self.grants.send_modify(|count| *count += 1);
    }

    /// Tells everybody. Called after a commit and never before.
    pub(super) fn tell(&self, touched: &Touched) {
        {
            let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
            for (host, generation) in &touched.hosts {
                let sender = hosts
                    .entry(host.clone())
                    .or_insert_with(|| watch::Sender::new(Generation(0)));
                // Never back to an older generation.
                sender.send_if_modified(|known| {
                    let newer = *generation > *known;
                    *known = (*known).max(*generation);
                    newer
                });
            }
        }
        if touched.grants || !touched.hosts.is_empty() {
            self.presence();
        }
        if touched.holds {
            self.holds.send_modify(|count| *count += 1);
        }
        if touched.certificates {
            self.certificates.send_modify(|count| *count += 1);
        }
        if let Some(position) = touched.events {
            self.events
                .send_modify(|known| *known = (*known).max(position));
        }
    }
}
