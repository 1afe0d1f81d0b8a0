//! Loads the kernel object, takes over from an earlier agent without a gap, and leaves everything pinned.
//!
//! Order is everything here: settings before the first hook is attached, every new link pinned before the first
//! old one is removed. A failure on the way takes back what this load added and nothing else. Where what stands is what
//! would be loaded, nothing is.

mod error;
mod loading;
mod standing;
#[cfg(test)]
mod tests;
mod verify;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

pub use error::LoadError;

use super::{
    btf::{Btf, BtfError},
    counters::CounterMap,
    freshness::Proofs,
    holds::Holds,
    identity::{IdentityError, Labeller},
    image::{InstallError, Installer, Published},
    layout,
    object::KernelObject,
    offsets,
    pins::{Pins, PinsError},
    probe::{Places, probe},
    pulse::Pulse,
    questions::{FactAnswers, Questions},
    rings::{Records, RingsError},
    scan::{ScanError, ScanReport, scan},
    settings::{HoldLimits, Secret},
    symbols,
    table::TableError,
    task_storage::{Tasks, TasksError},
};
use crate::exit::chain;
use loading::Loading;
use stayhand_agent_ebpf::abi::offsets::{HOOKS_OF_NEWER_KERNELS, PROGRAMS};

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
    kept: bool,
    programs: Vec<LoadedProgram>,
    secret: Secret,
}

impl Kernel {
    /// Loads, attaches and pins everything. Call it on the main thread before any other is started, and only
    /// while holding the lock of the one agent of this host. Threads that it starts itself have ended when it returns.
    pub fn load(options: &LoadOptions) -> Result<Self, LoadError> {
        let problems = probe(&options.places);
        if !problems.is_empty() {
            return Err(LoadError::Problems(problems));
        }
        let object = KernelObject::read(&options.object)?;
        let btf = Btf::of_running_kernel()?;
        let offsets = offsets::resolve(&btf)?;
        let hooks = hooks_of(&btf)?;
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
            rename_lock: rename_lock(),
            hooks: &hooks,
        };
        if new_maps.is_empty()
            && let Some((generation, programs)) = loading.standing(&old)?
        {
            let secret = loading.keep(options.limits)?;
            return Ok(Self {
                pins,
                generation,
                taken_over: 0,
                kept: true,
                programs,
                secret,
            });
        }
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
            kept: false,
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

    /// Whether an earlier agent's programs are what would have been loaded, and were left attached.
    pub fn kept(&self) -> bool {
        self.kept
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

    /// The control plane's word to the kernel.
    pub fn proofs(&self) -> Result<Proofs, TableError> {
        Proofs::open(&self.pins)
    }

    /// The agent's word that it goes on.
    pub fn pulse(&self) -> Result<Pulse, TableError> {
        Pulse::open(&self.pins)
    }

    /// Records. Needs a tokio runtime; one reader per host.
    pub fn records(&self) -> Result<Records, RingsError> {
        Records::start(&self.pins)
    }

    /// The labelling thread. On the main thread, see [`Labeller::start`].
    pub fn labeller(&self) -> Result<Arc<Labeller>, IdentityError> {
        Labeller::start(&self.pins).map(Arc::new)
    }

    /// The installer of images, which publishes each before it is the active one.
    pub fn installer(
        &self,
        labeller: &Arc<Labeller>,
        published: &Arc<Published>,
    ) -> Result<Installer, InstallError> {
        let identify = Box::new(Arc::clone(labeller));
        Installer::open(&self.pins, identify, self.secret, Arc::clone(published))
    }

    /// The kernel's questions about facts, and the map of answers. Only one process may read them.
    pub fn questions(&self) -> Result<(Questions, FactAnswers), TableError> {
        Ok((Questions::open(&self.pins)?, FactAnswers::open(&self.pins)?))
    }

    /// The boot's secret.
    pub fn secret(&self) -> Secret {
        self.secret
    }

    /// Ends enforcement: removes every pinned link, then every pinned map, of every layout version, and says how many
    /// links there were. For `--uninstall` only. Processes that are stopped stay stopped: continue them first.
    pub fn detach_all(pins: &Pins) -> Result<usize, PinsError> {
        Ok(Self::detach_others(pins)? + detach(pins)?)
    }

    /// Removes what agents of other layout versions pinned, and says how many links there were. Only once an image is
    /// enforced from here: until then theirs is what stands.
    pub fn detach_others(pins: &Pins) -> Result<usize, PinsError> {
        let others = pins.others()?;
        others
            .iter()
            .try_fold(0, |sum, other| Ok(sum + detach(other)?))
    }
}

/// Links first: a hook without its maps would not know what to allow.
fn detach(pins: &Pins) -> Result<usize, PinsError> {
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

/// Address of the kernel's counter of renames. Without it every object is walked up to its root each time, which is
/// slower and no less right.
fn rename_lock() -> u64 {
    match symbols::address(Path::new(KALLSYMS), symbols::RENAME_LOCK) {
        Ok(Some(address)) => return address,
        Ok(None) => tracing::warn!(
            "{KALLSYMS} does not tell where `{}` is (see `kernel.kptr_restrict`): actions of guarded people cost more",
            symbols::RENAME_LOCK
        ),
        Err(error) => tracing::warn!(
            error = %chain(&error),
            "{KALLSYMS} cannot be read: actions of guarded people cost more"
        ),
    }
    0
}

const KALLSYMS: &str = "/proc/kallsyms";

/// Programs for the hooks of this kernel. One that it lacks is an error when it is loaded, unless it is known to have
/// come later.
fn hooks_of(btf: &Btf) -> Result<Vec<(&'static str, &'static str)>, BtfError> {
    let mut hooks = Vec::with_capacity(PROGRAMS.len());
    for (program, hook) in PROGRAMS {
        if !HOOKS_OF_NEWER_KERNELS.contains(hook) || offsets::has_hook(btf, hook)? {
            hooks.push((*program, *hook));
        }
    }
    Ok(hooks)
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
