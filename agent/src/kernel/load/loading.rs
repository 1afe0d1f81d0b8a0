//! One load: maps, settings, programs, links. Takes back what it added if it fails.

use std::path::Path;

use aya::{
    Ebpf, EbpfLoader, VerifierLogLevel,
    pin::PinError,
    programs::{Lsm, ProgramError, links::FdLink},
};
use stayhand_agent_ebpf::abi::offsets::{PROGRAM_GENERATION_GLOBAL, RENAME_LOCK_GLOBAL};

use super::{
    super::{
        object::KernelObject,
        pins::Pins,
        settings::{self, HoldLimits, Secret},
        table::Slots,
        task_storage::Tasks,
    },
    LoadError, LoadedProgram,
    error::not_loaded,
    verify,
};
use crate::exit::chain;

/// What one load works with.
pub(super) struct Loading<'a> {
    pub(super) pins: &'a Pins,
    pub(super) object: &'a KernelObject,
    pub(super) offsets: &'a [(&'static str, u32)],
    pub(super) generation: u32,
    /// Address of the kernel's counter of renames, 0 if it does not tell
    pub(super) rename_lock: u64,
    /// Programs and hooks that this kernel has
    pub(super) hooks: &'a [(&'static str, &'static str)],
}

impl Loading<'_> {
    /// Loads, attaches and pins.
    pub(super) fn run(
        &self,
        limits: HoldLimits,
    ) -> Result<(Vec<LoadedProgram>, Secret), LoadError> {
        let mut ebpf = self.maps()?;
        let secret = settings::write(&mut Slots::open(self.pins, "SETTINGS")?, limits)?;
        let btf =
            aya::Btf::from_sys_fs().map_err(|error| LoadError::Maps(Box::new(error.into())))?;
        let programs = verify::all(&mut ebpf, self.hooks, &btf)?;
        for (program, hook) in self.hooks {
            self.attach(program_of(&mut ebpf, program, hook)?, hook)?;
        }
        self.note(&programs)?;
        Tasks::open(self.pins)?.mark_agent()?;
        #[cfg(feature = "trace")]
        super::super::trace::take(&mut ebpf);
        Ok((programs, secret))
    }

    /// Leaves what stands as it is; only settings may have changed.
    pub(super) fn keep(&self, limits: HoldLimits) -> Result<Secret, LoadError> {
        let secret = settings::write(&mut Slots::open(self.pins, "SETTINGS")?, limits)?;
        Tasks::open(self.pins)?.mark_agent()?;
        Ok(secret)
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
        loader.override_global(RENAME_LOCK_GLOBAL, &self.rename_lock, true);
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
    pub(super) fn take_back(&self, maps: &[String]) {
        let links = self
            .hooks
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
    let found = ebpf.program_mut(program);
    found
        .and_then(|found| found.try_into().ok())
        .ok_or_else(|| not_there(program, hook))
}

pub(super) fn not_there(program: &str, hook: &'static str) -> LoadError {
    LoadError::Hook {
        hook,
        step: "exist in the object",
        why: format!("no LSM program `{program}`"),
    }
}
