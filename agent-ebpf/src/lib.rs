//! The bytes that the kernel program and the agent share, and `decide()`, the one decision function.
//!
//! Everything here is `no_std`, has no dependency, never allocates, never panics and does no I/O: the same
//! code is compiled into the kernel object, into the compiled-image evaluator of `stayhand-guardrail` and into
//! tests. Zeroed or unknown bytes always mean *deny*.
#![cfg_attr(not(test), no_std)]

pub mod abi;
pub mod args;
pub mod deadline;
pub mod decide;
pub mod netlink;
pub mod path;
pub mod rate;
pub mod schedule;
pub mod siphash;
pub mod strings;
