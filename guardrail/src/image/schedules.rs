//! When rules count, as the kernel reads it: the windows of policies as spans of the wall clock's time.

use stayhand_agent_ebpf::abi::schedule::{NEVER_NS, SPANS_MAX, Schedule};

use crate::{
    limits::SCHEDULE_DAYS,
    policy::{
        When,
        when::{Span, Spans},
    },
    time::UnixMs,
};

const SECONDS_PER_DAY: u64 = 86_400;
const NS_PER_S: u64 = 1_000_000_000;

/// How the wall clock stands to the kernel's clocks, and of which days it is known when rules count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wall {
    /// First day, counted from 1970 (UTC)
    pub day: u64,
    /// What is added to `CLOCK_BOOTTIME`
    pub boot_to_wall_ns: u64,
    /// What is added to `CLOCK_TAI`
    pub tai_to_wall_ns: u64,
}

impl Wall {
    /// While the clocks say this.
    #[must_use]
    pub fn of(unix: UnixMs, boot_ns: u64, tai_ns: u64) -> Self {
        let unix_ns = unix.0.saturating_mul(1_000_000);
        Self {
            day: unix.0 / 1_000 / SECONDS_PER_DAY,
            boot_to_wall_ns: unix_ns.wrapping_sub(boot_ns),
            tai_to_wall_ns: unix_ns.wrapping_sub(tai_ns),
        }
    }

    /// The rows of these schedules; row 0 is none.
    #[must_use]
    pub fn rows(&self, schedules: &[When]) -> Vec<Schedule> {
        let rows = schedules.iter().map(|when| self.row(when));
        std::iter::once(Schedule::default()).chain(rows).collect()
    }

    fn row(&self, when: &When) -> Schedule {
        // Nobody has said which flags are set: of nothing is known when it counts.
        if !when.flags.is_empty() {
            return Schedule::default();
        }
        let from = self.day.saturating_mul(SECONDS_PER_DAY);
        let known = Span {
            from: from.cast_signed(),
            to: (from + SCHEDULE_DAYS * SECONDS_PER_DAY).cast_signed(),
        };
        let Spans { known, counts } = when.spans(known, SPANS_MAX);
        let mut row = Schedule {
            known_from_ns: nanoseconds(known.from),
            known_to_ns: nanoseconds(known.to),
            boot_to_wall_ns: self.boot_to_wall_ns,
            tai_to_wall_ns: self.tai_to_wall_ns,
            ..Schedule::default()
        };
        let edges = counts.iter().flat_map(|span| [span.from, span.to]);
        row.set(edges.map(nanoseconds));
        row
    }
}

/// Times before 1970 are its beginning; those beyond what the kernel can compare are never.
fn nanoseconds(seconds: i64) -> u64 {
    let seconds = u64::try_from(seconds).unwrap_or(0);
    seconds.saturating_mul(NS_PER_S).min(NEVER_NS)
}
