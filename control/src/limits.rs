//! Bounds of the control plane, each with its reason.

use std::time::Duration;

use stayhand_guardrail::{id::EventSeq, time::DurationMs};

/// Items of a page that asks for no size.
pub const PAGE_SIZE_DEFAULT: u32 = 100;
/// Items of the largest page; more is coerced, so that an answer stays within a message.
pub const PAGE_SIZE_MAX: u32 = 250;
/// Holds of the largest page: with every argument of its process a hold can have 200 KiB.
pub const HOLDS_PAGE_SIZE_MAX: u32 = 64;
/// Events that are read at once for a tail: bounds the memory per reader, whatever its speed.
pub const TAIL_PAGE: u32 = 64;
/// Messages that wait for a slow client before its stream waits, too.
pub const STREAM_BUFFER: usize = 4;
/// Calls at once on one connection: a client's own watches and a few commands.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 64;
/// Connections of one user: the operators' socket is open to everybody, and nobody may use it up for all.
pub const CONNECTIONS_PER_UID_MAX: usize = 64;
/// Connections of all users; each costs a descriptor or two.
pub const CONNECTIONS_MAX: usize = 2_048;
/// An ordinary call that takes longer is stuck.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// An agent says hello at once.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a host hears that the control plane is there, and how often every stream looks again by itself,
/// should a signal have been missed.
pub const BOOKMARK_INTERVAL: Duration = Duration::from_secs(3);
/// How often time is looked at: a grant's end shows in lists at most this late. The kernel does not wait for it.
pub const TICK: Duration = Duration::from_millis(250);
/// How long after its deadline a hold counts as timed out if its host says nothing: the host's word comes first.
pub const HOLD_GRACE: DurationMs = DurationMs::from_secs(3);
/// Grants or holds that one tick ends in one transaction; the rest follows in the next.
pub const ENDINGS_PER_TICK: u32 = 200;
/// How far a host's generation may be ahead of the store's: a store that was restored is behind by some changes,
/// not by this many.
pub const GENERATION_LEAP_MAX: u64 = 1 << 32;
/// Candidates that are looked up for an ambiguous prefix: more than an error shows.
pub const CANDIDATES: u32 = 5;
/// Reasons of a rejection that are kept, and the length of each: a screenful.
pub const REASONS_MAX: usize = 20;
/// See [`REASONS_MAX`].
pub const REASON_CHARS_MAX: usize = 500;
/// How long a stop waits for calls to finish.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest number of an event: what every JSON reader takes without rounding, and more than a host makes in a
/// thousand years.
pub const EVENT_SEQ_MAX: EventSeq = EventSeq(1 << 53);
