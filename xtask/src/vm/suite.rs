//! Runs scenarios in guests: which ones, on which kernels, side by side, and what came of it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::machine::{Ending, LSM, LSM_WITHOUT_BPF, Limits, Machine, Pace};
use super::report::{Report, Tally};
use crate::kernels::Kernel;
use crate::rootfs::project::Initrd;
use crate::setup::Ready;
use crate::{paths, run, setup};

/// No scenario is quiet for longer, on a busy machine under emulation; long ones say `@step` or `@log`.
const SILENCE: Duration = Duration::from_mins(5);
/// What the whole CI tier may take, without what comes before it; the aim for everything is forty minutes.
const OVERALL: Duration = Duration::from_mins(55);
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
    /// Of scenarios that draw lots; each draws a new one if none is named.
    pub seed: Option<u64>,
    /// Scenarios that one kernel is enough for are dealt out among the kernels, another way with another commit.
    pub shared: bool,
}

/// One scenario as the guest program lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    boot: Boot,
    any_kernel: bool,
}

impl Listed {
    fn parse(line: &str) -> Result<Self> {
        let (name, words) = line.split_once(' ').unwrap_or((line, ""));
        let mut listed = Self {
            name: name.to_owned(),
            boot: Boot::Usual,
            any_kernel: false,
        };
        for word in words.split(' ').filter(|word| !word.is_empty()) {
            match word {
                "any-kernel" => listed.any_kernel = true,
                _ => listed.boot = Boot::named(word)?,
            }
        }
        Ok(listed)
    }
}

/// Part of the scenarios that one kernel is enough for, of how many. The guest deals them out in the same way
/// (`scenarios::shared`), and a scenario that is not reported fails.
#[derive(Debug, Clone, Copy)]
struct Share {
    part: usize,
    of: usize,
}

impl Share {
    /// After the number of scenarios.
    fn shown(self) -> String {
        if self.of == 1 {
            return String::new();
        }
        format!(
            ", with part {} of {} of what one kernel is enough for",
            self.part + 1,
            self.of
        )
    }

    fn filter(self, listed: &[Listed]) -> Vec<Listed> {
        let mut index = 0;
        let mut falls_here = |one: &&Listed| {
            if !one.any_kernel {
                return true;
            }
            // What takes a machine of its own and minutes to unpack is not done twice.
            if one.boot == Boot::WithPrograms {
                return self.part + 1 == self.of;
            }
            index += 1;
            (index - 1) % self.of == self.part
        };
        listed
            .iter()
            .filter(|one| falls_here(one))
            .cloned()
            .collect()
    }
}

/// How a machine is started; scenarios of another kind get a machine of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Boot {
    Usual,
    WithoutBpfLsm,
    WithPrograms,
}

impl Boot {
    const ALL: [Self; 3] = [Self::Usual, Self::WithoutBpfLsm, Self::WithPrograms];

    /// As the guest program spells it.
    fn word(self) -> &'static str {
        match self {
            Self::Usual => "",
            Self::WithoutBpfLsm => "without-bpf-lsm",
            Self::WithPrograms => "with-programs",
        }
    }

    fn named(word: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|boot| boot.word() == word);
        found.with_context(|| format!("the guest program asks for an unknown boot `{word}`"))
    }

    /// After a kernel's name.
    fn shown(self) -> &'static str {
        match self {
            Self::Usual => "",
            Self::WithoutBpfLsm => " without BPF LSM",
            Self::WithPrograms => " with programs",
        }
    }

    /// Honest work is done on a machine as hosts are.
    fn pace(self) -> Pace {
        match self {
            Self::Usual | Self::WithoutBpfLsm => Pace::Quick,
            Self::WithPrograms => Pace::AsHostsAre,
        }
    }

    fn lsm(self) -> &'static str {
        match self {
            Self::Usual | Self::WithPrograms => LSM,
            Self::WithoutBpfLsm => LSM_WITHOUT_BPF,
        }
    }
}

/// The scenarios that the guest program knows, asked on the host.
pub fn list() -> Result<Vec<Listed>> {
    let guest = paths::target().join("debug/stayhand-guest");
    let text = run::output(Command::new(&guest).arg("--list"))
        .context("cannot ask the guest program for its scenarios")?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(Listed::parse).collect()
}

