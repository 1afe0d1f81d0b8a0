//! `stayhand`: what operators, approvers and the guarded person type.
//!
//! Parses, runs one command, prints one failure, exits. Decides nothing about anybody's rights: the control
//! plane and the agent do, by who is connected.

#![expect(
    clippy::format_push_string,
    clippy::format_collect,
    reason = "output is a few lines; the alternative is to ignore an error that cannot occur"
)]

mod access;
mod args;
mod client;
mod commands;
mod connect;
mod failure;
#[cfg(test)]
mod reference;
mod render;
mod screen;
mod session_file;
mod time;
mod view;

use std::process::ExitCode;

use clap::Parser as _;

use crate::{args::Cli, failure::Failure, screen::Screen};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let screen = Screen::new(&cli.global);
    match run(&cli, &screen) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            screen.failure(&failure);
            failure.kind.into()
        }
    }
}

fn run(cli: &Cli, screen: &Screen) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::general(format!("the runtime did not start: {error}")))?;
    runtime.block_on(commands::run(cli, screen))
}
