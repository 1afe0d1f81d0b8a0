//! Every hold of this host and what comes next. Carries effects out through [`World`], which tests replace.

use std::collections::BTreeMap;

use stayhand_guardrail::{host::HoldAnswer, reason::Reason};
use uuid::Uuid;

use super::{
    row::{Row, Stage},
    step::{Effect, Event, Look, rebooted, step},
};
use crate::{clock::Now, kernel::holds::Pending};

/// Holds that are over are remembered for the control plane, which may have been away: that long,
const KEPT_NS: u64 = 3_600 * 1_000_000_000;
/// and that many.
const KEPT_MAX: usize = 1_024;
/// Longest sleep: other threads may have changed something.
const SLEEP_MAX_NS: u64 = 1_000_000_000;

/// What the manager acts on.
pub trait World {
    /// Puts the row on disk, then where others see it. A disk that takes nothing is reported and does not stop an
    /// answer: the control plane has it, too.
    fn journal(&mut self, row: &Row);
    /// Forgets the row.
    fn forget(&mut self, row: &Row);
    /// Writes an answer into the kernel's map. If that fails, it is asked for again.
    fn write_answer(&mut self, row: &Row, answer: u32);
    /// Answers `void` and removes the kernel's entry of this very hold; whether it was there.
    fn withdraw(&mut self, row: &Row) -> bool;
    /// Lets go of the process.
    fn release(&mut self, row: &Row);
    /// Continues the process and its ancestors.
    fn wake(&mut self, row: &Row);
    /// Continues the ancestors only.
    fn wake_ancestors(&mut self, row: &Row);
    /// Continues ancestors that stopped themselves although nothing below them is stopped.
    fn wake_left_behind(&mut self, row: &Row);
    /// Whether an ancestor that stops itself is still there.
    fn may_be_left_behind(&mut self, row: &Row) -> bool;
    /// Looks at the process, then at the kernel's entry.
    fn look(&mut self, row: &Row) -> Look;
}

/// Every hold of this host.
pub struct Manager<W> {
    rows: BTreeMap<u64, Row>,
    answers: Vec<HoldAnswer>,
    world: W,
}

impl<W: World> Manager<W> {
    /// Starts with what the journal has.
    pub fn new(mut world: W, rows: Vec<Row>, boot_id: Uuid, now: &Now) -> Self {
        let mut known = BTreeMap::new();
        for mut row in rows {
            if row.boot_id != boot_id {
                rebooted(&mut row, now);
                row.boot_id = boot_id;
                world.journal(&row);
            }
            known.insert(row.id(), row);
        }
        Self {
            rows: known,
            answers: vec![],
            world,
        }
    }

    /// A hold was opened. The same one again (a record that was read twice) changes nothing.
    pub fn opened(&mut self, row: Row, now: &Now) {
        if self.rows.contains_key(&row.id()) {
            return;
        }
        let id = row.id();
        self.world.journal(&row);
        self.rows.insert(id, row);
        self.answer_from_state(id, now);
    }

    /// The answers of the desired state; the same ones come again with every state.
    pub fn answers(&mut self, answers: Vec<HoldAnswer>, now: &Now) {
        self.answers = answers;
        let ids: Vec<u64> = self.answers.iter().map(|answer| answer.hold.0).collect();
        for id in ids {
            self.answer_from_state(id, now);
        }
    }

    fn answer_from_state(&mut self, id: u64, now: &Now) {
        if let Some(answer) = self.answers.iter().find(|answer| answer.hold.0 == id) {
            self.happen(id, Event::Answer(answer.clone()), now);
        }
    }

    /// The kernel said what became of a hold.
    pub fn outcome(&mut self, id: u64, reason: Reason, now: &Now) {
        self.happen(id, Event::Outcome(reason), now);
    }

    /// After a restart, when everything in the rings was read: rows of the journal and entries of the kernel are
    /// brought together. `unknown` makes a row of an entry whose record was lost.
    pub fn recover(
        &mut self,
        pending: Vec<Pending>,
        unknown: impl Fn(&Pending) -> Option<Row>,
        now: &Now,
    ) {
        for one in pending {
            if let Some(row) = self.rows.get_mut(&one.entry.hold) {
                row.look_at_ns = 0;
                if let Stage::Answered { answer } = row.stage {
                    // The journal comes before the map, so this answer may not be there.
                    self.world.write_answer(row, answer);
                }
            } else if let Some(row) = unknown(&one) {
                self.opened(row, now);
            }
        }
        for row in self
            .rows
            .values_mut()
            .filter(|row| row.stage != Stage::Over)
        {
            row.look_at_ns = 0;
            row.running_since_ns = None;
            row.missing_since_ns = None;
        }
    }

    /// Looks at whatever is due; says when to come again, on the boot clock.
    pub fn tick(&mut self, now: &Now) -> u64 {
        let due = |row: &&Row| row.look_at_ns <= now.boot_ns;
        let due: Vec<u64> = self.rows.values().filter(due).map(Row::id).collect();
        for id in due {
            if let Some(row) = self.rows.get(&id) {
                let event = match row.stage {
                    Stage::Over => Event::Linger(self.world.may_be_left_behind(row)),
                    _ => Event::Look(self.world.look(row)),
                };
                self.happen(id, event, now);
            }
        }
        self.forget_old(now);
        let next = self
            .rows
            .values()
            .map(|row| row.look_at_ns)
            .min()
            .unwrap_or(u64::MAX);
        next.clamp(now.boot_ns, now.boot_ns.saturating_add(SLEEP_MAX_NS))
    }

    /// Every hold that is known.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    fn happen(&mut self, id: u64, event: Event, now: &Now) {
        let Some(row) = self.rows.get_mut(&id) else {
            return;
        };
        let mut effects = step(row, event, now);
        effects.reverse();
        while let Some(effect) = effects.pop() {
            match effect {
                Effect::Journal => self.world.journal(row),
                Effect::WriteAnswer(code) => self.world.write_answer(row, code),
                Effect::Wake => self.world.wake(row),
                Effect::WakeAncestors => self.world.wake_ancestors(row),
                Effect::WakeLeftBehind => self.world.wake_left_behind(row),
                Effect::Release => self.world.release(row),
                Effect::Withdraw => {
                    let was_there = self.world.withdraw(row);
                    let mut more = step(row, Event::Withdrew(was_there), now);
                    more.reverse();
                    effects.extend(more);
                }
            }
        }
    }

    fn forget_old(&mut self, now: &Now) {
        let over = |row: &Row| row.over_at_ns.filter(|_| row.stage == Stage::Over);
        let mut ended: Vec<(u64, u64)> = self
            .rows
            .values()
            .filter_map(|row| Some((over(row)?, row.id())))
            .collect();
        ended.sort_unstable();
        let surplus = ended.len().saturating_sub(KEPT_MAX);
        for (place, (at, id)) in ended.into_iter().enumerate() {
            if place >= surplus && now.boot_ns.saturating_sub(at) < KEPT_NS {
                continue;
            }
            if let Some(row) = self.rows.remove(&id) {
                self.world.forget(&row);
            }
        }
    }
}
