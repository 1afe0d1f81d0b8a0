//! From kernel records to stored events: read, make readable, hide secrets, store, and only then act and tell.
//!
//! Every record becomes exactly one event or one counted loss. Nothing here can delay the kernel: what is not
//! read fast enough is counted by it.

mod enrich;
mod process;
mod recorder;
#[cfg(test)]
mod tests;

pub use enrich::{Enriched, Enricher, Identity, unknown_hold};
pub use recorder::{Quiet, Recorder, Source};
