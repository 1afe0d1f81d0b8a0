//! From a compiled image to the rows of the kernel's maps: resolve objects, lay out, write aside, read back, flip.
//!
//! The active image is never touched but for labels that appear or vanish. Nothing here decides what a policy
//! means.

pub mod automaton;
pub mod graph;
pub mod install;
pub mod kept;
pub mod programs;
mod published;
pub mod report;
pub mod resolve;
pub mod rows;
pub mod tables;
#[cfg(test)]
mod tests;
mod wall;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use stayhand_agent_ebpf::abi::pulse::FRESH_FOR_EVER;
use stayhand_guardrail::{
    id::{Generation, GrantId},
    image::Image,
    key::PermissionKey,
    time::DurationMs,
};

pub use install::{Active, InstallError, Installer};
pub use published::Published;
pub use report::{InstallReport, Relabelled};

use crate::clock::{Deadlines, NS_PER_MS};

/// What is to be enforced, resolved for this host and this boot.
#[derive(Clone, Debug)]
pub struct Desired {
    /// Its number
    pub generation: Generation,
    /// The compiled policies
    pub image: Arc<Image>,
    /// Subject sets by login uid, see `Image::subject_sets_of`; a login uid without any is not guarded
    pub subjects: BTreeMap<u32, u64>,
    /// Those of them that are subjects where nobody has logged in, too
    pub services: BTreeSet<u32>,
    /// Live leases, in any order; those that are over are ignored by the kernel
    pub leases: Vec<InstallLease>,
    /// For how long they count after the last proof that this is the newest state; none where each counts until its own end
    pub fresh_for: Option<DurationMs>,
}

impl Desired {
    /// As the kernel has it. No span is as long as for ever.
    #[must_use]
    pub fn fresh_for_ns(&self) -> u64 {
        self.fresh_for.map_or(FRESH_FOR_EVER, |span| {
            let ns = span.0.saturating_mul(NS_PER_MS);
            ns.min(FRESH_FOR_EVER - 1)
        })
    }
}

/// One lease of one login uid on one permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstallLease {
    /// Whose
    pub auid: u32,
    /// On what
    pub permission: PermissionKey,
    /// When it ends, on both clocks
    pub deadlines: Deadlines,
    /// The grant that it comes from
    pub grant: GrantId,
}
