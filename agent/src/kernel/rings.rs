//! Reads the three rings, one task each, and hands out records, class A first.
//!
//! Never blocks the kernel: when nobody takes records the rings fill up, and the kernel counts what it could not
//! write. What could not be decoded is counted here.
#![expect(
    unsafe_code,
    reason = "the runtime wants a promise about the watched descriptor"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aya::maps::{MapData, RingBuf};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::mpsc,
    task::JoinSet,
};

use super::{
    pins::Pins,
    record::RawRecord,
    table::{self, TableError},
};

/// Names of the rings, by class.
const RINGS: [&str; 3] = ["RING_A", "RING_B", "RING_C"];
/// Decoded records that wait per class: some two seconds of a busy host, about 4 MiB at most.
const WAITING_MAX: usize = 1_024;
/// How often a ring is looked at without being told to: bounds the harm of a lost wake-up.
const LOOK: Duration = Duration::from_secs(1);

/// What the readers counted, by class.
#[derive(Debug, Default)]
pub struct RingStats {
    decoded: [AtomicU64; 3],
    malformed: [AtomicU64; 3],
}

impl RingStats {
    /// Records handed on, by class.
    pub fn decoded(&self) -> [u64; 3] {
        self.decoded
            .each_ref()
            .map(|count| count.load(Ordering::Relaxed))
    }

    /// Entries that were no record, by class.
    pub fn malformed(&self) -> [u64; 3] {
        self.malformed
            .each_ref()
            .map(|count| count.load(Ordering::Relaxed))
    }

    fn decode(&self, class: usize, bytes: &[u8]) -> Option<RawRecord> {
        let (counters, record) = match RawRecord::decode(bytes) {
            Ok(record) => (&self.decoded, Some(record)),
            Err(error) => {
                tracing::warn!(ring = RINGS.get(class), %error, "entry is not a record");
                (&self.malformed, None)
            }
        };
        if let Some(counter) = counters.get(class) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        record
    }
}

/// Why rings cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RingsError {
    /// A ring cannot be opened.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The runtime cannot watch it.
    #[error("cannot watch ring `{0}`; see the limit of open files")]
    Watch(&'static str, #[source] std::io::Error),
}

/// The receiving end. Dropping it stops the readers; the rings go on counting.
#[derive(Debug)]
pub struct Records {
    a: mpsc::Receiver<RawRecord>,
    b: mpsc::Receiver<RawRecord>,
    c: mpsc::Receiver<RawRecord>,
    stats: Arc<RingStats>,
    _readers: JoinSet<()>,
}

impl Records {
    /// Opens the rings and starts the readers. Only one process may read a ring. Panics outside a tokio runtime.
    pub fn start(pins: &Pins) -> Result<Self, RingsError> {
        let stats = Arc::new(RingStats::default());
        let mut readers = JoinSet::new();
        let mut start = |class: usize, name: &'static str| {
            let ring = table::ring(pins, name)?;
            // SAFETY: the ring owns its map's descriptor, always names that same one, and is never taken out.
            let ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) };
            let ring = ring.map_err(|error| RingsError::Watch(name, error.into()))?;
            let (sender, receiver) = mpsc::channel(WAITING_MAX);
            readers.spawn(read(ring, class, sender, Arc::clone(&stats)));
            Ok::<_, RingsError>(receiver)
        };
        let [a, b, c] = RINGS;
        let (a, b, c) = (start(0, a)?, start(1, b)?, start(2, c)?);
        Ok(Self {
            a,
            b,
            c,
            stats,
            _readers: readers,
        })
    }

    /// The next record, class A first; `None` once every reader has ended.
    pub async fn next(&mut self) -> Option<RawRecord> {
        tokio::select! {
            biased;
            Some(record) = self.a.recv() => Some(record),
            Some(record) = self.b.recv() => Some(record),
            Some(record) = self.c.recv() => Some(record),
            else => None,
        }
    }

    /// What was counted so far.
    pub fn stats(&self) -> Arc<RingStats> {
        Arc::clone(&self.stats)
    }
}

async fn read(
    mut ring: AsyncFd<RingBuf<MapData>>,
    class: usize,
    records: mpsc::Sender<RawRecord>,
    stats: Arc<RingStats>,
) {
    loop {
        loop {
            let record = match take(ring.get_mut(), class, &stats) {
                Taken::Record(record) => record,
                Taken::Malformed => continue,
                Taken::Nothing => break,
            };
            if records.send(*record).await.is_err() {
                return;
            }
        }
        let Ok(woken) = tokio::time::timeout(LOOK, ring.readable_mut()).await else {
            continue;
        };
        match woken {
            // Cleared before the next look, so that whatever comes after that look wakes us again.
            Ok(mut guard) => guard.clear_ready(),
            Err(error) => {
                tracing::error!(ring = RINGS.get(class), %error, "ring cannot be watched");
                return;
            }
        }
    }
}

enum Taken {
    Record(Box<RawRecord>),
    Malformed,
    Nothing,
}

/// Takes one entry out of the ring.
fn take(ring: &mut RingBuf<MapData>, class: usize, stats: &RingStats) -> Taken {
    let Some(entry) = ring.next() else {
        return Taken::Nothing;
    };
    stats
        .decode(class, &entry)
        .map_or(Taken::Malformed, |record| Taken::Record(Box::new(record)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_record_is_counted_and_passed_over() {
        let stats = RingStats::default();
        assert!(stats.decode(1, &[0; 16]).is_none());
        assert!(stats.decode(1, b"").is_none());
        assert!(stats.decode(9, b"").is_none(), "no such class");
        assert_eq!((stats.malformed(), stats.decoded()), ([0, 2, 0], [0, 0, 0]));
    }

    #[tokio::test]
    async fn rings_that_are_not_pinned_are_an_error() {
        let place = tempfile::tempdir().unwrap();
        let error = Records::start(&Pins::new(place.path())).unwrap_err();
        assert!(error.to_string().contains("RING_A"), "{error}");
    }
}
