//! The only place in the agent's user half that reads a clock. Everything else takes [`Now`] as an argument.

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use stayhand_guardrail::time::{DurationMs, UnixMs};
use uuid::Uuid;

/// For clocks of the kernel.
pub const NS_PER_MS: u64 = 1_000_000;

/// One moment on the three clocks that matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// `CLOCK_BOOTTIME`: stands still while a virtual machine is paused
    pub boot_ns: u64,
    /// `CLOCK_TAI`: follows steps of the wall clock
    pub tai_ns: u64,
    /// Wall clock, for people and records
    pub unix: UnixMs,
}

impl Now {
    /// Reads all three.
    #[must_use]
    pub fn read() -> Self {
        Self {
            boot_ns: nanoseconds(ClockId::CLOCK_BOOTTIME),
            tai_ns: nanoseconds(ClockId::CLOCK_TAI),
            unix: UnixMs(nanoseconds(ClockId::CLOCK_REALTIME) / NS_PER_MS),
        }
    }

    /// The wall-clock time of a moment on the boot clock, seen from here. For people and records only.
    #[must_use]
    pub fn unix_of_boot(&self, boot_ns: u64) -> UnixMs {
        if boot_ns >= self.boot_ns {
            self.unix
                .plus(DurationMs((boot_ns - self.boot_ns) / NS_PER_MS))
        } else {
            UnixMs(
                self.unix
                    .0
                    .saturating_sub((self.boot_ns - boot_ns) / NS_PER_MS),
            )
        }
    }

    /// Deadlines on both kernel clocks that lie `span` ahead.
    #[must_use]
    pub fn deadlines(&self, span: DurationMs) -> Deadlines {
        let span_ns = span.0.saturating_mul(NS_PER_MS);
        Deadlines {
            boot_ns: self.boot_ns.saturating_add(span_ns),
            tai_ns: self.tai_ns.saturating_add(span_ns),
        }
    }
}

/// Absolute deadlines; over as soon as either clock reaches its own. Worthless on another boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadlines {
    /// On `CLOCK_BOOTTIME`
    pub boot_ns: u64,
    /// On `CLOCK_TAI`
    pub tai_ns: u64,
}

impl Deadlines {
    /// The earlier of both, clock by clock.
    #[must_use]
    pub fn earlier(self, other: Self) -> Self {
        Self {
            boot_ns: self.boot_ns.min(other.boot_ns),
            tai_ns: self.tai_ns.min(other.tai_ns),
        }
    }

    /// What is left until the first of both.
    #[must_use]
    pub fn left(&self, now: &Now) -> DurationMs {
        let boot_ns = self.boot_ns.saturating_sub(now.boot_ns);
        let tai_ns = self.tai_ns.saturating_sub(now.tai_ns);
        DurationMs(boot_ns.min(tai_ns) / NS_PER_MS)
    }

    /// Whether either has passed.
    #[must_use]
    pub fn passed(&self, now: &Now) -> bool {
        self.boot_ns <= now.boot_ns || self.tai_ns <= now.tai_ns
    }
}

/// A clock that cannot be read is at 0 for records; deadlines made from 0 lie in the past, which restricts.
fn nanoseconds(clock: ClockId) -> u64 {
    let Ok(time) = clock_gettime(clock) else {
        return 0;
    };
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    let rest = u64::try_from(time.tv_nsec()).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

/// The running boot's id.
pub fn boot_id() -> std::io::Result<Uuid> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Uuid::try_parse(text.trim()).map_err(std::io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Now = Now {
        boot_ns: 5_000_000_000,
        tai_ns: 9_000_000_000,
        unix: UnixMs(10_000),
    };

    #[test]
    fn either_clock_ends_a_deadline() {
        let ends = NOW.deadlines(DurationMs(1_000));
        assert!(!ends.passed(&NOW));
        assert!(ends.passed(&Now {
            boot_ns: 6_000_000_000,
            ..NOW
        }));
        assert!(ends.passed(&Now {
            tai_ns: 10_000_000_000,
            ..NOW
        }));
        assert!(
            Deadlines::default().passed(&NOW),
            "a zeroed deadline is over"
        );
    }

    #[test]
    fn boot_times_become_wall_times_in_both_directions() {
        assert_eq!(NOW.unix_of_boot(4_000_000_000), UnixMs(9_000));
        assert_eq!(NOW.unix_of_boot(7_500_000_000), UnixMs(12_500));
        assert_eq!(NOW.unix_of_boot(0), UnixMs(5_000));
    }

    #[test]
    fn the_clocks_of_this_machine_run() {
        let now = Now::read();
        assert!(
            now.boot_ns > 0 && now.tai_ns > 0 && now.unix.0 > 0,
            "{now:?}"
        );
    }
}
