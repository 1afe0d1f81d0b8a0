//! What an earlier agent of this boot left attached, and whether it is what this one would load: then it stays, and
//! nothing is verified, attached or replaced. An agent that was killed is back in a moment.
//!
//! Trusts numbers of the kernel and the digest beside them, never the names of pins alone: whoever removed a link or a
//! map, or pinned another one in its place, has everything loaded again.

use std::path::Path;

use aya::{
    maps::MapInfo,
    programs::links::{FdLink, LinkError, PinnedLink},
};
use sha2::{Digest as _, Sha256};
use stayhand_agent_ebpf::abi::loaded::{Loaded, LoadedLink};

use super::{
    super::{
        layout::LayoutError,
        pins::{LinkPin, Pins},
        table::{Slots, Table, TableError},
    },
    LoadError, LoadedProgram,
    loading::Loading,
};
use crate::exit::chain;

/// The map.
const NAME: &str = "LOADED";

impl Loading<'_> {
    /// Of the object, of everything that is set in it but for the number of the programs, and of the pinned maps.
    fn digest(&self) -> Result<[u8; 32], LayoutError> {
        let mut all = Sha256::new();
        let mut part = |bytes: &[u8]| {
            all.update((bytes.len() as u64).to_le_bytes());
            all.update(bytes);
        };
        part(&self.object.bytes);
        part(&self.rename_lock.to_le_bytes());
        for (global, offset) in self.offsets {
            part(global.as_bytes());
            part(&offset.to_le_bytes());
        }
        for (program, hook) in self.hooks {
            part(program.as_bytes());
            part(hook.as_bytes());
        }
        for map in &self.object.maps {
            let path = self.pins.map(&map.name);
            let info = MapInfo::from_pin(&path);
            let info = info.map_err(|source| LayoutError::Unreadable { path, source })?;
            part(map.name.as_bytes());
            part(&info.id().to_le_bytes());
        }
        Ok(all.finalize().into())
    }

    /// Leaves word for the next agent. Only when everything is attached.
    pub(super) fn note(&self, programs: &[LoadedProgram]) -> Result<(), LoadError> {
        let mut loaded = Loaded {
            digest: self.digest()?,
            generation: self.generation,
            count: u32::try_from(programs.len()).unwrap_or(u32::MAX),
            ..Loaded::default()
        };
        for (row, program) in loaded.links.iter_mut().zip(programs) {
            let path = self.pins.link(program.hook, self.generation);
            let (link, id) = numbers(&path).map_err(|error| LoadError::Hook {
                hook: program.hook,
                step: "stay pinned",
                why: chain(&error),
            })?;
            *row = LoadedLink {
                link,
                program: id,
                verified_instructions: program.verified_instructions.unwrap_or(0),
                pad: 0,
            };
        }
        Ok(map(self.pins)?.put(&0, &loaded)?)
    }

    /// The generation and the programs that stand, if they are what would be loaded and nothing else is pinned. Every map
    /// must be pinned.
    pub(super) fn standing(
        &self,
        pinned: &[LinkPin],
    ) -> Result<Option<(u32, Vec<LoadedProgram>)>, LoadError> {
        // Reads what the programs of a load print.
        if cfg!(feature = "trace") {
            return Ok(None);
        }
        let loaded = map(self.pins)?.get(&0)?.unwrap_or_default();
        let is_same = loaded.digest == self.digest()?
            && loaded.count as usize == self.hooks.len()
            && pinned.len() == self.hooks.len();
        let programs = self.hooks.iter().zip(&loaded.links);
        if !is_same
            || !programs
                .clone()
                .all(|(one, row)| self.stands(loaded.generation, one, row))
        {
            return Ok(None);
        }
        let programs = programs
            .map(|((program, hook), row)| LoadedProgram {
                program,
                hook,
                verified_instructions: Some(row.verified_instructions).filter(|count| *count != 0),
            })
            .collect();
        Ok(Some((loaded.generation, programs)))
    }

    fn stands(&self, generation: u32, (_, hook): &(&str, &str), row: &LoadedLink) -> bool {
        match numbers(&self.pins.link(hook, generation)) {
            Ok(found) => found == (row.link, row.program),
            Err(error) => {
                tracing::warn!(hook, error = %chain(&error), "no pinned link that can be read: hooks are loaded again");
                false
            }
        }
    }
}

fn map(pins: &Pins) -> Result<Slots<Loaded>, TableError> {
    Slots::open(pins, NAME)
}

/// The kernel's numbers of a pinned link and of its program.
fn numbers(path: &Path) -> Result<(u32, u32), LinkError> {
    let info = FdLink::from(PinnedLink::from_pin(path)?).info()?;
    Ok((info.id(), info.program_id()))
}
