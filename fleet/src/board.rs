//! What every host did and when, written by the hosts and read by whoever measures.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use stayhand_guardrail::id::GrantId;

use crate::progress::Progress;

/// How often whoever waits for hosts looks at them; their times are their own.
const LOOK: Duration = Duration::from_millis(20);

/// All hosts.
pub(crate) struct Board {
    hosts: Vec<Mutex<Seen>>,
    refused: AtomicU64,
    trouble: Mutex<String>,
}

/// What is known of one.
#[derive(Default)]
pub(crate) struct Seen {
    /// Since when it is connected
    pub(crate) connected: Option<Instant>,
    /// What it enforced since somebody forgot, in order
    pub(crate) enforced: Vec<Enforced>,
    /// States that it was sent
    pub(crate) states: u64,
}

/// A state that a host enforces.
#[derive(Clone)]
pub(crate) struct Enforced {
    /// When it said so
    pub(crate) at: Instant,
    /// Leases in it
    pub(crate) leases: Vec<GrantId>,
}

impl Seen {
    /// Since when the host enforces a grant, or its end.
    pub(crate) fn enforces(&self, grant: GrantId, is_there: bool) -> Option<Instant> {
        let mut states = self.enforced.iter();
        let first = states.find(|state| state.leases.contains(&grant) == is_there);
        first.map(|state| state.at)
    }
}

impl Board {
    pub(crate) fn new(hosts: u32) -> Self {
        Self {
            hosts: (0..hosts).map(|_| Mutex::default()).collect(),
            refused: AtomicU64::new(0),
            trouble: Mutex::default(),
        }
    }

    /// One host.
    pub(crate) fn host(&self, index: usize) -> Option<MutexGuard<'_, Seen>> {
        let host = self.hosts.get(index)?;
        Some(host.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn all(&self) -> impl Iterator<Item = MutexGuard<'_, Seen>> {
        (0..self.hosts.len()).filter_map(|index| self.host(index))
    }

    /// Begins anew with what is enforced.
    pub(crate) fn forget(&self) {
        self.all().for_each(|mut host| host.enforced.clear());
    }

    /// States that hosts were sent, in all.
    pub(crate) fn states(&self) -> u64 {
        self.all().map(|host| host.states).sum()
    }

    /// Hosts that were sent more states than so many each.
    pub(crate) fn woken_since(&self, before: &[u64]) -> usize {
        let now = self.all().zip(before);
        now.filter(|(host, before)| host.states > **before).count()
    }

    /// States that each host was sent.
    pub(crate) fn states_of_each(&self) -> Vec<u64> {
        self.all().map(|host| host.states).collect()
    }

    /// Notes a try that somebody was there for and that came to nothing.
    pub(crate) fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Notes why a connection ended.
    pub(crate) fn trouble(&self, why: String) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// Waits until every host has done something; when each did.
    pub(crate) async fn until(
        &self,
        what: &str,
        patience: Duration,
        progress: &mut Progress,
        of: impl Fn(&Seen) -> Option<Instant>,
    ) -> Result<Vec<Instant>> {
        let begun = Instant::now();
        loop {
            let done: Vec<Instant> = self.all().filter_map(|host| of(&host)).collect();
            if done.len() == self.hosts.len() {
                return Ok(done);
            }
            if begun.elapsed() > patience {
                let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
                bail!(
                    "{what}: only {} of {} hosts within {} s (last trouble: {})",
                    done.len(),
                    self.hosts.len(),
                    patience.as_secs(),
                    if trouble.is_empty() { "none" } else { &trouble }
                );
            }
            progress.so_far(what, done.len());
            tokio::time::sleep(LOOK).await;
        }
    }
}
