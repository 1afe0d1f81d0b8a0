//! Path rules to the automaton of `agent-ebpf/src/path.rs`: one node per literal path, `here` for the rules on
//! that very object, `below` for those on everything strictly below it.

use std::collections::BTreeMap;

use stayhand_agent_ebpf::{
    abi::{
        image::{ENTRIES_PER_ATTEMPT_MAX, Entry, Node},
        task::RANGES_MAX,
    },
    path::bit_of,
};

use super::{Edge, ROOT, append, some_rules};
use crate::policy::{PathPattern, compile::CompileError};

/// A node that is being filled; parents always come before their children.
#[derive(Default)]
struct Filling {
    parent: u32,
    name: Vec<u8>,
    here: Vec<Entry>,
    below: Vec<Entry>,
}

/// The automaton that is being built.
pub(crate) struct Trie {
    nodes: Vec<Filling>,
    edges: BTreeMap<(u32, Vec<u8>), u32>,
}

impl Default for Trie {
    fn default() -> Self {
        Self {
            nodes: vec![Filling::default(), Filling::default()],
            edges: BTreeMap::new(),
        }
    }
}

impl Trie {
    /// Puts an entry on a path.
    pub(crate) fn add(&mut self, path: &PathPattern, entry: Entry) {
        let mut node = ROOT;
        for component in path.components() {
            node = self.child(node, component.as_bytes());
        }
        if let Some(filling) = self.nodes.get_mut(node as usize) {
            let list = if path.is_below() {
                &mut filling.below
            } else {
                &mut filling.here
            };
            if !list.contains(&entry) {
                list.push(entry);
            }
        }
    }

    fn child(&mut self, parent: u32, name: &[u8]) -> u32 {
        let next = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let child = *self.edges.entry((parent, name.to_vec())).or_insert(next);
        if child == next {
            self.nodes.push(Filling {
                parent,
                name: name.to_vec(),
                ..Filling::default()
            });
        }
        child
    }

    /// Every place where an object would meet more than the kernel judges. Only the topmost ones are named.
    pub(crate) fn check(&self, name: &dyn Fn(u64) -> String) -> Vec<CompileError> {
        let mut errors = Vec::new();
        // Met by everything below a node, itself included: entries, ranges, already reported.
        let mut met: Vec<(usize, usize, bool)> = vec![(0, 0, false); self.nodes.len()];
        for (index, node) in self.nodes.iter().enumerate().skip(ROOT as usize) {
            let above = met.get(node.parent as usize).copied().unwrap_or_default();
            let entries = above.0 + node.here.len().max(node.below.len());
            let ranges = above.1 + usize::from(!node.here.is_empty() || !node.below.is_empty());
            let mut reported = above.2;
            let bounds = [
                (entries, "entries", ENTRIES_PER_ATTEMPT_MAX as usize),
                (ranges, "directories with rules", RANGES_MAX),
            ];
            for (count, what, max) in bounds {
                if count > max && !reported {
                    reported = true;
                    let rules = some_rules(&[node.here.as_slice(), &node.below].concat(), name);
                    let place = self.path(index);
                    errors.push(CompileError::TooMuchAtOnce {
                        place,
                        count,
                        what,
                        max,
                        rules,
                    });
                }
            }
            if let Some(slot) = met.get_mut(index) {
                *slot = (
                    above.0 + node.below.len(),
                    above.1 + usize::from(!node.below.is_empty()),
                    reported,
                );
            }
        }
        errors
    }

    fn path(&self, mut index: usize) -> String {
        let mut names = Vec::new();
        while let Some(node) = self.nodes.get(index).filter(|_| index > ROOT as usize) {
            names.push(format!("/{}", crate::text::Safe(&node.name)));
            index = node.parent as usize;
        }
        if names.is_empty() {
            "/".to_owned()
        } else {
            names.into_iter().rev().collect()
        }
    }

    /// Nodes and edges as the image has them.
    pub(crate) fn flatten(&self, entries: &mut Vec<Entry>) -> (Vec<Node>, Vec<Edge>) {
        let place = |filling: &Filling, entries: &mut Vec<Entry>| Node {
            here: append(entries, &filling.here),
            below: append(entries, &filling.below),
            names: 0,
        };
        let mut nodes: Vec<Node> = self
            .nodes
            .iter()
            .map(|filling| place(filling, entries))
            .collect();
        for child in self.nodes.iter().skip(ROOT as usize + 1) {
            if let Some(parent) = nodes.get_mut(child.parent as usize) {
                parent.names |= bit_of(&child.name);
            }
        }
        let numbered = self.nodes.iter().zip(0u32..).skip(ROOT as usize + 1);
        let edges = numbered
            .map(|(node, to)| Edge {
                from: node.parent,
                name: node.name.clone(),
                to,
            })
            .collect();
        (nodes, edges)
    }
}
