//! What an installation did, for people and logs.

use std::fmt;

use stayhand_guardrail::id::Generation;

use super::{resolve::Resolved, rows::Rows};

/// Problems that a report shows; more are counted.
const PROBLEMS_SHOWN: usize = 10;

/// An installed image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstallReport {
    /// Its number
    pub generation: Generation,
    /// Its slot
    pub slot: u32,
    /// Mark of its rows
    pub digest: u64,
    /// Rows by map
    pub rows: [(&'static str, usize); 7],
    /// Paths that name nothing now; rules hold as soon as they do
    pub missing: u32,
    /// Objects without a lasting identity, matched by name
    pub by_name: u32,
    /// Objects that could not be labelled, matched by name
    pub problems: Vec<String>,
}

impl InstallReport {
    pub(super) fn new(generation: Generation, slot: u32, rows: &Rows, resolved: Resolved) -> Self {
        Self {
            generation,
            slot,
            digest: rows.digest(),
            rows: [
                ("nodes", rows.nodes.len()),
                ("entries", rows.entries.len()),
                ("labels", rows.labels.len()),
                ("edges", rows.edges.len()),
                ("subjects", rows.subjects.len()),
                ("leases", rows.leases.len()),
                ("address ranges", rows.nets.len()),
            ],
            missing: resolved.missing,
            by_name: resolved.by_name,
            problems: resolved.problems,
        }
    }
}

impl fmt::Display for InstallReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "generation {} in slot {} ({:016x}):",
            self.generation, self.slot, self.digest
        )?;
        for (what, count) in self.rows {
            write!(f, " {count} {what},")?;
        }
        write!(
            f,
            " {} paths not there yet, {} matched by name only",
            self.missing, self.by_name
        )?;
        for problem in self.problems.iter().take(PROBLEMS_SHOWN) {
            write!(f, "\n  matched by name only: {problem}")?;
        }
        match self.problems.len().saturating_sub(PROBLEMS_SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

/// What looking at mounts and objects again came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relabelled {
    /// Nothing is installed yet
    Nothing,
    /// Every label is right
    Unchanged,
    /// Labels of the live image were exchanged
    Labels {
        /// New or changed
        set: usize,
        /// Of objects that are gone
        removed: usize,
    },
    /// Names came to mean one object, or no longer do: the image was installed anew
    Reinstalled(Box<InstallReport>),
}
