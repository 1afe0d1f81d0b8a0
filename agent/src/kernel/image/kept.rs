//! Which objects were at the paths of the rules, now or before: an object keeps its rules for as long as it lives,
//! wherever it is moved to and whatever takes its place.
//!
//! An object is given up when it ends (see `identity/ends.rs`), and when no path under which it was ever found is a
//! path of a rule any more. An agent that starts reads from the active image what an earlier one knew.

use std::collections::{BTreeMap, BTreeSet};

use stayhand_agent_ebpf::{abi::image::EdgeKey, siphash::hash_name};

use super::{
    super::{identity::ObjectId, mounts::Mounts, table::TableError},
    graph::{Graph, mark},
    resolve::{Resolved, Seen},
    tables::Tables,
};

/// Objects that are kept although they are at no path of a rule: what was moved or replaced and still lives. Bounds the
/// map's room (one label each), far beyond what an ordinary host has. Those that are known stay when it is reached.
pub const AWAY_MAX: usize = 4_096;
/// Sets of paths that one object was at: each makes a node. Further objects make their paths one.
const COMBINED_MAX: usize = 1_024;
/// Mount points of one file system that are remembered after it was unmounted there.
const ROOTS_MAX: usize = 16;

/// The objects.
#[derive(Debug)]
pub struct Kept {
    objects: BTreeMap<ObjectId, Known>,
    seen: Seen,
    /// Counts objects, so that later ones can be told from earlier ones
    next: u64,
    /// Objects that found no room since the agent started
    overflow: u64,
    /// Those of the last look that are at no path
    away: usize,
    away_max: usize,
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            seen: Seen::new(),
            next: 0,
            overflow: 0,
            away: 0,
            away_max: AWAY_MAX,
        }
    }
}

#[derive(Debug, Default)]
struct Known {
    since: u64,
    paths: BTreeSet<Vec<u8>>,
    /// Paths at which it was the root of a mount
    roots: BTreeSet<Vec<u8>>,
}

impl Kept {
    /// What was last found at each path.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Objects that are kept at no path, and how many found no room.
    pub fn counts(&self) -> (usize, u64) {
        (self.away, self.overflow)
    }

    #[cfg(test)]
    pub(super) fn at_most(&mut self, away: usize) {
        self.away_max = away;
    }

    /// Every path at which something was found that still lives.
    pub fn paths(&self) -> impl Iterator<Item = &Vec<u8>> {
        let known = self.objects.values();
        known.flat_map(|known| known.paths.iter().chain(&known.roots))
    }

    /// Objects that ended.
    pub fn forget(&mut self, ended: &[ObjectId]) {
        let ended: BTreeSet<&ObjectId> = ended.iter().collect();
        if !ended.is_empty() {
            self.objects.retain(|object, _| !ended.contains(object));
            self.seen.retain(|_, (object, _)| !ended.contains(object));
        }
    }

    /// Takes in what was found, and labels everything that was found before and still lives.
    pub fn label(&mut self, graph: &mut Graph, resolved: &mut Resolved) {
        self.take_in(graph, resolved);
        self.bound(resolved);
        let mut wanted: Vec<(ObjectId, BTreeSet<u32>)> = Vec::new();
        for (object, known) in &self.objects {
            let there = known.paths.iter().filter_map(|path| graph.known(path));
            let mut nodes: BTreeSet<u32> = there.collect();
            nodes.extend(known.roots.iter().filter_map(|path| graph.unmounted(path)));
            nodes.extend(resolved.objects.get(object));
            wanted.push((*object, nodes));
        }
        let classes = |graph: &Graph, nodes: &BTreeSet<u32>| -> BTreeSet<u32> {
            nodes.iter().map(|node| graph.class_of(*node)).collect()
        };
        let mut sets = BTreeSet::new();
        for (_, nodes) in &wanted {
            let set = classes(graph, nodes);
            if set.len() > 1 && !sets.contains(&set) {
                if sets.len() < COMBINED_MAX {
                    sets.insert(set);
                } else if let Some(first) = set.first() {
                    // Restricts too much rather than too little.
                    for other in &set {
                        graph.unite(*first, *other);
                    }
                }
            }
        }
        graph.close();
        graph.choose();
        for (object, nodes) in wanted {
            let set = classes(graph, &nodes);
            if !set.is_empty() {
                resolved.objects.insert(object, graph.combine(&set));
            }
        }
        graph.link_combined();
    }

