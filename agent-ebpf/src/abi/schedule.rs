//! When rules count: what the wall clock says, as points in time for some days ahead.

/// Rows of each slot; row 0 is none, see `Entry::schedule`. Bounds the map at 2 x 64 x 1064 bytes = 133 KiB.
pub const SCHEDULES_PER_SLOT: u32 = 64;
/// Spans of one row. The compiler ends what is known before one more would begin.
pub const SPANS_MAX: usize = 64;

/// A span of time on the wall clock, in nanoseconds since 1970 (UTC): from the first on, before the second.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WallSpan {
    /// First nanosecond
    pub from_ns: u64,
    /// No longer then
    pub to_ns: u64,
}

/// One schedule. All zeroes know nothing, and then a rule may count.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// For which time the spans are known
    pub known: WallSpan,
    /// What is added to `CLOCK_BOOTTIME` for the wall clock's time
    pub boot_to_wall_ns: u64,
    /// What is added to `CLOCK_TAI` for it
    pub tai_to_wall_ns: u64,
    /// Spans that are there
    pub count: u32,
    /// Zero
    pub pad: u32,
    /// In order, apart from each other
    pub spans: [WallSpan; SPANS_MAX],
}

impl Default for Schedule {
    /// Nothing is known.
    fn default() -> Self {
        Self {
            known: WallSpan::default(),
            boot_to_wall_ns: 0,
            tai_to_wall_ns: 0,
            count: 0,
            pad: 0,
            spans: [WallSpan::default(); SPANS_MAX],
        }
    }
}

const _: () = assert!(size_of::<Schedule>() == 1064);
