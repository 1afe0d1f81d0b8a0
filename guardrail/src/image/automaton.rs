//! The tree of paths with one way down per object: a name leads to one node only, which has the entries of every path
//! that the name is a part of.
//!
//! A step is a name if some path has it literally. Any other name is tried with each pattern, in order: the first one
//! that it matches leads to a node, each further one from there to a node that is both. The kernel goes the same way
//! (`agent-ebpf/src/path.rs`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use stayhand_agent_ebpf::{
    abi::{
        image::{ENTRIES_PER_ATTEMPT_MAX, Entry, NODES_PER_SLOT, Node, SHAPES_MAX, Shape},
        task::RANGES_MAX,
    },
    path::bit_of,
};

use super::{Edge, ROOT, Step, append, some_rules, trie::Filling};
use crate::{
    limits::WILDS_MAX,
    policy::{Wild, compile::CompileError, component::choices},
};

/// The nodes of the tree that one name leads to.
type Set = BTreeSet<u32>;

/// A node of the automaton; what leads to it comes before it.
#[derive(Default)]
struct State {
    /// The directory's node
    parent: u32,
    /// Where the step begins: at the directory, or at the node of fewer patterns
    from: u32,
    step: Step,
    here: Vec<Entry>,
    below: Vec<Entry>,
}

/// See the module.
pub(crate) struct Automaton {
    states: Vec<State>,
    /// Directories with more patterns than the kernel tries: how many of what, the bound, and entries behind them
    crowded: Vec<(u32, usize, &'static str, usize, Vec<Entry>)>,
}

impl Automaton {
    /// Goes on to one node more than fits, which is what [`super::too_large`] then says.
    pub(super) fn of(tree: &[Filling]) -> Self {
        let mut made = Self {
            states: vec![State::default(), State::default()],
            crowded: Vec::new(),
        };
        let mut open: VecDeque<(u32, Set)> = VecDeque::from([(ROOT, Set::from([ROOT]))]);
        while let Some((node, set)) = open.pop_front() {
            let fillings: Vec<&Filling> =
                set.iter().filter_map(|at| tree.get(*at as usize)).collect();
            made.fill(node, &fillings);
            for (name, to) in names(&fillings) {
                let child = made.push(node, node, Step::Name(name));
                open.push_back((child, to));
            }
            made.wilds(node, tree, &fillings, &mut open);
            if made.states.len() > NODES_PER_SLOT as usize {
                break;
            }
        }
        made
    }

    fn push(&mut self, parent: u32, from: u32, step: Step) -> u32 {
        let node = u32::try_from(self.states.len()).unwrap_or(u32::MAX);
        self.states.push(State {
            parent,
            from,
            step,
            ..State::default()
        });
        node
    }

    fn fill(&mut self, node: u32, fillings: &[&Filling]) {
        let Some(state) = self.states.get_mut(node as usize) else {
            return;
        };
        for filling in fillings {
            for (to, from) in [
                (&mut state.here, &filling.here),
                (&mut state.below, &filling.below),
            ] {
                let new: Vec<Entry> = from
                    .iter()
                    .filter(|entry| !to.contains(entry))
                    .copied()
                    .collect();
                to.extend(new);
            }
        }
    }

    fn wilds(
        &mut self,
        node: u32,
        tree: &[Filling],
        fillings: &[&Filling],
        open: &mut VecDeque<(u32, Set)>,
    ) {
        let mut all: BTreeMap<&Wild, Set> = BTreeMap::new();
        for (wild, to) in fillings.iter().flat_map(|filling| &filling.wilds) {
            all.entry(wild).or_default().insert(*to);
        }
        let (patterns, sets): (Vec<&Wild>, Vec<Set>) = all.into_iter().unzip();
        let shapes: BTreeSet<Shape> = patterns.iter().map(|wild| shape(wild)).collect();
        let bounds = [
            (patterns.len(), "names with a `*`", WILDS_MAX),
            (
                shapes.len(),
                "kinds of names with a `*` (by the lengths of what is before and behind it)",
                SHAPES_MAX,
            ),
        ];
        for (count, what, max) in bounds {
            if count > max {
                let behind = sets.iter().flatten().flat_map(|to| some_behind(tree, *to));
                self.crowded
                    .push((node, count, what, max, behind.collect()));
                return;
            }
        }
        let mut made: BTreeMap<Vec<usize>, u32> = BTreeMap::new();
        for (index, (wild, to)) in patterns.iter().zip(&sets).enumerate() {
            let child = self.push(node, node, Step::Wild((*wild).clone()));
            open.push_back((child, to.clone()));
            made.insert(vec![index], child);
        }
        // In order, so that a choice comes after every beginning of it.
        for choice in choices(&patterns) {
            let Some((last, before)) = choice.split_last() else {
                continue;
            };
            let (Some(from), Some(single)) =
                (made.get(before), made.get(std::slice::from_ref(last)))
            else {
                continue;
            };
            let child = self.push(node, *from, Step::And(*single));
            let of_all = choice.iter().filter_map(|index| sets.get(*index)).flatten();
            open.push_back((child, of_all.copied().collect()));
            made.insert(choice, child);
        }
    }

