//! The names of an image as a graph of directories and objects, with mount points added, in which different names
//! of one object can be made one.
//!
//! Pure. Names that turn out to be the same object (symbolic links, hard links, bind mounts) become one class, and
//! then so do their children of the same name: so the automaton stays deterministic, and an object meets the
//! rules of all its names. Restricting is what every name does; a permission comes only from a name of the object's
//! own, and only if every other name of its own gives it, too (see [`Standing`]).

mod wild;

use std::collections::{BTreeMap, BTreeSet};

use stayhand_agent_ebpf::abi::image::{Entry, Range};
use stayhand_guardrail::{
    image::{Image, ROOT, Step},
    policy::Wild,
};

pub use wild::{EXPANDED_MAX, Wilds};

use super::super::mounts::Mounts;

/// Nodes that mount points below `/**` rules may add: leaves the policies three quarters of the kernel's room, and is
/// far beyond what hosts have. Further mounts are counted and said.
pub const MOUNT_NODES_MAX: usize = 16_384;

/// What a name is to the object that it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// The object's own name, with the real path that it has
    Own(Vec<u8>),
    /// A name that a link or a mount gives it: whoever can link or mount must not move permissions by that
    Alias,
}

/// What makes an entry a grant of a permission: the permission, the operations, the subjects.
pub type Grant = (u64, u32, u64);

/// The grant that an entry is, if it is one.
pub fn grant_of(entry: &Entry) -> Option<Grant> {
    (entry.permission != 0).then_some((entry.permission, entry.ops, entry.subjects))
}

/// The graph. Nodes are numbered as in the image; mount points come behind.
#[derive(Debug)]
pub struct Graph {
    parents: Vec<u32>,
    paths: Vec<Vec<u8>>,
    here: Vec<Vec<Range>>,
    below: Vec<Vec<Range>>,
    standing: Vec<Standing>,
    entries: Vec<Entry>,
    mounts: BTreeMap<u32, Vec<u8>>,
    /// Nodes of the image itself, and names that its patterns mean
    named: BTreeSet<u32>,
    /// Nodes of the image itself
    of_image: usize,
    /// By node: patterns of its children, and their nodes
    wilds: Vec<Vec<(Wild, u32)>>,
    /// By node: no one path leads there, but a pattern
    open: Vec<bool>,
    /// Nodes that patterns added
    expanded: usize,
    /// Names that found no room
    expansions_left_out: usize,
    /// Mounts that found no room
    mounts_left_out: usize,
    /// Nodes that stand for several classes at once, by those
    combined: BTreeMap<BTreeSet<u32>, u32>,
    /// Union-find: the node that stands for a class points to itself
    class: Vec<u32>,
    /// By standing node
    children: Vec<BTreeMap<Vec<u8>, u32>>,
    /// By standing node
    members: Vec<Vec<u32>>,
}

impl Graph {
    /// The names of an image.
    pub fn new(image: &Image) -> Self {
        let mut graph = Self {
            parents: Vec::new(),
            paths: Vec::new(),
            here: Vec::new(),
            below: Vec::new(),
            standing: Vec::new(),
            entries: image.entries.clone(),
            mounts: BTreeMap::new(),
            named: BTreeSet::new(),
            of_image: 0,
            wilds: Vec::new(),
            open: Vec::new(),
            expanded: 0,
            expansions_left_out: 0,
            mounts_left_out: 0,
            combined: BTreeMap::new(),
            class: Vec::new(),
            children: Vec::new(),
            members: Vec::new(),
        };
        graph.push(0, b""); // no node
        graph.push(0, b""); // the root
        for edge in &image.edges {
            let parent = if edge.from < edge.to { edge.from } else { 0 };
            match &edge.step {
                Step::Name(name) => drop(graph.push(parent, name)),
                Step::Wild(wild) => graph.push_open(parent, wild),
                // Made anew, for the classes that there will be.
                Step::And(_) => drop(graph.push(0, b"")),
            }
        }
        graph.of_image = graph.parents.len();
        graph.named.extend((0u32..).take(graph.of_image));
        let of_one = |index: &usize| {
            let step = index
                .checked_sub(ROOT as usize + 1)
                .and_then(|at| image.edges.get(at));
            !step.is_some_and(|edge| matches!(edge.step, Step::And(_)))
        };
        for (index, node) in image
            .nodes
            .iter()
            .enumerate()
            .filter(|(index, _)| of_one(index))
        {
            let ranges = |range: Range| {
                if range.len == 0 {
                    Vec::new()
                } else {
                    vec![range]
                }
            };
            if let (Some(here), Some(below)) =
                (graph.here.get_mut(index), graph.below.get_mut(index))
            {
                (*here, *below) = (ranges(node.here), ranges(node.below));
            }
        }
        graph
    }

