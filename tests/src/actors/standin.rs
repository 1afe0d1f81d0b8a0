//! A stand-in for the agent after it was killed: reads holds from the pinned maps, answers them, empties the rings.
//!
//! Lets a test choose the moment of every step. Implements the agent's side of the protocol (docs/hold.md) and
//! nothing else of it; it is no model of the agent.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;
use stayhand_agent_ebpf::abi::{
    code::{answer, reason, verdict},
    hold::{AnswerEntry, HoldEntry, HoldKey},
    image::Settings,
    record::Record,
};

use super::bpf::{Counters, Map, Ring};
use crate::{host::Host, process, wait};

/// Longest pause between two wake-ups of the same hold.
const PAUSE_MAX: Duration = Duration::from_millis(10);

/// A pending hold.
#[derive(Clone, Copy, Debug)]
pub struct Pending {
    /// Its key
    pub key: HoldKey,
    /// What the kernel said of it when it was found
    pub entry: HoldEntry,
}

/// The stand-in.
pub struct StandIn {
    holds: Map<HoldKey, HoldEntry>,
    answers: Map<HoldKey, AnswerEntry>,
    counts: Map<u32, u32>,
    counters: Counters,
    rings: [Ring; 3],
    kept: Vec<Record>,
}

impl StandIn {
    /// Kills the agent and the control plane and takes over what they pinned.
    pub fn take_over(host: &mut Host) -> Result<Self> {
        host.kill_agent()?;
        host.kill_control()?;
        let stand_in = Self {
            holds: Map::open("HOLDS")?,
            answers: Map::open("ANSWERS")?,
            counts: Map::open("HOLD_COUNTS")?,
            counters: Counters::open()?,
            rings: [
                Ring::open("RING_A")?,
                Ring::open("RING_B")?,
                Ring::open("RING_C")?,
            ],
            kept: Vec::new(),
        };
        stand_in.rings.iter().for_each(Ring::skip);
        Ok(stand_in)
    }

    /// Everything that waits.
    pub fn pending(&self) -> Vec<Pending> {
        self.holds
            .all()
            .into_iter()
            .map(|(key, entry)| Pending { key, entry })
            .collect()
    }

    /// Waits for exactly this many.
    pub fn wait_pending(&self, count: usize) -> Result<Vec<Pending>> {
        wait::until(wait::SOON, &format!("{count} pending holds"), || {
            Some(self.pending()).filter(|pending| pending.len() == count)
        })
        .with_context(|| format!("pending: {:?}", self.pending()))
    }

    /// Waits for one.
    pub fn wait_one(&self) -> Result<Pending> {
        self.wait_pending(1)?.first().copied().context("no hold")
    }

    /// What the kernel says of a hold now.
    pub fn entry(&self, hold: &Pending) -> Option<HoldEntry> {
        self.holds
            .get(&hold.key)
            .filter(|entry| entry.hold == hold.entry.hold)
    }

    /// Writes an answer and wakes nobody.
    pub fn write_answer(&self, hold: &Pending, answer: u32) -> Result<()> {
        self.answers.put(
            &hold.key,
            &AnswerEntry {
                hold: hold.entry.hold,
                answer,
                pad: 0,
            },
        )
    }

    /// Whether an answer is in the map.
    pub fn has_answer(&self, hold: &Pending) -> bool {
        self.answers.get(&hold.key).is_some()
    }

    /// Answers, and wakes the process until the kernel has taken the answer.
    pub fn settle(&self, hold: &Pending, answer: u32) -> Result<()> {
        self.write_answer(hold, answer)?;
        let (started, mut pause) = (Instant::now(), Duration::from_micros(200));
        while self.entry(hold).is_some() {
            // Looked at in this order: one that took its answer and ended has no entry any more.
            ensure!(
                process::is_alive(hold.entry.tgid) || self.entry(hold).is_none(),
                "the held process is gone"
            );
            ensure!(
                started.elapsed() < wait::SOON,
                "the answer is not taken: {:?}",
                self.entry(hold)
            );
            self.wake(hold);
            std::thread::sleep(pause);
            pause = (pause * 2).min(PAUSE_MAX);
        }
        Ok(())
    }

    /// One `SIGCONT`.
    pub fn wake(&self, hold: &Pending) {
        // The process may have ended; the caller sees that by itself.
        drop(process::signal(hold.entry.tgid, Signal::SIGCONT));
    }

