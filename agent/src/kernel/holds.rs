//! The kernel's holds: what is pending, the answers to it, and the count per subject.
//!
//! The kernel writes holds, the agent writes answers; either removes a hold, and whoever really removed it takes
//! it off the count.

use std::collections::BTreeMap;

use stayhand_agent_ebpf::abi::{
    code::answer,
    hold::{AnswerEntry, HoldEntry, HoldKey},
};

use super::{
    pins::Pins,
    table::{Hash, Table, TableError},
};

/// What the agent tells the kernel about a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KernelAnswer {
    /// The very same call may go on once
    Approved,
    /// The call gets `EPERM`
    Refused,
    /// A fatal signal waits: the call gets `EPERM`
    Cancelled,
    /// The call never restarted: a late restart must not find an approval
    Void,
}

impl KernelAnswer {
    fn code(self) -> u32 {
        match self {
            Self::Approved => answer::APPROVED,
            Self::Refused => answer::REFUSED,
            Self::Cancelled => answer::CANCELLED,
            Self::Void => answer::VOID,
        }
    }
}

/// One pending hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Its key
    pub key: HoldKey,
    /// What the kernel wrote
    pub entry: HoldEntry,
}

/// The three maps.
pub struct Holds<H = Hash<HoldKey, HoldEntry>, A = Hash<HoldKey, AnswerEntry>, C = Hash<u32, u32>> {
    pending: H,
    answers: A,
    counts: C,
}

impl Holds {
    /// Opens them.
    pub fn open(pins: &Pins) -> Result<Self, TableError> {
        Ok(Self {
            pending: Hash::open(pins, "HOLDS")?,
            answers: Hash::open(pins, "ANSWERS")?,
            counts: Hash::open(pins, "HOLD_COUNTS")?,
        })
    }
}

impl<H, A, C> Holds<H, A, C>
where
    H: Table<HoldKey, HoldEntry>,
    A: Table<HoldKey, AnswerEntry>,
    C: Table<u32, u32>,
{
    /// Every pending hold. Those that come or go meanwhile may be in it or not.
    pub fn list(&self) -> Result<Vec<Pending>, TableError> {
        let mut pending = Vec::new();
        for key in self.pending.keys()? {
            pending.extend(self.get(&key)?);
        }
        Ok(pending)
    }

    /// One hold, while it is pending.
    pub fn get(&self, key: &HoldKey) -> Result<Option<Pending>, TableError> {
        Ok(self
            .pending
            .get(key)?
            .map(|entry| Pending { key: *key, entry }))
    }

    /// Answers a hold. Write this first, then continue the process, and repeat both until [`Holds::get`] no longer
    /// finds that hold. False if it is not pending any more: nothing is left behind then.
    pub fn answer(
        &mut self,
        key: &HoldKey,
        hold: u64,
        answer: KernelAnswer,
    ) -> Result<bool, TableError> {
        if !self.is_pending(key, hold)? {
            return Ok(false);
        }
        self.answers.put(
            key,
            &AnswerEntry {
                hold,
                answer: answer.code(),
                pad: 0,
            },
        )?;
        if self.is_pending(key, hold)? {
            return Ok(true);
        }
        // Consumed in between. The kernel removes answers with their holds; this one may have come after that.
        self.drop_answer(key, hold)?;
        Ok(false)
    }

    fn is_pending(&self, key: &HoldKey, hold: u64) -> Result<bool, TableError> {
        Ok(self
            .pending
            .get(key)?
            .is_some_and(|entry| entry.hold == hold))
    }

    /// Removes the answer to one hold, and never the answer to a later hold of the same call.
    fn drop_answer(&mut self, key: &HoldKey, hold: u64) -> Result<(), TableError> {
        if self
            .answers
            .get(key)?
            .is_some_and(|found| found.hold == hold)
        {
            self.answers.remove(key)?;
        }
        Ok(())
    }

    /// Removes a hold whose process is gone, with its answer. False if somebody else removed it first.
    pub fn remove(&mut self, pending: &Pending) -> Result<bool, TableError> {
        let removed = self.is_pending(&pending.key, pending.entry.hold)?
            && self.pending.remove(&pending.key)?;
        if removed && let Some(count) = self.counts.get(&pending.entry.auid)? {
            // Not atomic against the kernel's own additions: `recount` mends what that can lose.
            self.counts
                .put(&pending.entry.auid, &count.saturating_sub(1))?;
        }
        self.drop_answer(&pending.key, pending.entry.hold)?;
        Ok(removed)
    }

    /// Compares the counts with the holds that are there and mends those that differ and stand still. At start,
    /// and now and then. Yields the subjects that were mended.
    pub fn recount(&mut self) -> Result<Vec<u32>, TableError> {
        let differing = self.differing()?;
        let again = if differing.is_empty() {
            BTreeMap::new()
        } else {
            self.differing()?
        };
        let mut mended = Vec::new();
        for (auid, seen) in differing {
            if again.get(&auid) == Some(&seen) {
                self.counts.put(&auid, &seen.pending)?;
                mended.push(auid);
            }
        }
        Ok(mended)
    }

    fn differing(&self) -> Result<BTreeMap<u32, Seen>, TableError> {
        let mut seen: BTreeMap<u32, Seen> = BTreeMap::new();
        for pending in self.list()? {
            seen.entry(pending.entry.auid).or_default().pending += 1;
        }
        for auid in self.counts.keys()? {
            seen.entry(auid).or_default().counted = self.counts.get(&auid)?.unwrap_or(0);
        }
        seen.retain(|_, seen| seen.pending != seen.counted);
        Ok(seen)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    pending: u32,
    counted: u32,
}

#[cfg(test)]
#[path = "holds_tests.rs"]
mod tests;
