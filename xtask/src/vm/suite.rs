//! Runs scenarios in guests: which ones, on which kernels, side by side, and what came of it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::machine::{Ending, Limits, Machine};
use super::report::{Counts, Report};
use crate::kernels::Kernel;
use crate::rootfs::project::Initrd;
use crate::setup::Ready;
use crate::{paths, run};

/// No scenario is quiet for longer, on a busy machine under emulation; long ones say `@step` or `@log`.
const SILENCE: Duration = Duration::from_mins(4);
/// One kernel's share of the CI tier's forty minutes.
const OVERALL: Duration = Duration::from_mins(25);
/// Guests at a time: build machines have two processors.
const SIDE_BY_SIDE: usize = 2;
/// Console lines quoted after a run that did not end well.
const CONSOLE_LINES: usize = 30;

/// What a person asked for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Scenario names; empty means all.
    pub scenarios: Vec<String>,
    /// Stay in the guest with a shell afterwards.
    pub keep: bool,
    /// Number of processors.
    pub smp: u32,
    /// Boot this instead of the guest program.
    pub init: Option<PathBuf>,
}

/// The names that the guest program knows, asked on the host.
pub fn list() -> Result<Vec<String>> {
    let guest = paths::target().join("debug/stayhand-guest");
    let text = run::output(Command::new(&guest).arg("--list"))
        .context("cannot ask the guest program for its scenarios")?;
    Ok(text
        .lines()
        .filter_map(|l| l.split_whitespace().next())
        .map(str::to_owned)
        .collect())
}

/// Runs the scenarios on all kernels that are ready, two side by side.
pub fn run_on(ready: &Ready, options: &Options) -> Result<Counts> {
    let wanted = wanted(options)?;
    let initrd = Initrd::write(&ready.base, &ready.kernels, options.init.as_deref())?;
    let mut sum = Counts::default();
    for kernels in ready.kernels.chunks(SIDE_BY_SIDE) {
        let results: Vec<Result<Counts>> = std::thread::scope(|scope| {
            let (initrd, wanted) = (initrd.path(), &wanted);
            let run = |kernel| scope.spawn(move || one(kernel, initrd, wanted, options));
            let runs: Vec<_> = kernels.iter().map(run).collect();
            runs.into_iter()
                .map(|r| {
                    r.join()
                        .unwrap_or_else(|_| bail!("the watch over a guest died"))
                })
                .collect()
        });
        for counts in results {
            sum = sum.plus(counts?);
        }
    }
    Ok(sum)
}

fn wanted(options: &Options) -> Result<Vec<String>> {
    if options.init.is_some() {
        return Ok(options.scenarios.clone());
    }
    let known = list()?;
    if let Some(unknown) = options.scenarios.iter().find(|s| !known.contains(s)) {
        bail!("no scenario `{unknown}`; `cargo xtask vm --list` names them");
    }
    Ok(if options.scenarios.is_empty() {
        known
    } else {
        options.scenarios.clone()
    })
}

fn one(kernel: &Kernel, initrd: &Path, wanted: &[String], options: &Options) -> Result<Counts> {
    let label = format!("vm {:<5}", kernel.series);
    let started = Instant::now();
    let mut append = "stayhand.mode=suite".to_owned();
    if !options.scenarios.is_empty() {
        append.push_str(" stayhand.scenarios=");
        append.push_str(&wanted.join(","));
    }
    if options.keep {
        append.push_str(" stayhand.keep=1");
    }
    let machine = Machine {
        kernel,
        initrd,
        dir: paths::vm_dir(&kernel.series),
        append,
        smp: options.smp,
        counting: false,
        interactive: options.keep,
        limits: Limits {
            silence: SILENCE,
            overall: OVERALL,
        },
    };
    println!(
        "{label}  booting {}, {} scenarios",
        kernel.release,
        wanted.len()
    );
    let mut report = Report::new(&label, wanted);
    let ending = machine.run(&mut |line| report.take(line))?;
    report.close(&ending.to_string());
    let mut counts = report.counts();
    if ending != Ending::Done {
        println!(
            "{label}  FAIL  {ending}; the console ended with:\n{}",
            machine.console_end(CONSOLE_LINES)
        );
        // A guest that crashed after its last report is no success.
        counts.failed = counts.failed.max(1);
    }
    println!(
        "{label}  {counts} in {} s; logs in {}",
        started.elapsed().as_secs(),
        machine.dir.display()
    );
    Ok(counts)
}