    fn take_in(&mut self, graph: &Graph, resolved: &Resolved) {
        self.seen.clone_from(&resolved.seen);
        for (path, (object, _)) in &resolved.seen {
            let Some(node) = graph.known(path) else {
                continue;
            };
            let (named, root) = (graph.is_named(node), graph.is_first_mount(node));
            if !named && !root {
                continue;
            }
            let known = known(&mut self.objects, &mut self.next, *object);
            if named {
                known.paths.insert(path.clone());
            }
            if root && known.roots.len() < ROOTS_MAX {
                known.roots.insert(path.clone());
            }
        }
    }

    /// Later objects go first: whoever fills this up gains nothing for what was there before.
    fn bound(&mut self, resolved: &Resolved) {
        let here = &resolved.objects;
        let away = self
            .objects
            .iter()
            .filter(|(object, _)| !here.contains_key(object));
        let mut away: Vec<(u64, ObjectId)> =
            away.map(|(object, known)| (known.since, *object)).collect();
        away.sort_unstable();
        self.away = away.len().min(self.away_max);
        for (_, object) in away.iter().skip(self.away_max) {
            self.objects.remove(object);
            self.overflow += 1;
        }
    }

    /// Gives up what no rule names any more, after an installation.
    pub fn prune(&mut self, graph: &mut Graph) {
        self.objects.retain(|_, known| {
            known.roots.retain(|path| graph.unmounted(path).is_some());
            let named = |path: &[u8]| graph.known(path).is_some_and(|node| graph.is_named(node));
            known.paths.retain(|path| named(path));
            !known.paths.is_empty() || !known.roots.is_empty()
        });
    }

    /// Reads from an image of an earlier agent which objects were labelled for which paths. Those on devices that
    /// are mounted nowhere here are left out: nobody tells when they end, and device numbers are used again.
    pub fn recover(
        &mut self,
        tables: &Tables,
        slot: u32,
        secret: [u64; 2],
        graph: &Graph,
        mounts: &Mounts,
    ) -> Result<(), TableError> {
        let step = |node: u32, name: &[u8]| {
            let key = EdgeKey {
                name_hash: hash_name(secret, name),
                node,
                slot,
            };
            tables.edges.get(&key)
        };
        let mut names: BTreeMap<u32, BTreeSet<Vec<u8>>> = BTreeMap::new();
        let mut numbers: BTreeMap<u32, u32> = BTreeMap::from([(0, FIRST)]);
        for (node, parent, path) in graph.nodes() {
            let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            let number = match numbers.get(&parent) {
                Some(_) if name.is_empty() => Some(FIRST),
                Some(above) => step(*above, name)?,
                None => None,
            };
            if let Some(number) = number {
                numbers.insert(node, number);
                names.entry(number).or_default().insert(path.to_vec());
            }
        }
        let mounted: BTreeSet<u32> = mounts.0.iter().map(|mount| mount.dev).collect();
        for key in tables.labels.keys()? {
            let Some(label) = tables.labels.get(&key)?.filter(|_| key.slot == slot) else {
                continue;
            };
            let mut of_label = names.get(&label.node).cloned().unwrap_or_default();
            for index in 0.. {
                let Some(class) = step(label.node, &mark(index))? else {
                    break;
                };
                of_label.extend(names.get(&class).cloned().unwrap_or_default());
            }
            let object = ObjectId {
                ino: key.ino,
                dev: key.dev,
                igen: key.igen,
            };
            if !of_label.is_empty() && mounted.contains(&key.dev) {
                known(&mut self.objects, &mut self.next, object)
                    .paths
                    .extend(of_label);
            }
        }
        Ok(())
    }
}

/// Number of the root in every image: its class is the first.
const FIRST: u32 = 1;

fn known<'k>(
    objects: &'k mut BTreeMap<ObjectId, Known>,
    next: &mut u64,
    object: ObjectId,
) -> &'k mut Known {
    objects.entry(object).or_insert_with(|| {
        *next += 1;
        Known {
            since: *next,
            ..Known::default()
        }
    })
}
