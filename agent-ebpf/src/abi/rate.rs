//! How often something may be done: buckets that refill evenly.

/// Rates of one image, each a bit in what was met. Bounds the map at 2 x 64 x 56 bytes.
pub const RATES_PER_SLOT: u32 = 64;
/// Buckets: one for each rate and each subject that ever did what it counts. Beyond that a rate restricts as if it were
/// used up, and a counter says so.
pub const BUCKETS_MAX: u32 = 65_536;

/// One rate. All zeroes let nothing through.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// Stable key of the rule
    pub rule: u64,
    /// Stable key of the permission that the rule names, 0 for none
    pub permission: u64,
    /// Stable key of rule and rate: what counts them
    pub bucket: u64,
    /// In what time one more is let through; 0 for never
    pub interval_ns: u64,
    /// How far ahead of that somebody may be: one interval less than in how much time the whole of it refills
    pub room_ns: u64,
    /// What becomes of the rest: `code::effect::HOLD`, or anything else to deny
    pub effect: u32,
    /// Rank in the document order
    pub order: u32,
    /// How long a hold waits
    pub timeout_ms: u32,
    /// Bits of `image::entry_flag`
    pub flags: u16,
    /// Zero
    pub pad: u16,
}

/// Key of a bucket. It outlives images: a new revision of a policy refills nothing, unless it changes the rate.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BucketKey {
    /// See [`Rate::bucket`]
    pub bucket: u64,
    /// Pinned login uid
    pub auid: u32,
    /// Zero
    pub pad: u32,
}

/// A bucket.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// When it will be full again, on `CLOCK_BOOTTIME`; what is past is full
    pub full_at_ns: u64,
}

const _: () = assert!(size_of::<Rate>() == 56);
const _: () = assert!(size_of::<BucketKey>() == 16);
const _: () = assert!(size_of::<Bucket>() == 8);
