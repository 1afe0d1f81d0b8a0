//! How fast one host may speak. Beyond that it waits, and nothing that it says is dropped: every message is a transaction of the
//! only writer, and no host may have it for itself.

use std::time::{Duration, Instant};

/// So many at once, and so many a second after that.
pub(super) struct Pace {
    each: Duration,
    burst: u32,
    /// When everything so far would be over at that pace
    busy_until: Instant,
}

impl Pace {
    pub(super) fn new(per_second: u32, burst: u32) -> Self {
        Self {
            each: Duration::from_secs(1) / per_second.max(1),
            burst,
            busy_until: Instant::now(),
        }
    }

    /// Waits until the next message may be taken.
    pub(super) async fn next(&mut self) {
        tokio::time::sleep(self.wait(Instant::now())).await;
    }

    fn wait(&mut self, now: Instant) -> Duration {
        self.busy_until = self.busy_until.max(now) + self.each;
        let ahead = self.busy_until.duration_since(now);
        ahead.saturating_sub(self.each * self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long so many messages take from `now` on, each sent as soon as the one before was taken.
    fn taken(pace: &mut Pace, mut now: Instant, messages: u32) -> Duration {
        let start = now;
        for _ in 0..messages {
            now += pace.wait(now);
        }
        now - start
    }

    #[test]
    fn a_burst_is_taken_at_once_and_what_follows_at_its_pace() {
        let (mut pace, now) = (Pace::new(10, 5), Instant::now());
        assert_eq!(taken(&mut pace, now, 5), Duration::ZERO);
        let more = taken(&mut pace, now, 20);
        assert!((1_950..=2_050).contains(&more.as_millis()), "{more:?}");
    }

    #[test]
    fn silence_earns_no_more_than_one_burst() {
        let mut pace = Pace::new(10, 5);
        let later = Instant::now() + Duration::from_secs(3_600);
        let fifteen = taken(&mut pace, later, 15);
        assert!(fifteen >= Duration::from_millis(950), "{fifteen:?}");
    }
}
