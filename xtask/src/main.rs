//! The developer command: tool chain, build, checks, tests, guests, demo, benchmarks.
//!
//! Never depends on the crates that it builds. Every verb does what it needs first: `cargo xtask demo` on a fresh
//! machine sets up, builds and boots.

#![expect(
    unreachable_pub,
    reason = "a binary: `pub` means outside the module, nothing leaves the crate"
)]

mod apt;
mod bars;
mod bench;
mod bench_fleet;
mod bench_policy;
mod check;
mod compile;
mod compiler;
mod cpio;
mod deb;
mod demo;
mod fuzz;
mod host;
mod kernels;
mod linker;
mod paths;
mod provider;
mod rootfs;
mod run;
mod setup;
mod simulate;
mod suite;
mod vm;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};

/// Examples that `--help` ends with.
const EXAMPLES: &str = "\
Every verb does what it needs first; the first run on a machine fetches and builds for some minutes.

  cargo xtask demo                     see it work: holds, grants and denials on a real kernel
  cargo xtask test                     all tests of the CI tier, ends with one line of counts
  cargo xtask test --no-vm             the quick part of it
  cargo xtask vm --list                names of the scenarios
  cargo xtask vm --kernel 6.12 --scenario NAME
  cargo xtask vm --kernel 6.12 --init ./try.sh      boot a script of your own
  cargo xtask simulate --seeds 5000    control plane, agents and network under faults, virtual time
  cargo xtask simulate --seed 17       the story of one seed
  cargo xtask fuzz policy --for 10m    policies that nobody wrote; without --for as many as CI tries
  cargo xtask demo --keep              a shell in the guest after the story

Logs of guests: target/vm/. Cache: $STAYHAND_CACHE, else ~/.cache/stayhand. More: docs/toolchain.md";

/// Stayhand's developer command: tool chain, build, checks, tests, guests, demo, benchmarks
#[derive(Parser)]
#[command(name = "xtask", bin_name = "cargo xtask", after_help = EXAMPLES)]
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
        /// Kernel series to have, repeatable: 6.1 and 6.12 if none is named
        #[arg(long)]
        kernel: Vec<String>,
    },
    /// Build the kernel object and all binaries (the development profile, optimised enough for the guest)
    Build {
        /// Only the kernel object
        #[arg(long)]
        object: bool,
        /// Only the kernel object with hook tracing, which is never shipped (docs/toolchain.md)
        #[arg(long, conflicts_with = "object")]
        trace: bool,
    },
    /// Run scenarios in a guest
    Vm(VmArgs),
    /// Format, lints, licences, advisories and the rules about the tree itself
    Check,
    /// Run all tests of the CI tier: checks, cargo test, and guests on every kernel
    Test {
        /// On every kernel: the tested ones and the newest of Debian's backports
        #[arg(long)]
        full: bool,
        /// Leave out the guests
        #[arg(long)]
        no_vm: bool,
        /// Leave out the checks
        #[arg(long)]
        no_check: bool,
    },
    /// Measure: in a guest, what policies cost, or what a fleet costs
    Bench {
        #[command(subcommand)]
        what: Bench,
    },
    /// Try policy documents that nobody wrote, guided by what they reach
    Fuzz {
        #[command(subcommand)]
        what: Fuzz,
    },
    /// Let control plane, agents, people and network run under virtual time and faults, and check what is promised
    Simulate {
        /// Tell all that happens in this one
        #[arg(long, conflicts_with_all = ["count", "first"])]
        seed: Option<u64>,
        /// Try so many; as many as CI if it says nothing
        #[arg(long = "seeds", value_name = "COUNT")]
        count: Option<u64>,
        /// Begin with this one
        #[arg(long, value_name = "SEED")]
        first: Option<u64>,
    },
    /// Play the story of the README in a guest
    Demo {
        /// Kernel series: 6.1, 6.12, another that Debian has such as 7.1, or `newest`
        #[arg(long, default_value = "6.12")]
        kernel: String,
        /// Stay in the guest with a shell afterwards (`login-as alice`; Ctrl-A X ends it)
        #[arg(long)]
        keep: bool,
    },
}