    fn push(&mut self, parent: u32, name: &[u8]) -> u32 {
        let node = u32::try_from(self.parents.len()).unwrap_or(u32::MAX);
        let above = self.paths.get(parent as usize).cloned().unwrap_or_default();
        let path = if name.is_empty() {
            Vec::new()
        } else {
            [above.as_slice(), b"/", name].concat()
        };
        self.parents.push(parent);
        self.standing.push(Standing::Own(path.clone()));
        self.paths.push(path);
        self.here.push(Vec::new());
        self.below.push(Vec::new());
        self.class.push(node);
        self.children.push(BTreeMap::new());
        self.members.push(vec![node]);
        self.wilds.push(Vec::new());
        self.open
            .push(parent != 0 && self.open.get(parent as usize).copied().unwrap_or(false));
        let class = self.class_of(parent) as usize;
        if !name.is_empty()
            && let Some(children) = self.children.get_mut(class)
        {
            children.insert(name.to_vec(), node);
        }
        node
    }

    /// A node behind a pattern. All of one directory's have one path in common, by which grants are told apart: what
    /// they mean is at one place.
    fn push_open(&mut self, parent: u32, wild: &Wild) {
        let node = self.push(parent, b"*");
        let class = self.class_of(parent) as usize;
        if let Some(children) = self.children.get_mut(class) {
            children.remove(b"*".as_slice());
        }
        if let Some(open) = self.open.get_mut(node as usize) {
            *open = true;
        }
        if let Some(wilds) = self.wilds.get_mut(parent as usize) {
            wilds.push((wild.clone(), node));
        }
    }

    /// Whether no one path leads to a node, but a pattern.
    pub fn is_open(&self, node: u32) -> bool {
        self.open.get(node as usize).copied().unwrap_or(false)
    }

    /// Names of patterns for which there was no room.
    pub fn expansions_left_out(&self) -> usize {
        self.expansions_left_out
    }

    fn name(&self, node: u32) -> &[u8] {
        let path = self
            .paths
            .get(node as usize)
            .map_or(b"".as_slice(), Vec::as_slice);
        path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
    }

    /// Gives every directory of a `/**` rule that is reached through symbolic links its real name, too, so that mounts
    /// below it are found under either. `canonical` yields the real path.
    pub fn add_real_names(&mut self, canonical: impl Fn(&[u8]) -> Option<Vec<u8>>) {
        let with_rules = self.nodes().filter(|(node, _, _)| {
            let below = self.below.get(*node as usize);
            below.is_some_and(|below| !below.is_empty()) && !self.is_open(*node)
        });
        let directories: Vec<(u32, Vec<u8>)> = with_rules
            .map(|(node, _, path)| (node, path.to_vec()))
            .collect();
        for (node, path) in directories {
            if let Some(real) = canonical(&path).filter(|real| *real != path)
                && let Some(same) = self.reach(&components(&real), true)
            {
                self.unite(node, same);
            }
        }
    }

    /// Adds every mount point that lies below a `/**` rule, and notes which nodes are mount points.
    pub fn add_mounts(&mut self, mounts: &Mounts) {
        self.mounts.insert(ROOT, Vec::new());
        for mount in &mounts.0 {
            if let Some(node) = self.reach_mount(&mount.point) {
                self.mounts.insert(node, mount.kind.clone());
            }
        }
    }

    fn reach_mount(&mut self, path: &[u8]) -> Option<u32> {
        let names = components(path);
        let most = self
            .of_image
            .saturating_add(self.expanded + MOUNT_NODES_MAX);
        let known = self.known(path);
        if known.is_some() || self.parents.len().saturating_add(names.len()) <= most {
            return known.or_else(|| self.reach(&names, false));
        }
        self.mounts_left_out += usize::from(self.is_covered(&names));
        None
    }

    /// Mounts below a `/**` rule for which there was no room.
    pub fn mounts_left_out(&self) -> usize {
        self.mounts_left_out
    }

