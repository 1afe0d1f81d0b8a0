//! Loads the kernel object, takes over from an earlier agent without a gap, and leaves everything pinned.
//!
//! Order is everything here: settings before the first hook is attached, every new link pinned before the first
//! old one is removed. A failure on the way takes back what this load added and nothing else.

use std::path::{Path, PathBuf};

use aya::{
    BtfError as AyaBtfError, Ebpf, EbpfError, EbpfLoader, VerifierLogLevel,
    pin::PinError,
    programs::{Lsm, ProgramError, links::FdLink},
};
use stayhand_agent_ebpf::abi::offsets::{PROGRAM_GENERATION_GLOBAL, PROGRAMS};

use super::{
    btf::{Btf, BtfError},
    counters::CounterMap,
    holds::Holds,
    identity::{IdentityError, Labeller},
    image::{InstallError, Installer},
    layout::{self, LayoutError},
    object::{KernelObject, ObjectError},
    offsets::{self, OffsetsError},
    pins::{Pins, PinsError},
    probe::{Places, Problem, probe},
    rings::{Records, RingsError},
    scan::{ScanError, ScanReport, scan},
    settings::{self, HoldLimits, SettingsError},
    table::{Slots, TableError},
    task_storage::{Tasks, TasksError},
};
use crate::exit::{Code, chain};

/// Characters of a verifier's log that an error shows: its end says what was refused.
const VERIFIER_TAIL: usize = 2_000;

/// What to load and where to pin it.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// The kernel object
    pub object: PathBuf,
    /// Where everything is pinned
    pub pins: Pins,
    /// What is looked at before loading
    pub places: Places,
    /// Bounds of holds
    pub limits: HoldLimits,
}

impl LoadOptions {
    /// This object, at the usual places.
    pub fn new(object: impl Into<PathBuf>) -> Self {
        let (pins, places, limits) = (Pins::default(), Places::default(), HoldLimits::default());
        Self {
            object: object.into(),
            pins,
            places,
            limits,
        }
    }
}

/// Why nothing was loaded. What an earlier agent pinned goes on being enforced.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Something stands in the way; every problem is named.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Problems(Vec<Problem>),
    /// The object cannot be used.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// The kernel's type information cannot be used.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// The kernel lacks members that hooks read.
    #[error(transparent)]
    Offsets(#[from] OffsetsError),
    /// A pinned map has another layout.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// Pins cannot be used.
    #[error(transparent)]
    Pins(#[from] PinsError),
    /// Settings cannot be written.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A map cannot be used.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Task storage cannot be used.
    #[error(transparent)]
    Tasks(#[from] TasksError),
    /// Labelling cannot start.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The loader refused the object, or the kernel refused a map.
    #[error("the kernel object cannot be loaded: {}", chain(.0))]
    Maps(#[source] Box<EbpfError>),
    /// The kernel has no such hook.
    #[error("this kernel has no hook `{hook}`; use a supported kernel (6.1 or later with BPF LSM)")]
    NoHook {
        /// The hook
        hook: &'static str,
    },
    /// A program does not load or attach.
    #[error("the program for hook `{hook}` does not {step}: {why}")]
    Hook {
        /// The hook
        hook: &'static str,
        /// What failed
        step: &'static str,
        /// The kernel's words
        why: String,
    },
}

impl LoadError {
    /// The exit code that it ends the agent with.
    pub fn code(&self) -> Code {
        match self {
            Self::Problems(problems) => worst(problems),
            Self::Layout(LayoutError::Other { .. }) | Self::Tasks(TasksError::OtherLayout) => {
                Code::OtherLayout
            }
            Self::Btf(_)
            | Self::Offsets(_)
            | Self::NoHook { .. }
            | Self::Hook { .. }
            | Self::Maps(_) => Code::NotEnforced,
            _ => Code::Failure,
        }
    }
}

/// A missing privilege explains the other problems; a kernel that cannot enforce comes next.
fn worst(problems: &[Problem]) -> Code {
    let codes: Vec<_> = problems.iter().map(Problem::code).collect();
    [Code::Privilege, Code::NotEnforced]
        .into_iter()
        .find(|code| codes.contains(code))
        .unwrap_or(Code::Failure)
}

/// One attached program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedProgram {
    /// Its name in the object
    pub program: &'static str,
    /// The hook
    pub hook: &'static str,
    /// Instructions that the verifier walked, where the kernel tells
    pub verified_instructions: Option<u32>,
}

/// Loaded hooks. Dropping it changes nothing in the kernel: links and maps stay pinned.
#[derive(Debug)]
pub struct Kernel {
    pins: Pins,
    generation: u32,
    taken_over: usize,
    programs: Vec<LoadedProgram>,
    secret: [u64; 2],
}

impl Kernel {
    /// Loads, attaches and pins everything. Call it on the main thread before any other is started, and only
    /// while holding the lock of the one agent of this host.
    pub fn load(options: &LoadOptions) -> Result<Self, LoadError> {
        let problems = probe(&options.places);
        if !problems.is_empty() {
            return Err(LoadError::Problems(problems));
        }
        let object = KernelObject::read(&options.object)?;
        let offsets = offsets::resolve(&Btf::of_running_kernel()?)?;
        let pins = options.pins.clone();
        pins.prepare()?;
        let new_maps = layout::check(&object.maps, &pins)?;
        let old = pins.links()?;
        let generation = pins.generation()?.saturating_add(1);
        let loading = Loading {
            pins: &pins,
            object: &object,
            offsets: &offsets,
            generation,
        };
        let loaded = loading.run(options.limits);
        let (programs, secret) = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                loading.take_back(if old.is_empty() { &new_maps } else { &[] });
                return Err(error);
            }
        };
        for link in &old {
            Pins::remove(&link.path)?;
        }
        Ok(Self {
            pins,
            generation,
            taken_over: old.len(),
            programs,
            secret,
        })
    }

    /// Where everything is pinned.
    pub fn pins(&self) -> &Pins {
        &self.pins
    }

    /// Generation of the programs, 1 for the first load on this boot.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Links of earlier programs that were replaced.
    pub fn taken_over(&self) -> usize {
        self.taken_over
    }

    /// Every attached program.
    pub fn programs(&self) -> &[LoadedProgram] {
        &self.programs
    }

    /// Task storage.
    pub fn tasks(&self) -> Result<Tasks, TasksError> {
        Tasks::open(&self.pins)
    }

    /// Pins the people's processes that were there before.
    pub fn scan(&self) -> Result<ScanReport, KernelScanError> {
        Ok(scan(&self.tasks()?)?)
    }

    /// Holds and answers.
    pub fn holds(&self) -> Result<Holds, TableError> {
        Holds::open(&self.pins)
    }

    /// Counters.
    pub fn counters(&self) -> Result<CounterMap, TableError> {
        CounterMap::open(&self.pins)
    }

    /// Records. Needs a tokio runtime; one reader per host.
    pub fn records(&self) -> Result<Records, RingsError> {
        Records::start(&self.pins)
    }

    /// The installer of images, with its labelling thread. On the main thread, see [`Labeller::start`].
    pub fn installer(&self) -> Result<Installer, InstallError> {
        let labeller = Labeller::start(&self.pins)?;
        Installer::open(&self.pins, Box::new(labeller), self.secret)
    }

    /// Ends enforcement: removes every pinned link, then every pinned map, and says how many links there were.
    /// For `--uninstall` only. Processes that are stopped stay stopped: continue them first.
    pub fn detach_all(pins: &Pins) -> Result<usize, PinsError> {
        let links = pins.links()?;
        for link in &links {
            Pins::remove(&link.path)?;
        }
        for map in pins.map_names()? {
            Pins::remove(&pins.map(&map))?;
        }
        for directory in [pins.links_dir(), pins.maps(), pins.root().to_owned()] {
            // Foreign pins keep their directory.
            drop(std::fs::remove_dir(directory));
        }
        Ok(links.len())
    }
}

