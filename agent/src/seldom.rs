//! Log lines that guarded people can cause: some of them, and how many were left out, so that nobody fills a disk.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Lines of one kind within [`PERIOD`]: enough to see what is wrong.
const LINES_MAX: u32 = 10;
/// How long they count.
const PERIOD: Duration = Duration::from_mins(1);

/// One kind of line.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    since: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl Seldom {
    /// Whether one more line may be written at `now`: then how many were left out since the last one.
    pub fn may(&self, now: Instant) -> Option<u64> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |since: Instant| now.saturating_duration_since(since) >= PERIOD;
        if counts.since.is_none_or(is_over) {
            counts.since = Some(now);
            counts.lines = 0;
        }
        if counts.lines >= LINES_MAX {
            counts.left_out = counts.left_out.saturating_add(1);
            return None;
        }
        counts.lines += 1;
        Some(std::mem::take(&mut counts.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_ten_lines_a_minute_and_a_count() {
        let (seldom, start) = (Seldom::default(), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let first: Vec<Option<u64>> = (0..1_000).map(|_| seldom.may(at(0))).collect();
        assert_eq!(first.iter().filter(|line| line.is_some()).count(), 10);
        assert_eq!(seldom.may(at(59)), None);
        assert_eq!(seldom.may(at(60)), Some(991));
        assert_eq!(seldom.may(at(60)), Some(0));
    }
}