/// Runs the scenarios on all kernels that are ready, two side by side.
pub fn run_on(ready: &Ready, options: &Options) -> Result<Tally> {
    let wanted = wanted(options)?;
    let initrds = Initrds::write(ready, options, &wanted)?;
    let mut sum = Tally::default();
    let of = if options.shared {
        ready.kernels.len().max(1)
    } else {
        1
    };
    let turn = turn();
    let shares: Vec<(Share, &Kernel)> = ready
        .kernels
        .iter()
        .enumerate()
        .map(|(index, kernel)| {
            (
                Share {
                    part: (index + turn) % of,
                    of,
                },
                kernel,
            )
        })
        .collect();
    for kernels in shares.chunks(SIDE_BY_SIDE) {
        let results: Vec<Result<Tally>> = std::thread::scope(|scope| {
            let (initrds, wanted) = (&initrds, &wanted);
            let run = |(share, kernel): (Share, _)| {
                scope.spawn(move || one(kernel, initrds, &share.filter(wanted), share, options))
            };
            let runs: Vec<_> = kernels.iter().copied().map(run).collect();
            runs.into_iter()
                .map(|r| {
                    r.join()
                        .unwrap_or_else(|_| bail!("the watch over a guest died"))
                })
                .collect()
        });
        for tally in results {
            sum = sum.plus(tally?);
        }
    }
    Ok(sum)
}

/// Whose turn it is to have the first part: a number of the commit, so that from landing to landing every kernel sees what is dealt
/// out, and a run of the same commit deals alike. Outside a repository it is always the first kernel's.
fn turn() -> usize {
    let mut git = Command::new("git");
    git.args(["rev-parse", "HEAD"]).current_dir(paths::root());
    run::output(&mut git).map_or(0, |commit| turn_of(&commit))
}

fn turn_of(commit: &str) -> usize {
    let last = commit.trim().chars().next_back();
    last.and_then(|digit| digit.to_digit(16))
        .map_or(0, |number| number as usize)
}

/// Initial RAM disks of one run, for all kernels.
struct Initrds {
    usual: Initrd,
    /// Only made where a scenario asks for it.
    with_programs: Option<Initrd>,
}

impl Initrds {
    fn write(ready: &Ready, options: &Options, wanted: &[Listed]) -> Result<Self> {
        let init = options.init.as_deref();
        let write =
            |programs: Option<&Path>| Initrd::write(&ready.base, programs, &ready.kernels, init);
        let is_asked_for = wanted.iter().any(|one| one.boot == Boot::WithPrograms);
        let with_programs = if is_asked_for {
            Some(write(Some(&setup::programs(&ready.base)?))?)
        } else {
            None
        };
        Ok(Self {
            usual: write(None)?,
            with_programs,
        })
    }

    fn of(&self, boot: Boot) -> &Path {
        match (&self.with_programs, boot) {
            (Some(initrd), Boot::WithPrograms) => initrd.path(),
            _ => self.usual.path(),
        }
    }
}

fn wanted(options: &Options) -> Result<Vec<Listed>> {
    let usual = |name: &String| Listed {
        name: name.clone(),
        boot: Boot::Usual,
        any_kernel: false,
    };
    if options.init.is_some() {
        return Ok(options.scenarios.iter().map(usual).collect());
    }
    let mut known = list()?;
    let names = &options.scenarios;
    if let Some(unknown) = names
        .iter()
        .find(|name| !known.iter().any(|one| one.name == **name))
    {
        bail!("no scenario `{unknown}`; `cargo xtask vm --list` names them");
    }
    known.retain(|one| names.is_empty() || names.contains(&one.name));
    Ok(known)
}

/// One kernel: a machine for each kind of boot that is asked for, one after the other.
fn one(
    kernel: &Kernel,
    initrds: &Initrds,
    wanted: &[Listed],
    share: Share,
    options: &Options,
) -> Result<Tally> {
    let mut sum = Tally::default();
    for boot in Boot::ALL {
        let of_boot = wanted.iter().filter(|one| one.boot == boot);
        let names: Vec<String> = of_boot.map(|one| one.name.clone()).collect();
        let by_hand = boot == Boot::Usual && (options.init.is_some() || options.keep);
        if !names.is_empty() || by_hand {
            sum = sum.plus(booted(
                kernel,
                initrds.of(boot),
                boot,
                &names,
                share,
                options,
            )?);
        }
    }
    Ok(sum)
}

