//! What stopped whom lately, for `stayhand why`. In memory and bounded; pending holds come from the board, so they
//! are there after a restart, too.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use stayhand_guardrail::{
    event::{DecisionEvent, HoldRef},
    hold::Hold,
    id::Generation,
    reason::{Reason, Verdict},
    time::UnixMs,
};

/// Explanations kept per subject: what a person scrolls through.
const PER_SUBJECT_MAX: usize = 100;
/// Subjects with explanations; the one that was quiet for longest is forgotten first.
const SUBJECTS_MAX: usize = 512;

/// Decisions by subject, newest first.
#[derive(Default)]
pub struct Explanations {
    subjects: Mutex<BTreeMap<u32, VecDeque<(UnixMs, DecisionEvent)>>>,
}

impl Explanations {
    /// Remembers a decision that stopped something, or what became of it.
    pub fn add(&self, time: UnixMs, decision: DecisionEvent) {
        let told = decision.verdict != Verdict::Allowed || decision.reason == Reason::HoldApproved;
        if decision.monitor || !told {
            return;
        }
        let mut subjects = self.lock();
        if subjects.len() >= SUBJECTS_MAX && !subjects.contains_key(&decision.subject.auid) {
            let quiet = subjects
                .iter()
                .min_by_key(|(_, all)| all.front().map_or(UnixMs(0), |(at, _)| *at));
            if let Some(auid) = quiet.map(|(auid, _)| *auid) {
                subjects.remove(&auid);
            }
        }
        let all = subjects.entry(decision.subject.auid).or_default();
        all.push_front((time, decision));
        all.truncate(PER_SUBJECT_MAX);
    }

    /// The newest decisions about one subject, or about all, and of one process if that is asked for.
    pub fn last(
        &self,
        auid: Option<u32>,
        pid: Option<u32>,
        pending: &[Hold],
        count: usize,
    ) -> Vec<(UnixMs, DecisionEvent)> {
        let subjects = self.lock();
        let mut found: Vec<(UnixMs, DecisionEvent)> = subjects
            .iter()
            .filter(|(subject, _)| auid.is_none_or(|auid| auid == **subject))
            .flat_map(|(_, all)| all.iter().cloned())
            .collect();
        let known = |hold: &Hold| {
            found
                .iter()
                .any(|(_, one)| one.hold.as_ref().is_some_and(|held| held.id == hold.id))
        };
        let older = pending
            .iter()
            .filter(|hold| auid.is_none_or(|auid| auid == hold.subject.auid) && !known(hold));
        let older: Vec<_> = older
            .map(|hold| (hold.create_time, of_hold(hold)))
            .collect();
        found.extend(older);
        found.retain(|(_, one)| pid.is_none_or(|pid| pid == one.process.pid));
        found.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        found.truncate(count.min(PER_SUBJECT_MAX));
        found
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, VecDeque<(UnixMs, DecisionEvent)>>> {
        self.subjects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A hold from before this agent started, as the decision that opened it.
fn of_hold(hold: &Hold) -> DecisionEvent {
    let decided = hold.state.decided();
    DecisionEvent {
        verdict: Verdict::Held,
        reason: Reason::HoldPending,
        operation: hold.operation,
        object: hold.object.clone(),
        object_cut: false,
        subject: hold.subject.clone(),
        process: hold.process.clone(),
        args_redacted: 0,
        generation: Generation(0),
        rule: Some(hold.rule.clone()),
        message: hold.message.clone(),
        sensitivity: hold.sensitivity,
        permission: hold.permission.clone(),
        grant: None,
        hold: Some(HoldRef {
            id: hold.id,
            deadline: hold.expire_time,
            answered_by: decided.map(|decided| decided.by.clone()),
            answer_reason: hold.state.why().map(str::to_owned),
        }),
        monitor: false,
    }
}
