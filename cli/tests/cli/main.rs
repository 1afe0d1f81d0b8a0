//! The compiled `stayhand` against services that answer as told, over unix sockets as in the field.
//!
//! One binary for all of it, because linking is what these tests spend their time on.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unnecessary_wraps,
    reason = "helpers of tests, which clippy does not take for tests; samples are made as the wire has them"
)]

mod cases;
mod diff;
mod errors;
mod events;
mod explain;
mod fake;
mod flags;
mod grants;
mod holds;
mod hosts;
mod learn;
mod local;
mod locks;
mod offline;
mod policies;
mod proposals;
mod replay;
mod rollouts;
mod run;
mod sample;
mod tokens;
mod whoami;
