//! Small programs that do one thing, for scenarios to watch: `stayhand-guest act NAME ARGUMENTS…`.
//!
//! They print what came of it and exit with the error number, so that a scenario sees exactly which call failed.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::cast_ptr_alignment,
    clippy::unused_self,
    reason = "actors speak raw system calls and rings: widths, signs and alignments are the kernel's"
)]

mod basic;
pub mod board;
pub mod bpf;
mod btf;
mod calls;
pub mod client;
mod compat;
pub mod confine;
pub mod dummies;
pub mod elf;
pub mod measure;
pub mod memory;
mod privileged;
mod programs;
mod puppet;
pub mod rig;
mod signals;
mod sockets;
pub mod standin;
pub mod subjects;
pub mod sys;
mod trace;
mod uring;
mod verbs;
pub mod watch;

use std::process::ExitCode;

use anyhow::{Result, bail};

/// Acts.
pub fn main(what: &[String]) -> Result<ExitCode> {
    let words: Vec<&str> = what.iter().map(String::as_str).collect();
    let Some((name, args)) = words.split_first() else {
        bail!("no actor named")
    };
    if *name == "puppet" {
        return Ok(puppet::run());
    }
    if let Some(code) = basic::act(name, args)? {
        return Ok(code);
    }
    bail!("no actor `{name}`")
}
