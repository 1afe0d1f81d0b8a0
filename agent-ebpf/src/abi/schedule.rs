//! When rules count: what the wall clock says, as points in time for some days ahead.

/// Rows of each slot; row 0 is none, see `Entry::schedule`. Bounds the map at 2 x 64 x 1056 bytes = 132 KiB.
pub const SCHEDULES_PER_SLOT: u32 = 64;
/// Points in time of one row, one of which is never used: what passes them is counted in seven halvings.
pub const EDGES: usize = 128;
/// Spans of one row. The compiler ends what is known before one more would begin.
pub const SPANS_MAX: usize = EDGES / 2 - 1;
/// Stands where there is no point in time: later than all of them.
pub const NEVER_NS: u64 = i64::MAX as u64;

/// One schedule. All zeroes know nothing, and then a rule may count. Times are nanoseconds since 1970 (UTC).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// From when on the rest is known
    pub known_from_ns: u64,
    /// And until when; at most [`NEVER_NS`]
    pub known_to_ns: u64,
    /// What is added to `CLOCK_BOOTTIME` for the wall clock's time
    pub boot_to_wall_ns: u64,
    /// What is added to `CLOCK_TAI` for it
    pub tai_to_wall_ns: u64,
    /// The rule counts from the first one on, no longer from the second one on, and so on; the latest comes first in the
    /// array, behind those that are never, and its last place is not used
    pub edges_ns: [u64; EDGES],
}

impl Schedule {
    /// Takes these edges, of which the first one is the earliest; at most two for each of [`SPANS_MAX`].
    pub fn set(&mut self, edges_ns: impl IntoIterator<Item = u64>) {
        let places = self.edges_ns.iter_mut().rev().skip(1);
        places.zip(edges_ns).for_each(|(place, edge)| *place = edge);
    }
}

impl Default for Schedule {
    /// Nothing is known.
    fn default() -> Self {
        Self {
            known_from_ns: 0,
            known_to_ns: 0,
            boot_to_wall_ns: 0,
            tai_to_wall_ns: 0,
            edges_ns: [NEVER_NS; EDGES],
        }
    }
}

const _: () = assert!(size_of::<Schedule>() == 1056);
