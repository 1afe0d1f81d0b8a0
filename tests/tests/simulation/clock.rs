//! Virtual time: one true clock, and what hosts and the control plane take for it. Nobody here waits.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

use rand::{RngExt as _, rngs::StdRng};
use stayhand_agent::clock::Now;
use stayhand_control::clock::Outside;
use stayhand_guardrail::time::UnixMs;
use uuid::Uuid;

pub(crate) const MS: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1_000 * MS;

/// The wall clock when a world begins, in a year that no rule knows.
const BEGIN_UNIX_MS: u64 = 1_900_000_000_000;
/// What TAI is ahead of UTC.
const TAI_AHEAD_MS: u64 = 37_000;

/// What the true time is when a clock that nobody set says this.
pub(crate) fn true_ns(unix: UnixMs) -> u64 {
    unix.0.saturating_sub(BEGIN_UNIX_MS) * MS
}

/// True time since the world began, which nobody in it can read.
#[derive(Clone, Default)]
pub(crate) struct TrueTime(Arc<AtomicU64>);

impl TrueTime {
    pub(crate) fn ns(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    pub(crate) fn set(&self, ns: u64) {
        self.0.store(ns, Ordering::SeqCst);
    }
}

/// The clocks of one machine.
#[derive(Clone)]
pub(crate) struct Clocks {
    time: TrueTime,
    /// When it was booted, or would have been had it never been paused
    booted_ns: Arc<AtomicU64>,
    /// Its boot clock while it is paused; 0 = it runs
    frozen_ns: Arc<AtomicU64>,
    /// What its wall clock is wrong by
    wrong_ms: Arc<AtomicI64>,
}

impl Clocks {
    pub(crate) fn new(time: &TrueTime) -> Self {
        Self {
            time: time.clone(),
            booted_ns: Arc::default(),
            frozen_ns: Arc::default(),
            wrong_ms: Arc::default(),
        }
    }

    pub(crate) fn now(&self) -> Now {
        let unix = self.unix_ms();
        Now {
            boot_ns: self.boot_ns(),
            tai_ns: (unix + TAI_AHEAD_MS) * MS,
            unix: UnixMs(unix),
        }
    }

    fn boot_ns(&self) -> u64 {
        match self.frozen_ns.load(Ordering::SeqCst) {
            // A machine is up for a while before anything of ours runs.
            0 => self.time.ns() + SECOND - self.booted_ns.load(Ordering::SeqCst),
            frozen_ns => frozen_ns,
        }
    }

    fn unix_ms(&self) -> u64 {
        let true_ms = BEGIN_UNIX_MS + self.time.ns() / MS;
        true_ms.saturating_add_signed(self.wrong_ms.load(Ordering::SeqCst))
    }

    pub(crate) fn wrong_ms(&self) -> i64 {
        self.wrong_ms.load(Ordering::SeqCst)
    }

    /// Somebody sets the wall clock.
    pub(crate) fn step(&self, by_ms: i64) {
        self.wrong_ms.fetch_add(by_ms, Ordering::SeqCst);
    }

    /// The machine is a virtual one and is not run: its boot clock stands still, and its wall clock will not have.
    pub(crate) fn pause(&self) {
        self.frozen_ns.store(self.boot_ns(), Ordering::SeqCst);
    }

    pub(crate) fn resume(&self) {
        let frozen_ns = self.frozen_ns.swap(0, Ordering::SeqCst);
        if frozen_ns != 0 {
            let booted_ns = self.time.ns() + SECOND - frozen_ns;
            self.booted_ns.store(booted_ns, Ordering::SeqCst);
        }
    }

    pub(crate) fn boot(&self) {
        self.frozen_ns.store(0, Ordering::SeqCst);
        self.booted_ns.store(self.time.ns(), Ordering::SeqCst);
    }
}

/// What the control plane asks for: its machine's clock, and ids from the seed.
pub(crate) struct Machine {
    pub(crate) clocks: Clocks,
    pub(crate) random: Mutex<StdRng>,
}

impl Outside for Machine {
    fn now(&self) -> UnixMs {
        self.clocks.now().unix
    }

    fn id(&self) -> Uuid {
        let bits: u128 = self.random.lock().unwrap().random();
        uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
    }
}