    /// The node of the root of a file system that was mounted at a path when it was labelled, and is not there any
    /// more: what is mounted elsewhere still meets the rules above that path. None if there is no such rule now.
    pub fn unmounted(&mut self, path: &[u8]) -> Option<u32> {
        let known = self.known(path);
        let node = known.or_else(|| self.reach_mount(path))?;
        if known.is_none() {
            self.alias(node);
        }
        self.mounts.entry(node).or_default();
        Some(node)
    }

    /// Whether a node is a path of a rule or above one, and not only the way to a mount.
    pub fn is_named(&self, node: u32) -> bool {
        self.named.contains(&node)
    }

    /// Whether a node is where a file system is mounted first.
    pub fn is_first_mount(&self, node: u32) -> bool {
        let own = matches!(self.standing.get(node as usize), Some(Standing::Own(_)));
        own && self.mounts.contains_key(&node)
    }

    /// The node of a path, if it has one.
    pub fn known(&self, path: &[u8]) -> Option<u32> {
        components(path).into_iter().try_fold(ROOT, |node, name| {
            let class = self.class_of(node) as usize;
            self.children.get(class)?.get(name).copied()
        })
    }

    fn is_covered(&self, names: &[&[u8]]) -> bool {
        let mut node = Some(ROOT);
        names.iter().any(|name| {
            let Some(at) = node else { return false };
            let class = self.class_of(at) as usize;
            let members = self.members.get(class).into_iter().flatten();
            let covered = members
                .into_iter()
                .any(|member| !self.below[*member as usize].is_empty());
            node = self
                .children
                .get(class)
                .and_then(|all| all.get(*name))
                .copied();
            covered
        })
    }

    /// The name is the object's own, which is really at `real`.
    pub fn own(&mut self, node: u32, real: Vec<u8>) {
        self.standing[node as usize] = Standing::Own(real);
    }

    /// The name leads to the object through a link or a mount.
    pub fn alias(&mut self, node: u32) {
        self.standing[node as usize] = Standing::Alias;
    }

    /// What is not there is what its directory is: a name below an alias will be one.
    pub fn as_parent(&mut self, node: u32) {
        let parent = self.parents[node as usize] as usize;
        let path = &self.paths[node as usize];
        let name = path.get(self.paths[parent].len()..).unwrap_or_default();
        let standing = match &self.standing[parent] {
            Standing::Own(real) => Standing::Own([real.as_slice(), name].concat()),
            Standing::Alias => Standing::Alias,
        };
        self.standing[node as usize] = standing;
    }

    /// Whether a node has permissions that it does not give, because it is no name of the object's own.
    pub fn withholds(&self, node: u32) -> bool {
        let lists = [&self.here[node as usize], &self.below[node as usize]];
        self.standing[node as usize] == Standing::Alias
            && lists
                .into_iter()
                .flatten()
                .any(|range| self.of_range(*range).any(|entry| entry.permission != 0))
    }

    fn of_range(&self, range: Range) -> impl Iterator<Item = &Entry> {
        let (start, len) = (range.start as usize, range.len as usize);
        let entries = self.entries.get(start..start.saturating_add(len));
        entries.unwrap_or_default().iter()
    }

    /// A node that is several classes at once, for an object that has been more than one name's: it meets the
    /// rules of all of them, and whatever takes one of the names meets only that one's. Call it when nothing is
    /// united any more.
    pub fn combine(&mut self, classes: &BTreeSet<u32>) -> u32 {
        let mut asked = vec![classes.clone()];
        while let Some(set) = asked.pop() {
            if set.len() == 1 || self.combined.contains_key(&set) {
                continue;
            }
            let node = self.push(0, b"");
            self.combined.insert(set.clone(), node);
            let of_all = set
                .iter()
                .flat_map(|class| self.members[*class as usize].iter());
            self.members[node as usize] = of_all.copied().collect();
            asked.extend(self.steps(&set).into_values());
            asked.extend(self.wild_steps(&set));
        }
        self.standing_for(classes)
    }

    /// Links the combined nodes with each other, once there are no more of them.
    pub fn link_combined(&mut self) {
        for (set, node) in self.combined.clone() {
            let steps = self.steps(&set).into_iter();
            let mut children: BTreeMap<Vec<u8>, u32> = steps
                .map(|(name, to)| (name, self.standing_for(&to)))
                .collect();
            let marks = set.iter().enumerate();
            children.extend(marks.map(|(index, class)| (mark(index), *class)));
            self.children[node as usize] = children;
        }
    }

