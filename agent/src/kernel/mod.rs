//! The kernel-facing half of the agent: finds out what the kernel can do, loads and pins the hooks, installs
//! policy images, reads rings, answers holds. The only user of aya and of raw system calls.
//!
//! Never decides anything about an action, and never takes enforcement away by itself: whatever it pinned stays
//! when the agent ends, however it ends.

pub mod btf;
pub mod caller;
pub mod counters;
pub mod freshness;
pub mod holds;
pub mod identity;
pub mod image;
pub mod layout;
pub mod load;
pub mod loginuid;
pub mod mounts;
pub mod object;
pub mod offsets;
pub mod pidfd;
pub mod pins;
pub mod probe;
pub mod pulse;
pub mod questions;
pub mod record;
mod request;
pub mod rings;
pub mod scan;
pub mod settings;
mod symbols;
pub mod table;
pub mod task_storage;
#[cfg(feature = "trace")]
pub mod trace;

pub use load::{Kernel, LoadError, LoadOptions};
