//! Rows in memory: those of the batch at hand, and all others while the disk takes none. Bounded.

use std::collections::VecDeque;

use stayhand_guardrail::{event::LossStage, time::UnixMs};

use super::{Entry, Losses, loss};

/// Bytes that wait in memory while the disk is full: seconds of a flood, hours of ordinary work, and far from
/// what would make the kernel look for memory elsewhere.
const WAITING_BYTES_MAX: usize = 8 << 20;
/// What a row costs besides its payload.
const ENTRY_BYTES: usize = 64;

/// Rows and losses that are not on disk.
#[derive(Default)]
pub(super) struct Waiting {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// Not on disk either
    pub(super) losses: Losses,
    /// Given to a transaction that failed, perhaps after it had reached the disk
    pub(super) doubtful: Option<Doubtful>,
}

/// A batch of which only the disk knows whether it is stored.
pub(super) struct Doubtful {
    /// Its number
    pub(super) batch: u64,
    /// Its rows
    pub(super) entries: Vec<Entry>,
    /// Its losses
    pub(super) losses: Losses,
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
            + self
                .doubtful
                .as_ref()
                .map_or(0, |batch| batch.entries.len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.losses.is_empty() && self.doubtful.is_none()
    }

    /// Recorded decisions of a class among the rows.
    pub(super) fn recorded(&self, class: usize) -> u64 {
        let doubtful = self.doubtful.iter().flat_map(|batch| &batch.entries);
        let all = self.entries.iter().chain(doubtful);
        all.filter(|entry| entry.recorded && loss::index(entry.class) == class)
            .count() as u64
    }

    /// Takes rows in; what does not fit is dropped (C before B before A, oldest first) and counted.
    pub(super) fn push(&mut self, entries: impl IntoIterator<Item = Entry>, now: UnixMs) {
        for entry in entries {
            self.bytes += cost(&entry);
            self.entries.push_back(entry);
        }
        while self.bytes > WAITING_BYTES_MAX {
            self.drop_one(now);
        }
    }

    fn drop_one(&mut self, now: UnixMs) {
        let of = |class| {
            self.entries
                .iter()
                .position(|entry| loss::index(entry.class) == class)
        };
        let place = (0..loss::CLASSES.len()).rev().find_map(of);
        let Some(dropped) = place.and_then(|place| self.entries.remove(place)) else {
            self.bytes = 0;
            return;
        };
        self.bytes = self.bytes.saturating_sub(cost(&dropped));
        if dropped.recorded {
            self.losses
                .add(loss::index(dropped.class), LossStage::Spool, 1, now);
        } else {
            tracing::error!(
                "dropped an event of the agent's own: the disk is full and so is the memory for it"
            );
        }
    }

    /// Everything, for one transaction.
    pub(super) fn take(&mut self) -> (Vec<Entry>, Losses) {
        self.bytes = 0;
        (
            std::mem::take(&mut self.entries).into(),
            std::mem::take(&mut self.losses),
        )
    }

    /// Puts a batch back that did not reach the disk; older than what came meanwhile.
    pub(super) fn put_back(&mut self, entries: Vec<Entry>, losses: Losses, now: UnixMs) {
        let newer = std::mem::take(&mut self.entries);
        self.bytes = 0;
        self.losses.merge(losses);
        self.push(entries.into_iter().chain(newer), now);
    }
}

fn cost(entry: &Entry) -> usize {
    entry.payload.len() + ENTRY_BYTES
}
