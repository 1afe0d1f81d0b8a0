//! Rules on addresses and on names of sockets to ranges. The kernel's tries return the longest matching prefix only, so
//! every prefix carries the entries of all prefixes that cover it.

use std::{
    collections::BTreeMap,
    fmt::{Display, Formatter},
};

use stayhand_agent_ebpf::abi::{
    image::{ENTRIES_PER_ATTEMPT_MAX, Entry, Range},
    net::{NET_INTERNET, NET_VSOCK},
};

use super::{append, some_rules};
use crate::policy::{Cidr, NamePattern, VsockRange, compile::CompileError};

/// What is found by its prefix. In its order a covering one comes before those that it covers.
pub(crate) trait Prefix: Ord + Clone + Display {
    /// Whether everything in `other` is in this.
    fn covers(&self, other: &Self) -> bool;
}

/// An address of either kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Net {
    Internet(Cidr),
    Vsock(VsockRange),
}

impl Prefix for Net {
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Internet(one), Self::Internet(other)) => one.covers(other),
            (Self::Vsock(one), Self::Vsock(other)) => one.covers(other),
            _ => false,
        }
    }
}

impl Display for Net {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Internet(cidr) => cidr.fmt(f),
            Self::Vsock(_) => f.write_str("vsock"),
        }
    }
}

impl Net {
    /// Kind of address, address in network order, and how many of its bits count.
    pub(crate) fn prefix(&self) -> (u32, [u8; 16], u32) {
        match self {
            Self::Internet(cidr) => {
                let (addr, bits) = cidr.mapped_prefix();
                (NET_INTERNET, addr, bits)
            }
            Self::Vsock(range) => {
                let (addr, bits) = range.prefix();
                (NET_VSOCK, addr.to_be_bytes(), bits)
            }
        }
    }
}

impl Prefix for NamePattern {
    fn covers(&self, other: &Self) -> bool {
        Self::covers(self, other)
    }
}

/// Rules on prefixes that are being collected.
pub(crate) struct Prefixes<P> {
    own: BTreeMap<P, Vec<Entry>>,
}

impl<P> Default for Prefixes<P> {
    fn default() -> Self {
        Self {
            own: BTreeMap::new(),
        }
    }
}

impl<P: Prefix> Prefixes<P> {
    /// Puts an entry on a range.
    pub(crate) fn add(&mut self, prefix: P, entry: Entry) {
        let list = self.own.entry(prefix).or_default();
        if !list.contains(&entry) {
            list.push(entry);
        }
    }

    /// Ranges as the image has them.
    pub(crate) fn flatten(
        &self,
        entries: &mut Vec<Entry>,
        name: &dyn Fn(u64) -> String,
        errors: &mut Vec<CompileError>,
    ) -> Vec<(P, Range)> {
        // A covering range comes before the covered ones, so the open ranges are a stack.
        let mut open: Vec<(P, Vec<Entry>)> = Vec::new();
        let mut ranges = Vec::with_capacity(self.own.len());
        for (prefix, own) in &self.own {
            while open.last().is_some_and(|(above, _)| !above.covers(prefix)) {
                open.pop();
            }
            let mut all = open
                .last()
                .map_or_else(Vec::new, |(_, inherited)| inherited.clone());
            all.extend(
                own.iter()
                    .filter(|entry| !all.contains(entry))
                    .copied()
                    .collect::<Vec<_>>(),
            );
            if all.len() > ENTRIES_PER_ATTEMPT_MAX as usize {
                errors.push(CompileError::TooMuchAtOnce {
                    place: prefix.to_string(),
                    count: all.len(),
                    what: "entries",
                    max: ENTRIES_PER_ATTEMPT_MAX as usize,
                    rules: some_rules(&all, name),
                });
                // Refused anyway; inheriting on would only make the same error larger.
                all.clear();
            }
            ranges.push((prefix.clone(), append(entries, &all)));
            open.push((prefix.clone(), all));
        }
        ranges
    }
}
