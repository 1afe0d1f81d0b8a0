//! `stayhand-fleet`: measures one or several sizes and prints a line of JSON for each. `cargo xtask bench fleet` builds it and
//! the control plane, runs it, and makes tables of the lines.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Result, ensure};
use clap::Parser;
use stayhand_fleet::{Plan, measure, raise_open_files};

/// Measure a control plane with a fleet of simulated hosts over real TLS on loopback
#[derive(Parser)]
#[command(name = "stayhand-fleet")]
struct Args {
    /// The control plane's program
    #[arg(long, value_name = "FILE")]
    server: PathBuf,
    /// Numbers of hosts, each measured from an empty store on
    #[arg(long, value_delimiter = ',', required = true, value_parser = clap::value_parser!(u32).range(2..=50_000))]
    sizes: Vec<u32>,
    /// Grants and revocations of each kind
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Seconds for which idle hosts are looked at
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    idle_s: u64,
    /// Below which directory the store is: on a disk, or waiting for one is not measured
    #[arg(long, value_name = "DIRECTORY", default_value_os_t = std::env::temp_dir())]
    below: PathBuf,
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stayhand-fleet: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<()> {
    ensure!(
        args.server.is_file(),
        "{} is not there",
        args.server.display()
    );
    raise_open_files(args.sizes.iter().copied().max().unwrap_or(0))?;
    for hosts in args.sizes {
        let plan = Plan {
            program: args.server.clone(),
            below: args.below.clone(),
            hosts,
            rounds: args.rounds,
            idle: Duration::from_secs(args.idle_s),
            quiet: false,
        };
        // A runtime of its own: what one size leaves behind is not measured with the next.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        let report = runtime.block_on(measure(&plan))?;
        drop(runtime);
        println!("{}", serde_json::to_string(&report)?);
    }
    Ok(())
}
