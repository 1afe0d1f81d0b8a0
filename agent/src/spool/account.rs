//! The truth is in the kernel's counters; this is what user space can show for it.
//!
//! INVARIANT, per class: recorded = stored + lost + on the way (in the ring, or in memory while the disk is full).

use serde::{Deserialize, Serialize};
use stayhand_guardrail::{
    event::{EventClass, LossStage},
    time::UnixMs,
};

use super::{Spool, SpoolError, loss};

/// What became of this boot's recorded decisions, by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Became rows
    pub(super) stored: [u64; 3],
    /// Found no room in the ring, as the kernel counted
    pub(super) lost_ring: [u64; 3],
    /// Lost after the ring
    pub(super) lost_after: [u64; 3],
}

/// One class of the account beside the kernel's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// What the kernel recorded
    pub recorded: u64,
    /// What became rows
    pub stored: u64,
    /// What was lost, at any stage
    pub lost: u64,
    /// What waits in memory for the disk
    pub waiting: u64,
    /// What is in the ring, or else missing
    pub open: u64,
}

impl Spool {
    /// Holds the kernel's counters (recorded and lost, by class) against the account, and counts new losses of
    /// the ring. Counters that went back mean that the maps are new: the account starts again.
    pub fn reconcile(&self, recorded: [u64; 3], lost: [u64; 3], now: UnixMs) -> [Balance; 3] {
        let mut inner = self.lock();
        let went_back = (0..3).any(|class| {
            let account = &inner.meta.account;
            recorded[class] < account.stored[class].saturating_add(account.lost_ring[class])
                || lost[class] < account.lost_ring[class]
        });
        if went_back {
            tracing::warn!(
                "the kernel's counters started again: so does the account of recorded decisions"
            );
            inner.meta.account = Account::default();
        }
        for (class, count) in lost.iter().enumerate() {
            let known = inner.meta.account.lost_ring[class]
                + inner.waiting.losses.count(class, LossStage::Ring);
            let new = count.saturating_sub(known);
            inner.waiting.losses.add(class, LossStage::Ring, new, now);
        }
        std::array::from_fn(|class| balance(&inner, class, recorded[class]))
    }

    /// Counts recorded decisions that left nothing: unreadable, or gone with a crashed agent.
    pub fn lose(&self, class: EventClass, stage: LossStage, count: u64, now: UnixMs) {
        self.lock()
            .waiting
            .losses
            .add(loss::index(class), stage, count, now);
    }

    /// Stores whatever waits: rows and losses. Then lets go of what the other side has.
    pub fn flush(&self, now: UnixMs) -> Result<(), SpoolError> {
        let mut inner = self.lock();
        inner.flush(now)?;
        inner.let_go()
    }
}

fn balance(inner: &super::Inner, class: usize, recorded: u64) -> Balance {
    let account = &inner.meta.account;
    let losses = |stage| inner.waiting.losses.count(class, stage);
    let lost_waiting = LossStage::ALL.into_iter().map(losses).sum::<u64>();
    let lost = account.lost_ring[class] + account.lost_after[class] + lost_waiting;
    let (stored, waiting) = (account.stored[class], inner.waiting.recorded(class));
    let open = recorded.saturating_sub(stored + lost + waiting);
    Balance {
        recorded,
        stored,
        lost,
        waiting,
        open,
    }
}
