//! The names of an image as a graph of directories and objects, with mount points added, in which different names
//! of one object can be made one.
//!
//! Pure. Names that turn out to be the same object (symbolic links, hard links, bind mounts) become one class, and
//! then so do their children of the same name: so the automaton stays deterministic, and an object meets the
//! rules of all its names.

use std::collections::{BTreeMap, BTreeSet};

use stayhand_agent_ebpf::abi::image::Range;
use stayhand_guardrail::image::{Image, ROOT};

use super::super::mounts::Mounts;

/// The graph. Nodes are numbered as in the image; mount points come behind.
#[derive(Debug)]
pub struct Graph {
    parents: Vec<u32>,
    paths: Vec<Vec<u8>>,
    here: Vec<Vec<Range>>,
    below: Vec<Vec<Range>>,
    mounts: BTreeMap<u32, Vec<u8>>,
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
            mounts: BTreeMap::new(),
            class: Vec::new(),
            children: Vec::new(),
            members: Vec::new(),
        };
        graph.push(0, b""); // no node
        graph.push(0, b""); // the root
        for edge in &image.edges {
            let parent = if edge.from < edge.to { edge.from } else { 0 };
            graph.push(parent, &edge.name);
        }
        for (index, node) in image.nodes.iter().enumerate() {
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
        self.paths.push(path);
        self.here.push(Vec::new());
        self.below.push(Vec::new());
        self.class.push(node);
        self.children.push(BTreeMap::new());
        self.members.push(vec![node]);
        let class = self.class_of(parent) as usize;
        if !name.is_empty()
            && let Some(children) = self.children.get_mut(class)
        {
            children.insert(name.to_vec(), node);
        }
        node
    }

    /// Gives every directory of a `/**` rule that is reached through symbolic links its real name, too, so that mounts
    /// below it are found under either. `canonical` yields the real path.
    pub fn add_real_names(&mut self, canonical: impl Fn(&[u8]) -> Option<Vec<u8>>) {
        let with_rules = self.nodes().filter(|(node, _, _)| {
            self.below
                .get(*node as usize)
                .is_some_and(|below| !below.is_empty())
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
            if let Some(node) = self.reach(&components(&mount.point), false) {
                self.mounts.insert(node, mount.kind.clone());
            }
        }
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
                            .fold(node, |parent, name| self.push(parent, name)),
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
        for member in &self.members[node as usize] {
            here.extend(self.here[*member as usize].iter().copied().map(key));
            below.extend(self.below[*member as usize].iter().copied().map(key));
            if self.mounts.contains_key(member) {
                // The walk ends at a file system's root: rules above it are met here or not at all.
                let above = self.above(*member);
                here.extend(&above);
                below.extend(&above);
            }
        }
        Class {
            node,
            here,
            below,
            children: &self.children[node as usize],
        }
    }

    /// Rules on everything below any directory above a node.
    fn above(&self, node: u32) -> BTreeSet<(u32, u32)> {
        let mut met = BTreeSet::new();
        let mut at = self.parents[node as usize];
        while at != 0 {
            for member in &self.members[self.class_of(at) as usize] {
                met.extend(self.below[*member as usize].iter().copied().map(key));
            }
            at = self.parents[at as usize];
        }
        met
    }
}

fn components(path: &[u8]) -> Vec<&[u8]> {
    path.split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty())
        .collect()
}

fn key(range: Range) -> (u32, u32) {
    (range.start, range.len)
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
    /// By name; any node of the child's class
    pub children: &'g BTreeMap<Vec<u8>, u32>,
}
