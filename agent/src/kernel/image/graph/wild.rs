//! Open components of paths: the names that they mean now become names of the graph, so that what is there is labelled
//! and judged by its own place; for names to come the automaton keeps the patterns.

use std::collections::{BTreeMap, BTreeSet};

use stayhand_guardrail::policy::{Wild, component::choices};

use super::{Graph, ROOT, components};

/// Names that patterns may add: each is looked at again and again, as the paths of rules are. Further ones are matched by
/// their name only, counted and said.
pub const EXPANDED_MAX: usize = 4_096;

/// Patterns of one directory, each with the classes that it leads to.
pub type Wilds = BTreeMap<Wild, BTreeSet<u32>>;

impl Graph {
    /// Adds every name that a pattern means: those on the way to one of `known` whatever their number, then those that
    /// `names` finds in the directory. Call it before anything is united.
    pub fn expand(
        &mut self,
        known: &BTreeSet<Vec<u8>>,
        names: &mut dyn FnMut(&[u8]) -> Vec<Vec<u8>>,
    ) {
        let mut node = ROOT;
        while (node as usize) < self.parents.len() {
            if !self.open[node as usize] && !self.wilds[node as usize].is_empty() {
                self.expand_at(node, known, names);
            }
            node += 1;
        }
    }

    fn expand_at(
        &mut self,
        node: u32,
        known: &BTreeSet<Vec<u8>>,
        names: &mut dyn FnMut(&[u8]) -> Vec<Vec<u8>>,
    ) {
        let path = self.paths[node as usize].clone();
        let below = [path.as_slice(), b"/"].concat();
        let on_the_way = known.range(below.clone()..).map_while(|known| {
            let rest = known.strip_prefix(below.as_slice())?;
            Some(
                components(rest)
                    .first()
                    .map_or_else(Vec::new, |name| name.to_vec()),
            )
        });
        let wanted: BTreeSet<Vec<u8>> = on_the_way.filter(|name| !name.is_empty()).collect();
        let place = if path.is_empty() {
            b"/"
        } else {
            path.as_slice()
        };
        let found = names(place)
            .into_iter()
            .filter(|name| !wanted.contains(name));
        let found: BTreeSet<Vec<u8>> = found.collect();
        let all = wanted.iter().map(|name| (name, true));
        for (name, wanted) in all.chain(found.iter().map(|name| (name, false))) {
            let met = self.met(node, name);
            // What a rule names has its patterns' entries already.
            if met.is_empty() || self.children[node as usize].contains_key(name) {
                continue;
            }
            if !wanted && self.expanded >= EXPANDED_MAX {
                self.expansions_left_out += 1;
                continue;
            }
            self.grow(node, name, &met);
        }
    }

    /// Patterns' nodes of a directory that mean a name.
    fn met(&self, node: u32, name: &[u8]) -> Vec<u32> {
        let wilds = self.wilds[node as usize].iter();
        wilds
            .filter(|(wild, _)| wild.matches(name))
            .map(|(_, to)| *to)
            .collect()
    }

    /// A name that is everything that these nodes are.
    fn grow(&mut self, directory: u32, name: &[u8], like: &[u32]) -> u32 {
        let node = self.push(directory, name);
        self.expanded += 1;
        self.named.insert(node);
        for like in like {
            self.graft(node, *like);
        }
        node
    }

    /// A name in a directory, under any of whose names patterns may mean it.
    pub(super) fn sprout(&mut self, directory: u32, name: &[u8]) -> u32 {
        let members = self.members[self.class_of(directory) as usize].clone();
        let met: Vec<u32> = members
            .iter()
            .flat_map(|member| self.met(*member, name))
            .collect();
        if met.is_empty() {
            return self.push(directory, name);
        }
        self.grow(directory, name, &met)
    }

