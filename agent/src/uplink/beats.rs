//! Moments at which this host spoke, so that the control plane can say of which it had the newest state: a proof is as old as the
//! question to which it is the answer, however long the answer was on its way. Knows no kernel and reads no clock.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use stayhand_guardrail::id::Generation;

use crate::clock::Now;

/// Moments that are remembered: a connection that is silent for a minute ends, and this host speaks every five seconds.
const BEATS_MAX: usize = 32;

/// See the module.
#[derive(Debug, Default)]
pub struct Beats(Mutex<Spoken>);

#[derive(Debug, Default)]
struct Spoken {
    /// Never used twice, so that an answer from an earlier connection is about its own moment or about none
    last: u64,
    /// Newest first
    moments: VecDeque<Beat>,
}

#[derive(Clone, Copy, Debug)]
struct Beat {
    number: u64,
    moment: Now,
    /// The newest state that was wanted at that moment, once this connection has said it
    newest: Option<Generation>,
}

impl Beats {
    /// A new connection. Generations of an earlier one may be another store's.
    pub fn connected(&self) {
        self.lock().moments.clear();
    }

    /// A number for this moment; never 0.
    pub fn next(&self, now: Now) -> u64 {
        let mut spoken = self.lock();
        spoken.last += 1;
        let number = spoken.last;
        spoken.moments.truncate(BEATS_MAX - 1);
        spoken.moments.push_front(Beat {
            number,
            moment: now,
            newest: None,
        });
        number
    }

    /// At the moment of a number nothing newer than this was wanted. A number that was not given, or is long past, says nothing.
    pub fn answered(&self, number: u64, generation: Generation) {
        let mut spoken = self.lock();
        if let Some(beat) = spoken.moments.iter_mut().find(|one| one.number == number) {
            // What is said again is about a later state, and the first word was true.
            beat.newest = Some(beat.newest.unwrap_or(generation).min(generation));
        }
    }

    /// The newest moment at which whoever enforces this had everything that was wanted. A later state has all that an earlier one of the
    /// same connection had, so a busy control plane, which always has a newer one on its way, proves something, too.
    pub fn newest(&self, enforced: Generation) -> Option<Now> {
        let spoken = self.lock();
        let known = |one: &&Beat| one.newest.is_some_and(|newest| newest <= enforced);
        spoken.moments.iter().find(known).map(|one| one.moment)
    }

    fn lock(&self) -> MutexGuard<'_, Spoken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(boot_ns: u64) -> Now {
        Now {
            boot_ns,
            ..Now::default()
        }
    }

    #[test]
    fn a_number_that_was_never_given_is_long_past_or_of_another_connection_is_no_moment() {
        let beats = Beats::default();
        let numbers: Vec<u64> = (1..=40).map(|now| beats.next(at(now))).collect();
        assert!(!numbers.contains(&0));
        for number in [0, numbers[7], 41] {
            beats.answered(number, Generation(1));
            assert_eq!(beats.newest(Generation(9)), None, "{number}");
        }
        beats.answered(numbers[8], Generation(1));
        assert_eq!(beats.newest(Generation(9)), Some(at(9)));
        beats.connected();
        beats.answered(numbers[39], Generation(1));
        assert_eq!(beats.newest(Generation(9)), None);
    }

    #[test]
    fn what_is_enforced_proves_the_moments_at_which_nothing_newer_was_wanted() {
        let beats = Beats::default();
        let [first, second, third] = [10, 20, 30].map(|now| beats.next(at(now)));
        beats.answered(first, Generation(4));
        beats.answered(second, Generation(6));
        beats.answered(third, Generation(7));
        assert_eq!(beats.newest(Generation(3)), None);
        assert_eq!(beats.newest(Generation(5)), Some(at(10)), "6 is on its way");
        assert_eq!(beats.newest(Generation(6)), Some(at(20)));
        assert_eq!(beats.newest(Generation(8)), Some(at(30)));
        beats.answered(second, Generation(9));
        assert_eq!(beats.newest(Generation(6)), Some(at(20)));
    }
}