/// Why processes could not be scanned.
#[derive(Debug, thiserror::Error)]
pub enum KernelScanError {
    /// Task storage cannot be used.
    #[error(transparent)]
    Tasks(#[from] TasksError),
    /// /proc cannot be listed.
    #[error(transparent)]
    Scan(#[from] ScanError),
}

struct Loading<'a> {
    pins: &'a Pins,
    object: &'a KernelObject,
    offsets: &'a [(&'static str, u32)],
    generation: u32,
}

impl Loading<'_> {
    fn run(&self, limits: HoldLimits) -> Result<(Vec<LoadedProgram>, [u64; 2]), LoadError> {
        let mut ebpf = self.maps()?;
        let secret = settings::write(&mut Slots::open(self.pins, "SETTINGS")?, limits)?;
        let btf =
            aya::Btf::from_sys_fs().map_err(|error| LoadError::Maps(Box::new(error.into())))?;
        let mut programs = Vec::new();
        for (program, hook) in PROGRAMS {
            let lsm = program_of(&mut ebpf, program, hook)?;
            lsm.load(hook, &btf)
                .map_err(|error| not_loaded(hook, "load", &error))?;
            let verified_instructions = lsm
                .info()
                .ok()
                .and_then(|info| info.verified_instruction_count());
            programs.push(LoadedProgram {
                program,
                hook,
                verified_instructions,
            });
        }
        for (program, hook) in PROGRAMS {
            self.attach(program_of(&mut ebpf, program, hook)?, hook)?;
        }
        Tasks::open(self.pins)?.mark_agent()?;
        Ok((programs, secret))
    }

    /// Makes the maps that are not pinned yet, pins them, and prepares the programs.
    fn maps(&self) -> Result<Ebpf, LoadError> {
        let mut loader = EbpfLoader::new();
        loader
            .allow_unsupported_maps()
            .verifier_log_level(VerifierLogLevel::STATS);
        for (global, offset) in self.offsets {
            loader.override_global(global, offset, true);
        }
        loader.override_global(PROGRAM_GENERATION_GLOBAL, &self.generation, true);
        for map in &self.object.maps {
            loader.map_pin_path(&map.name, self.pins.map(&map.name));
        }
        loader
            .load(&self.object.bytes)
            .map_err(|error| LoadError::Maps(Box::new(error)))
    }

    /// Attaches, and pins the link before it can be lost.
    fn attach(&self, lsm: &mut Lsm, hook: &'static str) -> Result<(), LoadError> {
        let failed = |error: &ProgramError| not_loaded(hook, "attach", error);
        let id = lsm.attach().map_err(|error| failed(&error))?;
        let link: FdLink = lsm.take_link(id).map_err(|error| failed(&error))?.into();
        let path = self.pins.link(hook, self.generation);
        let pinned = link.pin(&path);
        pinned.map(drop).map_err(|error: PinError| LoadError::Hook {
            hook,
            step: "stay pinned",
            why: chain(&error),
        })
    }

    /// After a failure: the links of this generation, and the maps that nobody else uses.
    fn take_back(&self, maps: &[String]) {
        let links = PROGRAMS
            .iter()
            .map(|(_, hook)| self.pins.link(hook, self.generation));
        for path in links.chain(maps.iter().map(|map| self.pins.map(map))) {
            remove_if_there(&path);
        }
    }
}

