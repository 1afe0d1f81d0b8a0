//! The paths of all rules as a tree of components, open ones among them; [`super::automaton`] makes it one way down per
//! object.

use std::collections::BTreeMap;

use stayhand_agent_ebpf::abi::image::Entry;

use super::{ROOT, automaton::Automaton};
use crate::policy::{PathPattern, Wild, component::Component};

/// A node that is being filled.
#[derive(Default)]
pub(super) struct Filling {
    /// Entries on the object itself
    pub(super) here: Vec<Entry>,
    /// Entries on everything strictly below it
    pub(super) below: Vec<Entry>,
    /// By name
    pub(super) names: BTreeMap<Vec<u8>, u32>,
    /// By pattern
    pub(super) wilds: BTreeMap<Wild, u32>,
}

/// The tree that is being built. Parents always come before their children.
pub(crate) struct Trie {
    nodes: Vec<Filling>,
}

impl Default for Trie {
    fn default() -> Self {
        Self {
            nodes: vec![Filling::default(), Filling::default()],
        }
    }
}

impl Trie {
    /// Puts an entry on a path.
    pub(crate) fn add(&mut self, path: &PathPattern, entry: Entry) {
        let node = self.name(path);
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

    /// The node of a path, which needs no entry to be there: its object is labelled, too.
    pub(crate) fn name(&mut self, path: &PathPattern) -> u32 {
        let components = path.components().iter();
        components.fold(ROOT, |node, component| self.child(node, component))
    }

    fn child(&mut self, parent: u32, component: &Component) -> u32 {
        let next = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let Some(filling) = self.nodes.get_mut(parent as usize) else {
            return 0;
        };
        let child = match component {
            Component::Name(name) => filling
                .names
                .entry(name.as_bytes().to_vec())
                .or_insert(next),
            Component::Wild(wild) => filling.wilds.entry(wild.clone()).or_insert(next),
        };
        let child = *child;
        if child == next {
            self.nodes.push(Filling::default());
        }
        child
    }

    /// One way down per object.
    pub(crate) fn automaton(&self) -> Automaton {
        Automaton::of(&self.nodes)
    }
}
