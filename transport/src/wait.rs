//! How long whoever dials waits between tries: longer with every failure, and never the same for two. Both ends of a fleet's
//! behaviour hang on it, so there is one of it.

use std::time::Duration;

/// First wait after a failure.
pub const WAIT_MIN: Duration = Duration::from_millis(200);
/// Longest wait: how late a host notices that the control plane is back.
pub const WAIT_MAX: Duration = Duration::from_secs(10);
/// Of its wait a host waits at least this part, so that a fleet does not come back at once.
const PART_MIN: f64 = 0.5;

/// Waits of one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait(Duration);

impl Default for Wait {
    fn default() -> Self {
        Self(WAIT_MIN)
    }
}

impl Wait {
    /// Wherever it was: not before this.
    pub fn at_least(&mut self, wait: Duration) {
        self.0 = self.0.max(wait);
    }

    /// How long to wait now; `lot` is anything from 0 to 1.
    pub fn next(&mut self, lot: f64) -> Duration {
        let part = PART_MIN + (1.0 - PART_MIN) * lot.clamp(0.0, 1.0);
        let now = self.0.mul_f64(part);
        self.0 = (self.0 * 2).min(WAIT_MAX);
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_longest_and_never_below_half() {
        let mut wait = Wait::default();
        let mut before = Duration::ZERO;
        for _ in 0..20 {
            let (mut least, now) = (wait, wait.next(1.0));
            assert!(now >= before && now <= WAIT_MAX, "{now:?}");
            assert_eq!(least.next(0.0) * 2, now);
            before = now;
        }
        assert_eq!(before, WAIT_MAX);
        assert_eq!(Wait::default().next(1.0), WAIT_MIN);
    }

    #[test]
    fn a_longer_wait_that_was_asked_for_counts_once() {
        let mut wait = Wait::default();
        wait.at_least(WAIT_MAX * 6);
        assert_eq!(wait.next(1.0), WAIT_MAX * 6);
        assert_eq!(wait.next(1.0), WAIT_MAX);
    }
}