    /// Where each name leads to from several classes.
    fn steps(&self, set: &BTreeSet<u32>) -> BTreeMap<Vec<u8>, BTreeSet<u32>> {
        let mut steps: BTreeMap<Vec<u8>, BTreeSet<u32>> = BTreeMap::new();
        for (name, child) in set.iter().flat_map(|class| &self.children[*class as usize]) {
            let child = self.class_of(*child);
            steps.entry(name.clone()).or_default().insert(child);
        }
        for (name, to) in &mut steps {
            let without = set
                .iter()
                .filter(|class| !self.children[**class as usize].contains_key(name));
            let open: Vec<u32> = without
                .flat_map(|class| self.wild_step(*class, name))
                .collect();
            to.extend(open);
        }
        steps
    }

    /// The node that is all of these classes.
    pub fn standing_for(&self, set: &BTreeSet<u32>) -> u32 {
        let single = || set.first().copied().unwrap_or(0);
        self.combined.get(set).copied().unwrap_or_else(single)
    }

    /// Nodes that stand for a node's class and for others at once.
    pub fn combined_with(&self, node: u32) -> impl Iterator<Item = u32> {
        let class = self.class_of(node);
        let sets = self.combined.iter();
        sets.filter(move |(set, _)| set.contains(&class))
            .map(|(_, combined)| *combined)
    }

    /// Whether the object has this name for its own, and no other one that is known.
    pub fn is_only_name(&self, node: u32) -> bool {
        let real = |node: u32| match self.standing.get(node as usize) {
            Some(Standing::Own(real)) => Some(real),
            _ => None,
        };
        let own = real(node);
        let members = self.members.get(self.class_of(node) as usize);
        own.is_some()
            && members
                .into_iter()
                .flatten()
                .all(|member| real(*member).is_none_or(|other| Some(other) == own))
    }

    /// The node of a path. One that no rule names is made if `make`, or if a rule above means everything below.
    fn reach(&mut self, names: &[&[u8]], make: bool) -> Option<u32> {
        let (mut node, mut covered) = (ROOT, make);
        for (depth, name) in names.iter().enumerate() {
            let class = self.class_of(node) as usize;
            covered |= self
                .members
                .get(class)?
                .iter()
                .any(|member| !self.below[*member as usize].is_empty());
            match self.children.get(class)?.get(*name) {
                Some(child) => node = *child,
                None if covered => {
                    let rest = names.get(depth..)?;
                    return Some(
                        rest.iter()
                            .fold(node, |parent, name| self.sprout(parent, name)),
                    );
                }
                None => return None,
            }
        }
        Some(node)
    }

    /// Every node with its parent and path, parents first.
    pub fn nodes(&self) -> impl Iterator<Item = (u32, u32, &[u8])> {
        let numbered = (0u32..)
            .zip(self.parents.iter().zip(&self.paths))
            .skip(ROOT as usize);
        numbered.map(|(node, (parent, path))| {
            (
                node,
                *parent,
                if path.is_empty() {
                    b"/"
                } else {
                    path.as_slice()
                },
            )
        })
    }

    /// Type of the file system that is mounted on a node, if one is.
    pub fn mounted(&self, node: u32) -> Option<&[u8]> {
        self.mounts.get(&node).map(Vec::as_slice)
    }

    /// The node that stands for a node's class.
    pub fn class_of(&self, mut node: u32) -> u32 {
        // Ends: a pointer always leads to an earlier union's standing node.
        while let Some(next) = self.class.get(node as usize).filter(|next| **next != node) {
            node = *next;
        }
        node
    }

    /// Makes two names of one object one, and their children of the same name with them.
    pub fn unite(&mut self, a: u32, b: u32) {
        let mut pairs = vec![(a, b)];
        while let Some((a, b)) = pairs.pop() {
            let (a, b) = (self.class_of(a), self.class_of(b));
            if a == b {
                continue;
            }
            // The earlier one stands: the root stays the root.
            let (stands, joins) = (a.min(b), a.max(b));
            let joining = std::mem::take(&mut self.children[joins as usize]);
            let members = std::mem::take(&mut self.members[joins as usize]);
            self.class[joins as usize] = stands;
            self.members[stands as usize].extend(members);
            for (name, child) in joining {
                if let Some(own) = self.children[stands as usize].get(&name) {
                    pairs.push((*own, child));
                } else {
                    self.children[stands as usize].insert(name, child);
                }
            }
        }
    }

