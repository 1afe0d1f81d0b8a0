//! The path automaton as the kernel walks it, for the objects that are there now: numbered classes, steps between
//! them, one run of entries per list of rules, and the label of every object.
//!
//! Pure.

use std::collections::{BTreeMap, BTreeSet};

use stayhand_agent_ebpf::abi::image::{
    ARG_STEPS_PER_SLOT, ArgStep, ENTRIES_PER_SLOT, Entry, NODES_PER_SLOT, Node, Range, SHAPES_MAX,
    Shape,
};
use stayhand_guardrail::{
    image::{
        self, Image, Step,
        automaton::{lead, shape},
    },
    limits::WILDS_MAX,
    policy::{Wild, component::choices},
};

use super::{
    super::identity::ObjectId,
    graph::{Class, Grant, Graph, grant_of},
    programs,
    resolve::Resolved,
};

/// An image that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the policies need {count} {what} with the mounts and links of this host, more than the {max} that the kernel has \
     room for; make them smaller"
)]
pub struct TooLarge {
    /// How many
    pub count: usize,
    /// Of what
    pub what: &'static str,
    /// The bound
    pub max: usize,
}

/// The automaton.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Automaton {
    /// By node index; index 0 is no node of it, see `abi::image::SYSTEM_NODE`
    pub nodes: Vec<Node>,
    /// Directory, component, object
    pub edges: BTreeMap<(u32, Step), u32>,
    /// Entries, the image's first
    pub entries: Vec<Entry>,
    /// Steps of conditions
    pub steps: Vec<ArgStep>,
    /// Nodes of objects
    pub labels: BTreeMap<ObjectId, u32>,
}

impl Automaton {
    /// Numbers the classes of a resolved graph.
    pub fn build(image: &Image, graph: &Graph, resolved: &Resolved) -> Result<Self, TooLarge> {
        let classes = graph.classes();
        let numbers: BTreeMap<u32, u32> = classes.iter().map(|class| class.node).zip(1..).collect();
        let number = |node: u32| numbers.get(&graph.class_of(node)).copied().unwrap_or(0);
        let mut runs = Runs {
            entries: image.entries.clone(),
            known: BTreeMap::new(),
        };
        let mut made = Self {
            // The image's own entries come first, so that its ranges stay good.
            nodes: vec![Node {
                here: image.system,
                ..Node::default()
            }],
            ..Self::default()
        };
        for class in &classes {
            let from = number(class.node);
            made.nodes.push(Node {
                here: runs.range(&class.here, &class.grants_here),
                below: runs.range(&class.below, &class.grants_below),
                ..Node::default()
            });
            let named = class.children.iter();
            let mut steps: Vec<(u32, Step, u32)> = named
                .map(|(name, child)| (from, Step::Name(name.clone()), number(*child)))
                .collect();
            steps.extend(wild_steps(graph, class, from, &number)?);
            if let Some(node) = made.nodes.last_mut() {
                for (_, step, _) in &steps {
                    lead(node, step);
                }
            }
            made.edges
                .extend(steps.into_iter().map(|(from, step, to)| ((from, step), to)));
        }
        made.entries = runs.entries;
        made.steps = programs::steps(image, graph, resolved, &number, &mut made.entries);
        made.labels = resolved
            .objects
            .iter()
            .map(|(object, node)| (*object, number(*node)))
            .collect();
        fits(made.nodes.len(), "path nodes", NODES_PER_SLOT)?;
        fits(made.entries.len(), "entries", ENTRIES_PER_SLOT)?;
        fits(
            made.steps.len(),
            "steps of conditions on arguments and processes",
            ARG_STEPS_PER_SLOT,
        )?;
        Ok(made)
    }
}

/// The steps by patterns from one class: each alone, and together as far as one name can match them.
fn wild_steps(
    graph: &Graph,
    class: &Class<'_>,
    from: u32,
    number: &dyn Fn(u32) -> u32,
) -> Result<Vec<(u32, Step, u32)>, TooLarge> {
    let patterns: Vec<&Wild> = class.wilds.keys().collect();
    let sets: Vec<&BTreeSet<u32>> = class.wilds.values().collect();
    let shapes: BTreeSet<Shape> = patterns.iter().map(|wild| shape(wild)).collect();
    fits(
        patterns.len(),
        "names with a `*` in one directory",
        bound(WILDS_MAX),
    )?;
    fits(
        shapes.len(),
        "kinds of names with a `*` in one directory",
        bound(SHAPES_MAX),
    )?;
    let all_of = |choice: &[usize]| {
        let chosen = choice.iter().filter_map(|index| sets.get(*index));
        let set: BTreeSet<u32> = chosen.flat_map(|set| set.iter().copied()).collect();
        number(graph.standing_for(&set))
    };
    let singles = patterns.iter().enumerate();
    let mut steps: Vec<(u32, Step, u32)> = singles
        .map(|(index, wild)| (from, Step::Wild((*wild).clone()), all_of(&[index])))
        .collect();
    for choice in choices(&patterns) {
        if let Some((last, before)) = choice.split_last() {
            steps.push((all_of(before), Step::And(all_of(&[*last])), all_of(&choice)));
        }
    }
    Ok(steps)
}

fn bound(max: usize) -> u32 {
    u32::try_from(max).unwrap_or(u32::MAX)
}

fn fits(count: usize, what: &'static str, max: u32) -> Result<(), TooLarge> {
    if count > max as usize {
        Err(TooLarge {
            count,
            what,
            max: max as usize,
        })
    } else {
        Ok(())
    }
}

/// Runs of entries: a list that is one range of the image stays it, any other is copied behind, each once. Grants
/// that do not count are taken out of the copy; what restricts is always in it.
struct Runs {
    entries: Vec<Entry>,
    known: BTreeMap<Kind, Range>,
}

/// Ranges of a list, and the grants that do not count in it.
type Kind = (Vec<(u32, u32)>, Vec<Grant>);

impl Runs {
    fn range(&mut self, list: &BTreeSet<(u32, u32)>, grants: &BTreeSet<Grant>) -> Range {
        let list: Vec<(u32, u32)> = list.iter().copied().collect();
        let all = list.iter().flat_map(|range| self.part(*range));
        let withheld: BTreeSet<Grant> = all
            .filter_map(grant_of)
            .filter(|grant| !grants.contains(grant))
            .collect();
        match list.as_slice() {
            [] => return Range::default(),
            [(start, len)] if withheld.is_empty() => {
                return image::range(*start, self.part((*start, *len)));
            }
            _ => {}
        }
        let known = (list, withheld.into_iter().collect::<Vec<_>>());
        if let Some(range) = self.known.get(&known) {
            return *range;
        }
        let (list, withheld) = &known;
        let mut joined: Vec<Entry> = Vec::new();
        for entry in list.iter().flat_map(|range| self.part(*range)) {
            let entry = match grant_of(entry) {
                Some(grant) if withheld.contains(&grant) => without_grant(*entry),
                _ => Some(*entry),
            };
            joined.extend(entry.filter(|entry| !joined.contains(entry)));
        }
        let start = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        let range = image::range(start, &joined);
        self.entries.extend(joined);
        self.known.insert(known, range);
        range
    }

    fn part(&self, (start, len): (u32, u32)) -> &[Entry] {
        let start = start as usize;
        self.entries
            .get(start..start.saturating_add(len as usize))
            .unwrap_or_default()
    }
}

/// What is left of an entry that does not grant: the rule that it also is, if it is one.
fn without_grant(entry: Entry) -> Option<Entry> {
    (entry.rule != 0).then_some(Entry {
        permission: 0,
        ..entry
    })
}
