//! The developer command: tool chain, build, checks, tests, guests, demo, benchmarks.
//!
//! Never depends on the crates that it builds. Every verb does what it needs first: `cargo xtask demo` on a fresh
//! machine sets up, builds and boots.

#![expect(
    unreachable_pub,
    reason = "a binary: `pub` means outside the module, nothing leaves the crate"
)]

mod apt;
mod compile;
mod compiler;
mod cpio;
mod deb;
mod host;
mod kernels;
mod linker;
mod paths;
mod rootfs;
mod run;
mod setup;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about, long_about = None)]
struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Install and fetch what builds and guests need; nothing to do when warm
    Setup {
        /// Look for newer guest kernels and packages
        #[arg(long)]
        refresh: bool,
    },
    /// Build the kernel object and all binaries (release)
    Build,
}

fn main() -> ExitCode {
    match run_verb() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_verb() -> Result<()> {
    match Args::parse().verb {
        Verb::Setup { refresh } => {
            setup::run(setup::Options {
                refresh,
                ..Default::default()
            })?;
        }
        Verb::Build => {
            setup::run(setup::Options {
                build_only: true,
                quiet: true,
                ..Default::default()
            })?;
            compile::all()?;
        }
    }
    Ok(())
}