    /// Entries, names and patterns of one node on another, with everything below it. As deep as a path at most.
    fn graft(&mut self, onto: u32, from: u32) {
        let (from, to) = (from as usize, onto as usize);
        for lists in [&mut self.here, &mut self.below] {
            let new = lists[from].clone();
            lists[to].extend(new);
        }
        for wild in self.wilds[from].clone() {
            if !self.wilds[to].contains(&wild) {
                self.wilds[to].push(wild);
            }
        }
        for (name, child) in self.children[from].clone() {
            let own = self.children[to].get(&name).copied();
            let own = own.unwrap_or_else(|| {
                let made = self.push(onto, &name);
                self.expanded += 1;
                self.named.insert(made);
                made
            });
            self.graft(own, child);
        }
    }

    /// Once directories under several names are one: a name that one of them has is also what the others' patterns say.
    /// Unites what follows from that, until nothing does.
    pub fn close(&mut self) {
        loop {
            let mut names: BTreeSet<(u32, Vec<u8>)> = BTreeSet::new();
            for (node, parent) in (0u32..).zip(&self.parents).skip(ROOT as usize + 1) {
                if !self.open[node as usize] {
                    names.insert((*parent, self.name(node).to_vec()));
                }
            }
            let mut missing = Vec::new();
            for (node, wilds) in (0u32..).zip(&self.wilds) {
                if wilds.is_empty() {
                    continue;
                }
                let class = self.class_of(node);
                for name in self.children[class as usize].keys() {
                    let met = self.met(node, name);
                    if !met.is_empty() && !names.contains(&(node, name.clone())) {
                        missing.push((node, name.clone(), met));
                    }
                }
            }
            if missing.is_empty() {
                return;
            }
            for (node, name, met) in missing {
                let class = self.class_of(node) as usize;
                let other = self.children[class].get(&name).copied();
                let made = self.grow(node, &name, &met);
                self.as_parents(made);
                if let Some(other) = other {
                    self.unite(other, made);
                }
            }
        }
    }

    /// Nothing at these names was looked at: they are what their directory is.
    fn as_parents(&mut self, first: u32) {
        for node in first..u32::try_from(self.parents.len()).unwrap_or(first) {
            self.as_parent(node);
        }
    }

    /// Patterns of everything that a class is.
    pub fn wilds_of(&self, class: u32) -> Wilds {
        let mut found = Wilds::new();
        for member in &self.members[class as usize] {
            for (wild, to) in &self.wilds[*member as usize] {
                let to = self.class_of(*to);
                found.entry(wild.clone()).or_default().insert(to);
            }
        }
        found
    }

    /// Has a node for every choice of patterns that a name can match. Call it when nothing is united any more.
    pub fn choose(&mut self) {
        let classes: Vec<u32> = (ROOT..)
            .take(self.parents.len().saturating_sub(1))
            .filter(|node| self.class_of(*node) == *node)
            .collect();
        for class in classes {
            for set in chosen(&self.wilds_of(class)) {
                self.combine(&set);
            }
        }
    }

    /// What the patterns of several classes lead to, one by one and together.
    pub(super) fn wild_steps(&self, set: &BTreeSet<u32>) -> Vec<BTreeSet<u32>> {
        let mut wilds = Wilds::new();
        for class in set {
            for (wild, to) in self.wilds_of(*class) {
                wilds.entry(wild).or_default().extend(to);
            }
        }
        chosen(&wilds)
    }

    /// Where the patterns of a class lead for a name that it does not have.
    pub(super) fn wild_step(&self, class: u32, name: &[u8]) -> BTreeSet<u32> {
        let wilds = self.wilds_of(class).into_iter();
        wilds
            .filter(|(wild, _)| wild.matches(name))
            .flat_map(|(_, to)| to)
            .collect()
    }
}

/// The sets of classes that patterns lead to, one by one and together.
fn chosen(wilds: &Wilds) -> Vec<BTreeSet<u32>> {
    let patterns: Vec<&Wild> = wilds.keys().collect();
    let sets: Vec<&BTreeSet<u32>> = wilds.values().collect();
    let singles = sets.iter().map(|set| (*set).clone());
    let together = choices(&patterns).into_iter().map(|choice| {
        let of_all = choice.iter().filter_map(|index| sets.get(*index));
        of_all.flat_map(|set| set.iter().copied()).collect()
    });
    singles.chain(together).collect()
}