    /// One `SIGCONT` behind the agent's back, after which the process must stop again by itself.
    pub fn stops_again(&self, hold: &Pending) -> Result<()> {
        let restops = || self.entry(hold).map(|entry| entry.restops);
        let before = restops().context("the hold is gone")?;
        self.wake(hold);
        wait::until(wait::SOON, "the call to be stopped again", || {
            restops().filter(|now| *now > before)
        })?;
        process::wait_stopped(hold.entry.tgid, wait::SOON)
    }

    /// Removes a hold whose process is gone, as the agent does.
    pub fn forget(&self, hold: &Pending) -> Result<()> {
        self.answers.delete(&hold.key);
        if self.holds.delete(&hold.key) {
            let auid = hold.entry.auid;
            let count = self.counts.get(&auid).unwrap_or(0);
            self.counts.put(&auid, &count.saturating_sub(1))?;
        }
        Ok(())
    }

    /// Pending holds that the kernel counts for a login uid.
    pub fn counted(&self, auid: u32) -> u32 {
        self.counts.get(&auid).unwrap_or(0)
    }

    /// Takes new records out of the rings into memory.
    pub fn collect(&mut self) {
        for ring in &self.rings {
            self.kept.extend(ring.drain());
        }
    }

    /// Every record since the last call, oldest first within each class.
    pub fn records(&mut self) -> Vec<Record> {
        self.collect();
        std::mem::take(&mut self.kept)
    }

    /// One counter.
    pub fn counter(&self, index: u32) -> Result<u64> {
        self.counters.get(index)
    }

    /// Changes the kernel's bounds, and puts them back when the guard is dropped.
    pub fn with_settings(&self, change: impl FnOnce(&mut Settings)) -> Result<Restore> {
        let settings: Map<u32, Settings> = Map::open("SETTINGS")?;
        let before = settings.get(&0).context("no settings")?;
        let mut after = before;
        change(&mut after);
        settings.put(&0, &after)?;
        Ok(Restore { settings, before })
    }

    /// Approves.
    pub fn approve(&self, hold: &Pending) -> Result<()> {
        self.settle(hold, answer::APPROVED)
    }

    /// Refuses.
    pub fn refuse(&self, hold: &Pending) -> Result<()> {
        self.settle(hold, answer::REFUSED)
    }

    /// Leaves nothing pending behind: refuses everything, or removes what is of dead processes.
    pub fn clear(&self) -> Result<()> {
        let started = Instant::now();
        loop {
            let pending = self.pending();
            if pending.is_empty() {
                return Ok(());
            }
            for hold in &pending {
                if process::is_alive(hold.entry.tgid) {
                    self.write_answer(hold, answer::REFUSED)?;
                    self.wake(hold);
                } else {
                    self.forget(hold)?;
                }
            }
            if started.elapsed() > wait::SOON {
                bail!("holds do not go away: {pending:?}");
            }
            std::thread::sleep(wait::TICK);
        }
    }
}

/// Puts the settings back.
pub struct Restore {
    settings: Map<u32, Settings>,
    before: Settings,
}

impl Drop for Restore {
    fn drop(&mut self) {
        drop(self.settings.put(&0, &self.before));
    }
}

/// Records of one hold: how often it was announced, and its outcomes by reason.
pub fn of_hold(records: &[Record], hold: u64) -> (usize, Vec<u32>) {
    let of: Vec<&Record> = records
        .iter()
        .filter(|record| record.hold == hold)
        .collect();
    let announced = of
        .iter()
        .filter(|record| record.verdict == verdict::HELD)
        .count();
    let outcomes = of
        .iter()
        .filter(|record| record.verdict != verdict::HELD)
        .map(|record| record.reason)
        .collect();
    (announced, outcomes)
}

/// Number of denials for this reason.
pub fn denials(records: &[Record], reason: u32) -> usize {
    let denied = records
        .iter()
        .filter(|record| record.verdict == verdict::DENIED);
    denied.filter(|record| record.reason == reason).count()
}

/// `reason::HOLD_UNAVAILABLE`, the answer wherever a stop is impossible.
pub const UNAVAILABLE: u32 = reason::HOLD_UNAVAILABLE;