fn remove_if_there(path: &Path) {
    match Pins::remove(path) {
        Err(error) if error.source.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(error = %chain(&error), "pin left behind");
        }
        _ => {}
    }
}

fn program_of<'e>(
    ebpf: &'e mut Ebpf,
    program: &str,
    hook: &'static str,
) -> Result<&'e mut Lsm, LoadError> {
    let missing = || LoadError::Hook {
        hook,
        step: "exist in the object",
        why: format!("no LSM program `{program}`"),
    };
    let found = ebpf.program_mut(program).ok_or_else(missing)?;
    found.try_into().map_err(|_: ProgramError| missing())
}

fn not_loaded(hook: &'static str, step: &'static str, error: &ProgramError) -> LoadError {
    match error {
        ProgramError::Btf(AyaBtfError::UnknownBtfTypeName { .. }) => LoadError::NoHook { hook },
        ProgramError::LoadError {
            io_error,
            verifier_log,
        } => LoadError::Hook {
            hook,
            step,
            why: format!("{io_error}{}", tail(&verifier_log.to_string())),
        },
        ProgramError::SyscallError(error) if error.io_error.raw_os_error() == Some(libc::E2BIG) => {
            LoadError::Hook {
                hook,
                step,
                why: "38 programs are attached to it already (other products share that bound)"
                    .to_owned(),
            }
        }
        other => LoadError::Hook {
            hook,
            step,
            why: chain(other),
        },
    }
}

fn tail(log: &str) -> String {
    let log = log.trim();
    if log.is_empty() {
        return " (the verifier says nothing: the kernel or its policy forbids LSM programs here)"
            .to_owned();
    }
    let skipped = log.chars().count().saturating_sub(VERIFIER_TAIL);
    let shown: String = log.chars().skip(skipped).collect();
    format!("; the verifier's last words:\n{shown}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_all_said_and_the_exit_code_is_the_deepest_causes() {
        let problems = vec![
            Problem::NoTypeInformation,
            Problem::Privilege(vec!["CAP_BPF"]),
        ];
        let error = LoadError::Problems(problems);
        assert_eq!(error.code(), Code::Privilege);
        assert!(
            error.to_string().contains("vmlinux") && error.to_string().contains("CAP_BPF"),
            "{error}"
        );
        assert_eq!(
            LoadError::Problems(vec![Problem::NoTypeInformation]).code(),
            Code::NotEnforced
        );
    }

    #[test]
    fn a_kernel_that_cannot_enforce_loads_nothing() {
        let place = tempfile::tempdir().unwrap();
        let mut options = LoadOptions::new("/nonexistent.o");
        options.pins = Pins::new(place.path().join("product/v1"));
        options.places.lsm_list = place.path().join("lsm");
        let error = Kernel::load(&options).unwrap_err();
        assert!(matches!(error, LoadError::Problems(_)), "{error}");
        assert!(!options.pins.root().exists(), "nothing was made");
    }

    #[test]
    fn uninstalling_removes_every_pin_and_only_pins() {
        let place = tempfile::tempdir().unwrap();
        let pins = Pins::new(place.path().join("product/v1"));
        pins.prepare().unwrap();
        for name in ["file_open-1", "file_open-2", "capable-2"] {
            std::fs::write(pins.links_dir().join(name), "").unwrap();
        }
        std::fs::write(pins.map("HOLDS"), "").unwrap();
        assert_eq!(Kernel::detach_all(&pins).unwrap(), 3);
        assert!(!pins.root().exists());
        assert_eq!(Kernel::detach_all(&pins).unwrap(), 0, "again is fine");
    }

    #[test]
    fn a_long_verifier_log_shows_its_end() {
        let shown = tail(&format!("{}the reason", "x".repeat(10_000)));
        assert!(shown.ends_with("the reason") && shown.len() < VERIFIER_TAIL + 100);
        assert!(tail(" \n").contains("forbids"));
    }
}
