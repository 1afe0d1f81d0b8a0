//! What is recorded only now and then: whoever can make it happen as often as they like could fill the record, or the log. What is passed
//! over is counted, and the next that is recorded says how many there were. Never decides about the thing itself.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use stayhand_guardrail::time::{DurationMs, UnixMs};

/// Of how many it is remembered at once that they were recorded: beyond that all wait for the pause of another one.
const REMEMBERED_MAX: usize = 256;

/// When something was recorded last, by whom it is about.
#[derive(Debug)]
pub(crate) struct Seldom<K> {
    pause: DurationMs,
    told: Mutex<Told<K>>,
}

#[derive(Debug)]
struct Told<K> {
    last: BTreeMap<K, UnixMs>,
    passed_over: u64,
}

impl<K: Ord> Seldom<K> {
    /// Each one once within a pause.
    pub(crate) fn new(pause: DurationMs) -> Self {
        let told = Told {
            last: BTreeMap::new(),
            passed_over: 0,
        };
        Self {
            pause,
            told: Mutex::new(told),
        }
    }

    /// How many were passed over since the last that was recorded, whomever they were about; none where this one is passed over, too.
    pub(crate) fn next(&self, who: K, now: UnixMs) -> Option<u64> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.last.retain(|_, at| at.is_within(self.pause, now));
        if told.last.len() >= REMEMBERED_MAX || told.last.contains_key(&who) {
            told.passed_over = told.passed_over.saturating_add(1);
            return None;
        }
        told.last.insert(who, now);
        Some(std::mem::take(&mut told.passed_over))
    }
}

/// What is said of one that is recorded and of those that were passed over before it.
pub(crate) fn with_count(reason: String, passed_over: u64) -> String {
    if passed_over == 0 {
        reason
    } else {
        format!("{reason} ({passed_over} more such refusals since the last that was recorded)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: DurationMs = DurationMs(1_000);

    #[test]
    fn each_is_told_once_within_a_pause_and_all_are_counted() {
        let (seldom, start) = (Seldom::new(PAUSE), UnixMs(5_000));
        assert_eq!(seldom.next("a", start), Some(0));
        for _ in 0..9 {
            assert_eq!(seldom.next("a", start), None);
        }
        assert_eq!(seldom.next("b", start), Some(9), "another is told at once");
        assert_eq!(seldom.next("a", start.plus(PAUSE)), Some(0));
        assert_eq!(with_count("no".into(), 0), "no");
        assert!(with_count("no".into(), 9).contains("9 more"));
    }

    #[test]
    fn however_many_there_are_no_more_are_told_within_a_pause() {
        let (seldom, start) = (Seldom::new(PAUSE), UnixMs(5_000));
        let told = (0..10 * REMEMBERED_MAX).filter(|who| seldom.next(*who, start).is_some());
        assert_eq!(told.count(), REMEMBERED_MAX);
        let passed_over = u64::try_from(9 * REMEMBERED_MAX).unwrap();
        let after = start.plus(PAUSE);
        assert_eq!(seldom.next(0, after), Some(passed_over));
    }

    #[test]
    fn a_clock_that_was_set_back_keeps_nothing_from_being_told() {
        let seldom = Seldom::new(PAUSE);
        assert_eq!(seldom.next("a", UnixMs(5_000)), Some(0));
        assert_eq!(seldom.next("a", UnixMs(4_000)), Some(0));
    }
}
