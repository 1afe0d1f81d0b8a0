//! Address rules to ranges. The kernel's trie returns the longest matching prefix only, so every prefix carries
//! the entries of all prefixes that cover it.

use std::collections::BTreeMap;

use stayhand_agent_ebpf::abi::image::{ENTRIES_PER_ATTEMPT_MAX, Entry};

use super::{NetRange, append, some_rules};
use crate::policy::{Cidr, compile::CompileError};

/// Address rules that are being collected.
#[derive(Default)]
pub(crate) struct Nets {
    own: BTreeMap<Cidr, Vec<Entry>>,
}

impl Nets {
    /// Puts an entry on a range.
    pub(crate) fn add(&mut self, cidr: Cidr, entry: Entry) {
        let list = self.own.entry(cidr).or_default();
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
    ) -> Vec<NetRange> {
        // In the order of `Cidr` a covering range comes before the covered ones, so the open ranges are a stack.
        let mut open: Vec<(Cidr, Vec<Entry>)> = Vec::new();
        let mut ranges = Vec::with_capacity(self.own.len());
        for (cidr, own) in &self.own {
            while open.last().is_some_and(|(above, _)| !above.covers(cidr)) {
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
                    place: cidr.to_string(),
                    count: all.len(),
                    what: "entries",
                    max: ENTRIES_PER_ATTEMPT_MAX as usize,
                    rules: some_rules(&all, name),
                });
                // Refused anyway; inheriting on would only make the same error larger.
                all.clear();
            }
            let (addr, bits) = cidr.mapped_prefix();
            ranges.push(NetRange {
                addr,
                bits,
                range: append(entries, &all),
            });
            open.push((*cidr, all));
        }
        ranges
    }
}
