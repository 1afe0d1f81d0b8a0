//! The guest's program: PID 1 of a test machine, its scenarios, its demo, its benchmark and the small programs
//! that act in them. One binary, because an initial RAM disk wants few and small files.
//!
//! Never used outside a throw-away guest, except for `--list`.

#![expect(
    unreachable_pub,
    reason = "a binary: `pub` means outside the module, nothing leaves the crate"
)]

#[cfg(test)]
mod actions;
mod actors;
mod args;
mod bench;
mod bench_facts;
mod cleanup;
mod cmdline;
mod console;
mod fair_server;
mod host;
mod init;
mod init_acts;
mod login;
mod process;
mod runner;
mod scenario;
mod scenarios;
mod story;
mod wait;

use std::process::ExitCode;

use anyhow::Result;

use crate::args::{Args, Verb};

fn main() -> ExitCode {
    // An actor may be the first process of a pid namespace.
    let is_actor = std::env::args().nth(1).as_deref() == Some("act");
    if std::process::id() == 1 && !is_actor {
        init::main();
    }
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("stayhand-guest: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let args = <Args as clap::Parser>::parse();
    if args.list {
        for scenario in scenarios::all() {
            let boot = scenario.boot.word().unwrap_or_default();
            let any = if scenario.any_kernel {
                " any-kernel"
            } else {
                ""
            };
            println!("{}", format!("{} {boot}{any}", scenario.name).trim_end());
        }
        return Ok(ExitCode::SUCCESS);
    }
    match args.verb {
        Some(Verb::Run) => runner::run(),
        Some(Verb::Scenario { names }) => scenario::run_all(&names),
        Some(Verb::LoginAs { tty, user, command }) => {
            login::become_user(tty.as_deref(), &user, &command)
        }
        Some(Verb::Act { what }) => actors::main(&what),
        None => anyhow::bail!("nothing to do; see --help"),
    }
}