    /// Every place where an object would meet more than the kernel judges. Only the topmost ones are named.
    pub(crate) fn check(&self, name: &dyn Fn(u64) -> String) -> Vec<CompileError> {
        let mut errors = Vec::new();
        let mut say = |node: u32, count, what, max, entries: &[Entry]| {
            errors.push(CompileError::TooMuchAtOnce {
                place: self.path(node),
                count,
                what,
                max,
                rules: some_rules(entries, name),
            });
        };
        for (node, count, what, max, entries) in &self.crowded {
            say(*node, *count, what, *max, entries);
        }
        // Met by everything below a node, itself included: entries, ranges, already reported.
        let mut met: Vec<(usize, usize, bool)> = vec![(0, 0, false); self.states.len()];
        for (index, state) in (0u32..).zip(&self.states).skip(ROOT as usize) {
            let above = met.get(state.parent as usize).copied().unwrap_or_default();
            let entries = above.0 + state.here.len().max(state.below.len());
            let ranges = above.1 + usize::from(!state.here.is_empty() || !state.below.is_empty());
            let mut reported = above.2;
            let bounds = [
                (entries, "entries", ENTRIES_PER_ATTEMPT_MAX as usize),
                (ranges, "directories with rules", RANGES_MAX),
            ];
            for (count, what, max) in bounds {
                if count > max && !reported {
                    reported = true;
                    let both = [state.here.as_slice(), &state.below].concat();
                    say(index, count, what, max, &both);
                }
            }
            if let Some(slot) = met.get_mut(index as usize) {
                *slot = (
                    above.0 + state.below.len(),
                    above.1 + usize::from(!state.below.is_empty()),
                    reported,
                );
            }
        }
        errors
    }

    fn path(&self, mut node: u32) -> String {
        let mut names = Vec::new();
        while let Some(state) = self.states.get(node as usize).filter(|_| node > ROOT) {
            names.push(format!("/{}", self.component(node)));
            node = state.parent;
        }
        if names.is_empty() {
            "/".to_owned()
        } else {
            names.into_iter().rev().collect()
        }
    }

    fn component(&self, node: u32) -> String {
        let Some(state) = self.states.get(node as usize) else {
            return String::new();
        };
        match &state.step {
            Step::Name(name) => crate::text::Safe(name).to_string(),
            Step::Wild(wild) => crate::text::safe(&wild.to_string()),
            Step::And(other) => format!(
                "{} and {}",
                self.component(state.from),
                self.component(*other)
            ),
        }
    }

    /// Nodes and edges as the image has them.
    pub(crate) fn flatten(&self, entries: &mut Vec<Entry>) -> (Vec<Node>, Vec<Edge>) {
        let place = |state: &State, entries: &mut Vec<Entry>| Node {
            here: append(entries, &state.here),
            below: append(entries, &state.below),
            ..Node::default()
        };
        let mut nodes: Vec<Node> = self
            .states
            .iter()
            .map(|state| place(state, entries))
            .collect();
        let steps = self.states.iter().skip(ROOT as usize + 1);
        for state in steps {
            if let Some(parent) = nodes.get_mut(state.parent as usize) {
                lead(parent, &state.step);
            }
        }
        let numbered = self.states.iter().zip(0u32..).skip(ROOT as usize + 1);
        let edges = numbered.map(|(state, to)| Edge {
            from: state.from,
            step: state.step.clone(),
            to,
        });
        (nodes, edges.collect())
    }
}

/// What one name leads to: the paths that have it, and those with a pattern that it matches.
fn names(fillings: &[&Filling]) -> BTreeMap<Vec<u8>, Set> {
    let mut names: BTreeMap<Vec<u8>, Set> = BTreeMap::new();
    for (name, to) in fillings.iter().flat_map(|filling| &filling.names) {
        names.entry(name.clone()).or_default().insert(*to);
    }
    let wilds = || fillings.iter().flat_map(|filling| &filling.wilds);
    for (name, set) in &mut names {
        set.extend(
            wilds()
                .filter(|(wild, _)| wild.matches(name))
                .map(|(_, to)| *to),
        );
    }
    names
}

/// Entries of the first paths that go on from a node, enough to name some rules.
fn some_behind(tree: &[Filling], mut at: u32) -> Vec<Entry> {
    while let Some(filling) = tree.get(at as usize) {
        let own = [filling.here.as_slice(), &filling.below].concat();
        let next = filling.names.values().chain(filling.wilds.values()).next();
        match next {
            Some(next) if own.is_empty() => at = *next,
            _ => return own,
        }
    }
    Vec::new()
}

/// How the kernel looks for the names of a pattern.
pub fn shape(wild: &Wild) -> Shape {
    // The parser keeps components shorter than a name can be.
    let len = |text: &[u8]| u8::try_from(text.len()).unwrap_or(u8::MAX);
    Shape::new(len(wild.prefix()), len(wild.suffix()))
}

/// Has a directory's node tell what leads on from it.
pub fn lead(node: &mut Node, step: &Step) {
    match step {
        Step::Name(name) => node.names |= bit_of(name),
        Step::Wild(wild) => {
            node.names = u64::MAX;
            node.add_shape(shape(wild));
        }
        Step::And(_) => {}
    }
}
