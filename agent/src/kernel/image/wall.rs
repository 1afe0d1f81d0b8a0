//! How the wall clock stands to the kernel's clocks, so that rules count by what it says.
//!
//! Never follows it step by step: each change is an image of its own.

use std::time::Duration;

use stayhand_guardrail::image::schedules::Wall;

use crate::clock::Now;

/// A clock that is slewed to keep time stays within this for half an hour; one that was set, and a machine that stood
/// still, mostly do not.
const DRIFT_MAX: Duration = Duration::from_secs(1);

/// Reads the clocks.
pub(super) type ReadClocks = Box<dyn Fn() -> Now + Send>;

/// The wall clock as images have it.
pub(super) struct WallClock {
    read: ReadClocks,
    known: Option<Wall>,
}

impl WallClock {
    pub(super) fn new(read: ReadClocks) -> Self {
        Self { read, known: None }
    }

    /// As it stood when it was looked at last, unless a day began since, or it was set.
    pub(super) fn look(&mut self) -> Wall {
        let now = (self.read)();
        let now = Wall::of(now.unix, now.boot_ns, now.tai_ns);
        let wall = self.known.filter(|known| holds(known, &now));
        *self.known.insert(wall.unwrap_or(now))
    }
}

fn holds(known: &Wall, now: &Wall) -> bool {
    let near = |one: u64, other: u64| {
        let apart = one.wrapping_sub(other).min(other.wrapping_sub(one));
        Duration::from_nanos(apart) <= DRIFT_MAX
    };
    known.day == now.day
        && near(known.boot_to_wall_ns, now.boot_to_wall_ns)
        && near(known.tai_to_wall_ns, now.tai_to_wall_ns)
}