    /// Every class by its standing node: rules on the object, rules below it, children.
    pub fn classes(&self) -> Vec<Class<'_>> {
        let standing = (ROOT..)
            .take(self.parents.len().saturating_sub(1))
            .filter(|node| self.class_of(*node) == *node);
        standing.map(|node| self.describe(node)).collect()
    }

    fn describe(&self, node: u32) -> Class<'_> {
        let (mut here, mut below) = (BTreeSet::new(), BTreeSet::new());
        let (mut grants_here, mut grants_below) = (Grants::default(), Grants::default());
        for member in &self.members[node as usize] {
            let own = (&self.here[*member as usize], &self.below[*member as usize]);
            here.extend(own.0.iter().copied().map(key));
            below.extend(own.1.iter().copied().map(key));
            let real = match &self.standing[*member as usize] {
                Standing::Own(real) => Some(real),
                Standing::Alias => None,
            };
            if let Some(real) = real {
                grants_here.add(real, self.grants(own.0));
                grants_below.add(real, self.grants(own.1));
            }
            if self.mounts.contains_key(member) {
                // The walk ends at a file system's root: rules above it are met here or not at all.
                let (above, grants) = self.above(*member);
                here.extend(&above);
                below.extend(&above);
                if let Some(real) = real {
                    grants_here.add(real, grants.iter().copied());
                    grants_below.add(real, grants.iter().copied());
                }
            }
        }
        Class {
            node,
            here,
            below,
            grants_here: grants_here.of_all(),
            grants_below: grants_below.of_all(),
            children: &self.children[node as usize],
            wilds: self.wilds_of(node),
        }
    }

    fn grants<'g>(&'g self, ranges: &'g [Range]) -> impl Iterator<Item = Grant> + 'g {
        let entries = ranges.iter().flat_map(|range| self.of_range(*range));
        entries.filter_map(grant_of)
    }

    /// Rules on everything below any directory above a node, and the grants that are given there.
    fn above(&self, node: u32) -> (BTreeSet<(u32, u32)>, BTreeSet<Grant>) {
        let (mut met, mut given) = (BTreeSet::new(), BTreeSet::new());
        let mut at = self.parents[node as usize];
        while at != 0 {
            let mut grants = Grants::default();
            for member in &self.members[self.class_of(at) as usize] {
                let below = &self.below[*member as usize];
                met.extend(below.iter().copied().map(key));
                if let Standing::Own(real) = &self.standing[*member as usize] {
                    grants.add(real, self.grants(below));
                }
            }
            given.extend(grants.of_all());
            at = self.parents[at as usize];
        }
        (met, given)
    }
}

/// Grants by the real path of the name that gives them.
#[derive(Default)]
struct Grants<'g>(BTreeMap<&'g [u8], BTreeSet<Grant>>);

impl<'g> Grants<'g> {
    fn add(&mut self, real: &'g [u8], grants: impl IntoIterator<Item = Grant>) {
        self.0.entry(real).or_default().extend(grants);
    }

    /// What every one of them gives: an object under two names (hard links, or one that was moved from one to the
    /// other) is restricted by both, so neither alone opens it.
    fn of_all(self) -> BTreeSet<Grant> {
        let all = self.0.into_values();
        all.reduce(|common, other| common.intersection(&other).copied().collect())
            .unwrap_or_default()
    }
}

/// The step from a combined node to one of its classes. No component has a `/`, so the kernel never takes it; an
/// agent that comes later reads from it what the node stands for.
pub fn mark(index: usize) -> Vec<u8> {
    format!("/{index}").into_bytes()
}

fn components(path: &[u8]) -> Vec<&[u8]> {
    path.split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty())
        .collect()
}

fn key(range: Range) -> (u32, u32) {
    (range.start, u32::from(range.len))
}

/// One object, under all its names.
#[derive(Debug)]
pub struct Class<'g> {
    /// The node that stands for it
    pub node: u32,
    /// Entry ranges (start, length) on itself
    pub here: BTreeSet<(u32, u32)>,
    /// Entry ranges on everything below it
    pub below: BTreeSet<(u32, u32)>,
    /// Those of its grants that count on itself
    pub grants_here: BTreeSet<Grant>,
    /// Those of its grants that count below it
    pub grants_below: BTreeSet<Grant>,
    /// By name; any node of the child's class
    pub children: &'g BTreeMap<Vec<u8>, u32>,
    /// By pattern
    pub wilds: Wilds,
}
