//! Typed access to pinned maps, and the trait behind it, so that installing can be tested without a kernel.
//!
//! Opens maps that are pinned already and never makes one.
#![expect(
    unsafe_code,
    reason = "promises to aya which shared types are plain bytes"
)]

#[cfg(test)]
pub(crate) mod fake;
mod maps;
#[cfg(test)]
mod tests;

use std::io;

use aya::maps::MapError;
use stayhand_agent_ebpf::abi::{
    fact::{Answer, FactKey},
    hold::{AnswerEntry, HoldEntry, HoldKey},
    image::{
        ArgKey, ArgStep, EdgeKey, Entry, Label, LabelBits, LabelKey, LeaseKey, LeaseRow, Node,
        Range, Settings, Subject, SubjectKey,
    },
    loaded::Loaded,
    net::{NetBits, NetKey},
    rate::{Bucket, BucketKey, Rate},
    schedule::Schedule,
    task::Identity,
};

pub use maps::{ArgPrefix, Hash, NetPrefix, Prefixes, Slots};
pub(crate) use maps::{PerCpu, ring};

/// Types that are nothing but bytes.
///
/// # Safety
/// Implementors are `repr(C)`, made of integers only, without padding, and valid for every bit pattern.
pub unsafe trait Plain: Copy + 'static {}

macro_rules! plain {
    ($($name:ty),* $(,)?) => {
        // SAFETY: integers, and structures of `abi` whose sizes are asserted there to have no padding.
        $(unsafe impl Plain for $name {})*
    };
}

plain!(
    u32,
    u64,
    Answer,
    AnswerEntry,
    Bucket,
    BucketKey,
    HoldEntry,
    HoldKey,
    ArgKey,
    ArgStep,
    EdgeKey,
    Entry,
    FactKey,
    Identity,
    Label,
    LabelBits,
    LabelKey,
    LeaseKey,
    LeaseRow,
    Loaded,
    NetBits,
    NetKey,
    Node,
    Range,
    Rate,
    Schedule,
    Settings,
    Subject,
    SubjectKey,
);

/// Carries a shared type across aya's border (both are foreign to this crate).
#[repr(transparent)]
#[derive(Clone, Copy)]
struct Row<T>(T);

// SAFETY: transparent over a type that promises to be plain bytes.
unsafe impl<T: Plain> aya::Pod for Row<T> {}

/// Why a map cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// It cannot be opened.
    #[error("cannot open pinned map `{map}`; load the kernel object first")]
    Open {
        /// The map
        map: &'static str,
        /// Why
        source: Box<MapError>,
    },
    /// It has no room left.
    #[error(
        "map `{map}` is full ({max_entries} entries); make policies smaller, or fewer subjects and grants"
    )]
    Full {
        /// The map
        map: &'static str,
        /// Its bound
        max_entries: u32,
    },
    /// The kernel refused.
    #[error("cannot {doing} map `{map}`")]
    Refused {
        /// What was tried
        doing: &'static str,
        /// The map
        map: &'static str,
        /// Why
        source: Box<MapError>,
    },
}

/// A map from keys to values.
pub trait Table<K, V> {
    /// Its name, as pinned.
    fn name(&self) -> &'static str;
    /// The value of a key.
    fn get(&self, key: &K) -> Result<Option<V>, TableError>;
    /// Sets the value of a key.
    fn put(&mut self, key: &K, value: &V) -> Result<(), TableError>;
    /// Removes a key; false if it was not there.
    fn remove(&mut self, key: &K) -> Result<bool, TableError>;
    /// Every key, each once. Arrays have none to list.
    fn keys(&self) -> Result<Vec<K>, TableError>;
}

impl From<TableError> for io::Error {
    fn from(error: TableError) -> Self {
        Self::other(error)
    }
}
