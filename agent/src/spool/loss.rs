//! Losses that no event tells of yet. Summed up by class and stage until an event can carry them, so that a
//! flood of losses is one number and not another flood.

use serde::{Deserialize, Serialize};
use stayhand_guardrail::{
    event::{EventClass, LossStage, Lost},
    time::UnixMs,
};

/// The classes in the order of their numbers.
pub(super) const CLASSES: [EventClass; 3] = [EventClass::A, EventClass::B, EventClass::C];

/// The number of a class.
pub(super) fn index(class: EventClass) -> usize {
    class as usize
}

/// How many of one class at one stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    class: usize,
    stage: LossStage,
    count: u64,
    since: UnixMs,
}

/// Losses that no event tells of yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Losses {
    rows: Vec<Row>,
    unknown_since: Option<UnixMs>,
}

impl Losses {
    /// Counts.
    pub(super) fn add(&mut self, class: usize, stage: LossStage, count: u64, since: UnixMs) {
        if count == 0 {
            return;
        }
        if let Some(row) = self
            .rows
            .iter_mut()
            .find(|row| row.class == class && row.stage == stage)
        {
            row.count = row.count.saturating_add(count);
            row.since = row.since.min(since);
        } else {
            self.rows.push(Row {
                class,
                stage,
                count,
                since,
            });
        }
    }

    /// Takes over what another has.
    pub(super) fn merge(&mut self, other: Self) {
        for row in other.rows {
            self.add(row.class, row.stage, row.count, row.since);
        }
        if let Some(since) = other.unknown_since {
            self.unknown(since);
        }
    }

    /// Something was lost and nobody knows how much.
    pub(super) fn unknown(&mut self, since: UnixMs) {
        self.unknown_since = Some(self.unknown_since.map_or(since, |before| before.min(since)));
    }

    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.unknown_since.is_none()
    }

    /// How many of a class at a stage.
    pub(super) fn count(&self, class: usize, stage: LossStage) -> u64 {
        let rows = self
            .rows
            .iter()
            .filter(|row| row.class == class && row.stage == stage);
        rows.map(|row| row.count).sum()
    }

    /// The same by class and stage.
    pub(super) fn each(&self) -> impl Iterator<Item = (usize, LossStage, u64, UnixMs)> {
        self.rows
            .iter()
            .map(|row| (row.class, row.stage, row.count, row.since))
    }

    /// What the events say.
    pub(super) fn events(&self) -> Vec<Lost> {
        let unknown = self.unknown_since.map(|since| Lost {
            class: EventClass::A,
            count: 0,
            stage: LossStage::Crash,
            since,
        });
        let counted = self.rows.iter().filter_map(|row| {
            let class = CLASSES.get(row.class).copied()?;
            Some(Lost {
                class,
                count: row.count,
                stage: row.stage,
                since: row.since,
            })
        });
        unknown.into_iter().chain(counted).collect()
    }
}
