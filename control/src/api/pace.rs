//! How fast one host may speak. Beyond that it waits, and nothing that it says is dropped: every message is a transaction of the
//! only writer, and no host may have it for itself.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use stayhand_guardrail::id::HostId;
use tokio::sync::Mutex as AsyncMutex;

use crate::limits::{
    HOST_BATCHES_BURST, HOST_BATCHES_PER_SECOND, HOST_KIB_BURST, HOST_KIB_PER_SECOND,
    HOST_MESSAGES_BURST, HOST_MESSAGES_PER_SECOND,
};

/// So many at once, and so many a second after that.
struct Pace {
    each: Duration,
    burst: u32,
    /// When everything so far would be over at that pace
    busy_until: Instant,
}

impl Pace {
    fn new(per_second: u32, burst: u32) -> Self {
        Self {
            each: Duration::from_secs(1) / per_second.max(1),
            burst,
            busy_until: Instant::now(),
        }
    }

    /// Waits until so many more may be taken.
    async fn next(&mut self, many: u32) {
        tokio::time::sleep(self.wait(Instant::now(), many)).await;
    }

    fn wait(&mut self, now: Instant, many: u32) -> Duration {
        self.busy_until = self.busy_until.max(now) + self.each * many;
        let ahead = self.busy_until.duration_since(now);
        ahead.saturating_sub(self.each * self.burst)
    }
}

/// One pace for each host, over all of its streams and calls.
#[derive(Clone, Default)]
pub struct Paces(Arc<Mutex<BTreeMap<(HostId, Kind), Shared>>>);

/// The pace of one host, for all who wait for it.
type Shared = Arc<AsyncMutex<Pace>>;

/// What a host says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Messages, opened streams and asked-for certificates
    Message,
    /// Batches of events
    Batch,
    /// What is in them, in KiB
    BatchKib,
}

impl Paces {
    /// Waits until a host may say something more.
    pub(super) async fn next(&self, host: &HostId, kind: Kind) {
        self.many(host, kind, 1).await;
    }

    /// The same of so many at once.
    pub(super) async fn many(&self, host: &HostId, kind: Kind, many: u32) {
        let pace = {
            let mut paces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let pace = paces.entry((host.clone(), kind)).or_insert_with(|| {
                let pace = match kind {
                    Kind::Message => Pace::new(HOST_MESSAGES_PER_SECOND, HOST_MESSAGES_BURST),
                    Kind::Batch => Pace::new(HOST_BATCHES_PER_SECOND, HOST_BATCHES_BURST),
                    Kind::BatchKib => Pace::new(HOST_KIB_PER_SECOND, HOST_KIB_BURST),
                };
                Arc::new(AsyncMutex::new(pace))
            });
            Arc::clone(pace)
        };
        // Held over the wait: streams of one host wait one behind the other.
        pace.lock().await.next(many).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long so many messages take from `now` on, each sent as soon as the one before was taken.
    fn taken(pace: &mut Pace, mut now: Instant, messages: u32) -> Duration {
        let start = now;
        for _ in 0..messages {
            now += pace.wait(now, 1);
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
        let later = Instant::now() + Duration::from_hours(1);
        let fifteen = taken(&mut pace, later, 15);
        assert!(fifteen >= Duration::from_millis(950), "{fifteen:?}");
    }
}
