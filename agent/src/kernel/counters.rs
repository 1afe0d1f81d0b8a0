//! The kernel's counters, summed over processors: what user space reconciles its records against.
//!
//! They never go back while the maps stay pinned.

use stayhand_agent_ebpf::abi::code::{class, counter};

use super::{
    pins::Pins,
    table::{PerCpu, TableError},
};

/// One reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Recorded decisions, by class
    pub recorded: [u64; class::COUNT],
    /// Those of them whose record found no room, by class
    pub lost: [u64; class::COUNT],
    /// Task storage could not be made; the fork or the action was refused
    pub storage_failed: u64,
    /// Decisions made again because the image was exchanged meanwhile
    pub rejudged: u64,
    /// Stops without a hold
    pub hold_unpublished: u64,
    /// Stops of calls that were pending already
    pub restopped: u64,
    /// Questions about facts that found no room, each time they were tried
    pub question_lost: u64,
    /// Questions about facts that nobody answered in time
    pub unanswered: u64,
    /// Rates that restricted because they could not be counted
    pub uncounted: u64,
}

/// The map.
pub struct CounterMap {
    map: PerCpu,
}

impl CounterMap {
    /// Opens it.
    pub fn open(pins: &Pins) -> Result<Self, TableError> {
        Ok(Self {
            map: PerCpu::open(pins, "COUNTERS")?,
        })
    }

    /// Reads all. Lost ones are read first, so that they never exceed what was recorded.
    pub fn read(&self) -> Result<Counters, TableError> {
        let lost = self.by_class(counter::LOST)?;
        Ok(Counters {
            recorded: self.by_class(counter::RECORDED)?,
            lost,
            storage_failed: self.map.sum(counter::STORAGE_FAILED)?,
            rejudged: self.map.sum(counter::REJUDGED)?,
            hold_unpublished: self.map.sum(counter::HOLD_UNPUBLISHED)?,
            restopped: self.map.sum(counter::RESTOPPED)?,
            question_lost: self.map.sum(counter::QUESTION_LOST)?,
            unanswered: self.map.sum(counter::UNANSWERED)?,
            uncounted: self.map.sum(counter::UNCOUNTED)?,
        })
    }

    fn by_class(&self, first: u32) -> Result<[u64; class::COUNT], TableError> {
        let mut sums = [0; class::COUNT];
        for (index, sum) in (first..).zip(&mut sums) {
            *sum = self.map.sum(index)?;
        }
        Ok(sums)
    }
}

const _: () = assert!((counter::LOST - counter::RECORDED) as usize == class::COUNT);
const _: () = assert!((counter::STORAGE_FAILED - counter::LOST) as usize == class::COUNT);