fn booted(
    kernel: &Kernel,
    initrd: &Path,
    boot: Boot,
    wanted: &[String],
    share: Share,
    options: &Options,
) -> Result<Tally> {
    let label = format!("vm {:<5}", kernel.series);
    let started = Instant::now();
    let mut append = "stayhand.mode=suite".to_owned();
    if !options.scenarios.is_empty() {
        append.push_str(" stayhand.scenarios=");
        append.push_str(&wanted.join(","));
    }
    let mut dir = kernel.series.clone();
    if boot != Boot::Usual {
        let word = boot.word();
        append.extend([" stayhand.boot=", word]);
        dir.extend(["-", word]);
    }
    if share.of > 1 {
        let (part, of) = (share.part.to_string(), share.of.to_string());
        append.extend([" stayhand.share=", &part, "/", &of]);
    }
    if let Some(seed) = options.seed {
        append.extend([" stayhand.seed=", &seed.to_string()]);
    }
    if options.keep {
        append.push_str(" stayhand.keep=1");
    }
    let machine = Machine {
        kernel,
        initrd,
        lsm: boot.lsm(),
        dir: paths::vm_dir(&dir),
        append,
        smp: options.smp,
        pace: boot.pace(),
        interactive: options.keep,
        limits: Limits {
            silence: SILENCE,
            overall: OVERALL,
        },
    };
    println!(
        "{label}  booting {}{}, {} scenarios{}",
        kernel.release,
        boot.shown(),
        wanted.len(),
        share.shown()
    );
    let mut report = Report::new(&label, &kernel.series, wanted);
    let ending = machine.run(&mut |line| report.take(line))?;
    report.close(&ending.to_string());
    let mut tally = Tally {
        counts: report.counts(),
        failures: report.failures(),
    };
    if ending != Ending::Done {
        println!(
            "{label}  FAIL  {ending}; the console ended with:\n{}",
            machine.console_end(CONSOLE_LINES)
        );
        // A guest that crashed after its last report is no success.
        tally.counts.failed = tally.counts.failed.max(1);
        tally.failures.push(format!("{label}  {ending}"));
    }
    println!(
        "{label}  {} in {} s; logs in {}",
        tally.counts,
        started.elapsed().as_secs(),
        machine.dir.display()
    );
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_falls_to_a_kernel_and_what_is_about_the_kernel_to_all() {
        let listed: Vec<Listed> = [
            "a",
            "b any-kernel",
            "c without-bpf-lsm",
            "d any-kernel",
            "e any-kernel",
            "f with-programs any-kernel",
            "g any-kernel",
        ]
        .into_iter()
        .map(|line| Listed::parse(line).unwrap())
        .collect();
        let names = |part| -> Vec<String> {
            let share = Share { part, of: 2 };
            share
                .filter(&listed)
                .into_iter()
                .map(|one| one.name)
                .collect()
        };
        assert_eq!(names(0), ["a", "b", "c", "e"]);
        assert_eq!(names(1), ["a", "c", "d", "f", "g"]);
        let all = Share { part: 0, of: 1 };
        assert_eq!(all.filter(&listed), listed);
    }

    #[test]
    fn whose_turn_it_is_changes_with_the_commit() {
        assert_eq!(turn_of("c546511f\n"), 15);
        assert_eq!(turn_of("c5465110\n"), 0);
        assert_eq!(turn_of("not a commit"), 0);
    }

    #[test]
    fn a_kind_of_boot_that_is_not_known_here_is_an_error() {
        assert!(Listed::parse("some_scenario with-nothing").is_err());
        let both = Listed::parse("both with-programs any-kernel").unwrap();
        assert!(both.any_kernel && both.boot == Boot::WithPrograms);
        let listed = Listed::parse("other_scenario without-bpf-lsm").unwrap();
        assert_eq!(listed.boot, Boot::WithoutBpfLsm);
        assert_eq!(Listed::parse("usual_scenario").unwrap().boot, Boot::Usual);
    }
}
