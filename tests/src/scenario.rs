//! What a scenario is, and how one is run: in a process of its own, its panic caught, its result in a file.
//!
//! Names are properties (`expired_grant_is_denied_without_the_agent`); a name is unique in the registry.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::{actors::sys, console, scenarios};

/// Where a scenario's process leaves its result.
pub const RESULT: &str = "/run/stayhand-guest/result";
/// Logs of the services that a scenario starts.
pub const LOGS: &str = "/run/stayhand-guest/log";
/// For scenarios that start services and wait for no time-out.
pub const LIMIT: Duration = Duration::from_mins(5);
/// For scenarios that wait for deadlines, too, or repeat themselves often.
pub const LIMIT_LONG: Duration = Duration::from_mins(8);

/// One property and how to show it.
pub struct Scenario {
    /// The property, in words joined by underscores
    pub name: &'static str,
    /// What has to be there; skipped, and counted as skipped, without
    pub needs: &'static [Need],
    /// Killed and failed after that long
    pub limit: Duration,
    /// The machine that it is about
    pub boot: Boot,
    /// One of several tested kernels is enough
    pub any_kernel: bool,
    /// It begins where nothing is attached: it is about what was there before the agent, or about loading
    pub bare: bool,
    /// Neighbours of the same group share one process and the machine that the first of them sets up
    pub group: Option<&'static str>,
    /// Shows it
    pub run: fn(&mut Ctx) -> Result<()>,
}

impl Scenario {
    /// One without needs and with the usual limit.
    pub const fn new(name: &'static str, run: fn(&mut Ctx) -> Result<()>) -> Self {
        Self {
            name,
            needs: &[],
            limit: LIMIT,
            boot: Boot::Usual,
            any_kernel: false,
            bare: false,
            group: None,
            run,
        }
    }

    /// With needs.
    pub const fn needs(mut self, needs: &'static [Need]) -> Self {
        self.needs = needs;
        self
    }

    /// Together with its neighbours, for properties that do not disturb each other and are quick to show.
    pub const fn group(mut self, group: &'static str) -> Self {
        self.group = Some(group);
        self
    }

    /// Where nothing is attached. Others may find the programs of the scenario before, over empty maps.
    pub const fn bare(mut self) -> Self {
        self.bare = true;
        self
    }

    /// On one of the tested kernels, for what user space alone does and for what takes long; which one changes with the commit, so
    /// that the other has its turn. On every kernel in the full tier.
    pub const fn on_any_kernel(mut self) -> Self {
        self.any_kernel = true;
        self
    }

    /// In a machine that was started otherwise.
    pub const fn boot(mut self, boot: Boot) -> Self {
        self.boot = boot;
        self
    }

    /// With another limit.
    pub const fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The first need that is not met.
    pub fn unmet(&self) -> Option<String> {
        self.needs.iter().find_map(Need::unmet)
    }
}

/// How a machine was started; the host boots one for each kind that a chosen scenario asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boot {
    /// BPF LSM among the security modules, as operators are told to boot
    Usual,
    /// Security modules without BPF LSM
    WithoutBpfLsm,
    /// With compiler, git, PostgreSQL, nginx and dpkg (xtask/src/rootfs/programs.rs)
    WithPrograms,
}

impl Boot {
    /// The word for it on the kernel's command line and in `--list`; none for the usual one.
    pub const fn word(self) -> Option<&'static str> {
        match self {
            Self::Usual => None,
            Self::WithoutBpfLsm => Some("without-bpf-lsm"),
            Self::WithPrograms => Some("with-programs"),
        }
    }

    /// The one of this word.
    pub fn named(word: &str) -> Option<Self> {
        [Self::WithoutBpfLsm, Self::WithPrograms]
            .into_iter()
            .find(|boot| boot.word() == Some(word))
    }
}

/// Something that not every guest has.
#[derive(Debug, Clone, Copy)]
pub enum Need {
    /// A program or file at this path
    File(&'static str),
    /// A kernel module that the guest brings along
    Module(&'static str),
}

/// The file of a module for the running kernel.
pub fn module(name: &str) -> Option<PathBuf> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    let directory = Path::new("/usr/lib/modules").join(release.trim());
    ["ko", "ko.xz"]
        .iter()
        .map(|ending| directory.join(format!("{name}.{ending}")))
        .find(|file| file.exists())
}

/// Loads a module that the guest brings along.
pub fn load_module(name: &str) -> Result<()> {
    let file = module(name).context("no such module")?;
    let compressed = file.extension().is_some_and(|ending| ending == "xz");
    let opened = fs::File::open(&file)?;
    let result = sys::load_module(std::os::fd::AsFd::as_fd(&opened), compressed);
    ensure!(
        result == 0 || result == -sys::Ret::from(libc::EEXIST),
        "{} cannot be loaded: {result}",
        file.display()
    );
    Ok(())
}

impl Need {
    /// Why it is not met.
    pub fn unmet(&self) -> Option<String> {
        match *self {
            Self::File(path) => {
                (!Path::new(path).exists()).then(|| format!("no {path} in this guest"))
            }
            Self::Module(name) => module(name)
                .is_none()
                .then(|| format!("no module `{name}` for this kernel in the guest")),
        }
    }
}

/// Found out only while running that it cannot be shown here: return it as the error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Skip(pub String);

/// What a scenario is given.
pub struct Ctx;

#[expect(clippy::unused_self, reason = "only a running scenario reports")]
impl Ctx {
    /// Says what is done next; a failure names the last one.
    pub fn step(&mut self, text: impl AsRef<str>) {
        console::step(text.as_ref());
    }

    /// Detail for the log.
    pub fn log(&self, text: impl AsRef<str>) {
        console::log(text.as_ref());
    }
}

/// Runs scenarios in this process, one after the other up to the first that fails; says how each ended and leaves
/// a line for each in [`RESULT`], so that the runner knows which one a crash or a time-out belongs to.
pub fn run_all(names: &[String]) -> Result<ExitCode> {
    let mut results = fs::File::create(RESULT).with_context(|| format!("cannot write {RESULT}"))?;
    for name in names {
        let Some(scenario) = scenarios::all().find(|scenario| scenario.name == *name) else {
            bail!("no scenario `{name}`; `--list` names them");
        };
        console::begin(name);
        let (word, text) = outcome(scenario);
        match word {
            "pass" => console::pass(name),
            "skip" => console::skip(name, &text),
            _ => console::fail(name, &text),
        }
        writeln!(results, "{word} {name}")?;
        if word == "fail" {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn outcome(scenario: &Scenario) -> (&'static str, String) {
    if let Some(reason) = scenario.unmet() {
        return ("skip", reason);
    }
    let result = std::panic::catch_unwind(|| (scenario.run)(&mut Ctx));
    match result {
        Ok(Ok(())) => ("pass", String::new()),
        Ok(Err(error)) => match error.downcast_ref::<Skip>() {
            Some(skip) => ("skip", skip.to_string()),
            None => ("fail", format!("{error:#}")),
        },
        Err(panic) => {
            let words = panic.downcast_ref::<String>().map(String::as_str);
            let words = words.or(panic.downcast_ref::<&str>().copied());
            ("fail", format!("panicked: {}", words.unwrap_or("?")))
        }
    }
}