#[derive(Subcommand)]
enum Bench {
    /// Guest instructions per action, with and without the agent
    Hooks {
        /// Kernel series: 6.1, 6.12, another that Debian has such as 7.1, or `newest`
        #[arg(long, default_value = "6.12")]
        kernel: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Fail over a bar (docs/performance.md), or if a second run differs by more than 0.5 %
        #[arg(long)]
        check: bool,
    },
    /// Guest instructions and context switches of commands that ask the agent about a fact, with ratios
    Facts {
        /// Kernel series: 6.1, 6.12, another that Debian has such as 7.1, or `newest`
        #[arg(long, default_value = "6.12")]
        kernel: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// What 100, 1,000 and 10,000 hosts cost a control plane, and how soon they enforce what changes; no guest
    #[command(after_help = bench_fleet::HELP)]
    Fleet(bench_fleet::Options),
    /// Time to parse, compile and explain policies of 10, 1,000 and 10,000 rules, and the size of their images; no guest
    Policy {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
enum Fuzz {
    /// The parser of policies and what is behind it; ends at the first document that fails, which is kept
    Policy {
        /// Try the same as the run that printed this seed, over the same time or number of documents
        #[arg(long)]
        seed: Option<u32>,
        /// So long (`90s`, `10m`, `2h`), beginning with what earlier such runs kept; a fixed number of documents if it says
        /// nothing
        #[arg(long = "for", value_name = "TIME", value_parser = fuzz::duration)]
        time: Option<std::time::Duration>,
        /// Only try these documents
        #[arg(value_name = "FILE", conflicts_with_all = ["seed", "time"])]
        documents: Vec<PathBuf>,
    },
}

/// Everything about one VM run
#[derive(clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one switch of the command"
)]
struct VmArgs {
    /// Kernel series, repeatable; 6.1 and 6.12 if none is named
    #[arg(long)]
    kernel: Vec<String>,
    /// Run only this scenario, repeatable
    #[arg(long)]
    scenario: Vec<String>,
    /// Deal out among the kernels what one of them is enough for, as `test` does
    #[arg(long, conflicts_with_all = ["scenario", "init"])]
    shared: bool,
    /// Print the scenarios' names and end
    #[arg(long)]
    list: bool,
    /// Stay in the guest with a shell afterwards (one kernel; Ctrl-A X ends it)
    #[arg(long)]
    keep: bool,
    /// Number of the guest's processors
    #[arg(long, default_value_t = 2)]
    smp: u32,
    /// Seed of scenarios that draw lots, as an earlier run printed it
    #[arg(long)]
    seed: Option<u64>,
    /// Boot this program or script as /init, for work on the guest itself
    #[arg(long, value_name = "FILE")]
    init: Option<PathBuf>,
    /// Use what is built already
    #[arg(long)]
    no_build: bool,
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
        Verb::Setup { refresh, kernel } => {
            let options = setup::Options {
                refresh,
                ..Default::default()
            };
            setup::run(&kernels::Series::tested_or_named(&kernel)?, options)?;
        }
        Verb::Build { trace: true, .. } => {
            setup::build_tools()?;
            compile::object(compile::Flavour::Traced)?;
            println!("build  {}", compile::Flavour::Traced.path().display());
        }
        Verb::Build { object, .. } => {
            setup::build_tools()?;
            compile::object(compile::Flavour::Plain)?;
            if !object {
                compile::user_space(compile::Features::Shipped)?;
            }
        }
        Verb::Check => {
            let counts = check::all().counts;
            println!("{counts}");
            if !counts.is_green() {
                bail!("not every check passed");
            }
        }
        Verb::Test {
            full,
            no_vm,
            no_check,
        } => suite::run(suite::Options {
            full,
            no_vm,
            no_check,
        })?,
        Verb::Bench {
            what:
                Bench::Hooks {
                    kernel,
                    json,
                    check,
                },
        } => {
            let ready = built(&[kernels::Series::named(&kernel)?])?;
            bench::hooks(&ready, json, check)?;
        }
        Verb::Bench {
            what: Bench::Facts { kernel, json },
        } => {
            let ready = built(&[kernels::Series::named(&kernel)?])?;
            bench::facts(&ready, json)?;
        }
        Verb::Bench {
            what: Bench::Policy { json },
        } => bench_policy::policy(json)?,
        Verb::Bench {
            what: Bench::Fleet(options),
        } => bench_fleet::fleet(&options)?,
        Verb::Fuzz {
            what:
                Fuzz::Policy {
                    seed,
                    time,
                    documents,
                },
        } => fuzz::policy(&fuzz::Options {
            seed,
            time,
            documents,
        })?,
        Verb::Simulate { seed, count, first } => {
            simulate::simulate(simulate::Options { seed, count, first })?;
        }
        Verb::Vm(args) => vm_verb(args)?,
        Verb::Demo { kernel, keep } => {
            let ready = built(&[kernels::Series::named(&kernel)?])?;
            demo::play(&ready, keep)?;
        }
    }
    Ok(())
}

/// Guests ready and everything in them built.
fn built(series: &[kernels::Series]) -> Result<setup::Ready> {
    let ready = setup::ready(series)?;
    compile::all(compile::Features::Shipped)?;
    Ok(ready)
}

fn vm_verb(args: VmArgs) -> Result<()> {
    let series = kernels::Series::tested_or_named(&args.kernel)?;
    if args.keep && series.len() != 1 {
        bail!("`--keep` needs exactly one `--kernel`: there is one terminal");
    }
    let ready = setup::ready(&series)?;
    if !args.no_build && args.init.is_none() {
        compile::all(compile::Features::Shipped)?;
    }
    if args.list {
        for scenario in vm::suite::list()? {
            println!("{}", scenario.name);
        }
        return Ok(());
    }
    let options = vm::suite::Options {
        scenarios: args.scenario,
        keep: args.keep,
        smp: args.smp,
        init: args.init,
        seed: args.seed,
        shared: args.shared,
    };
    let counts = vm::suite::run_on(&ready, &options)?.counts;
    println!("{counts}");
    if !counts.is_green() {
        bail!("not every scenario held");
    }
    Ok(())
}
