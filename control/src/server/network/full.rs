//! Connections for which there was no place: counted, and told now and then, so that whoever wonders where a fleet is sees it, and
//! whoever only knocks fills no log.

use std::{
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Between two lines of the log.
const PERIOD: Duration = Duration::from_secs(10);

/// Those that found no place.
#[derive(Debug, Default)]
pub(super) struct Full(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    told: Option<Instant>,
    since_told: u64,
    all: u64,
}

impl Full {
    /// Notes one more.
    pub(super) fn note(&self, address: SocketAddr, what: &str) {
        if let Some((more, all)) = self.count(Instant::now()) {
            tracing::warn!(%address, more, all, "connections closed: {what}; whoever comes again in a while finds a place");
        }
    }

    /// How many there were since somebody was told, and in all, if it is time to tell.
    fn count(&self, now: Instant) -> Option<(u64, u64)> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.since_told = counts.since_told.saturating_add(1);
        counts.all = counts.all.saturating_add(1);
        let recently = |told: Instant| now.saturating_duration_since(told) < PERIOD;
        if counts.told.is_some_and(recently) {
            return None;
        }
        counts.told = Some(now);
        Some((std::mem::take(&mut counts.since_told), counts.all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_a_line_in_a_while_and_everyone_is_counted() {
        let (full, start) = (Full::default(), Instant::now());
        assert_eq!(full.count(start), Some((1, 1)));
        for _ in 0..1_000 {
            assert_eq!(full.count(start + PERIOD / 2), None);
        }
        assert_eq!(full.count(start + PERIOD), Some((1_001, 1_002)));
    }
}
