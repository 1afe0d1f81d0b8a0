//! The compiled image: what the agent turns into map rows, and what the evaluator without a kernel reads.

pub mod args;
pub mod automaton;
pub mod eval;
pub mod leases;
pub(crate) mod nets;
pub mod schedules;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod trie;

use std::collections::BTreeMap;

use stayhand_agent_ebpf::abi::{
    image::{EDGES_MAX, Entry, LABELS_MAX, NAMES_MAX, NODES_PER_SLOT, Node, Range, range_flag},
    net::NETS_MAX,
    rate::Rate,
};

use crate::{
    id::{GroupName, PolicyName, Revision, RuleId, UserName},
    key::{PermissionKey, PermissionRef, RuleKey},
    policy::{
        NamePattern, Subjects, When, Wild, compile::CompileError, compile::too_large as exceeds,
    },
    reason::Effect,
    sensitivity::Sensitivity,
    time::DurationMs,
};

/// Node of the file system's root; always there.
pub const ROOT: u32 = stayhand_agent_ebpf::abi::image::ROOT_NODE;

/// Everything that the kernel looks up, but for slot, secret and object identities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// By node index; index 0 is no node, index 1 is the root
    pub nodes: Vec<Node>,
    /// Steps of the path automaton; exactly one leads to every node but the root, in the order of the nodes
    pub edges: Vec<Edge>,
    /// Entries, to which the ranges of nodes and address ranges point
    pub entries: Vec<Entry>,
    /// Address ranges, each with every entry of the ranges that cover it
    pub nets: Vec<NetRange>,
    /// Names of unix sockets that have no file, likewise
    pub names: Vec<(NamePattern, Range)>,
    /// Conditions on arguments and processes
    pub arguments: args::Arguments,
    /// When entries count that do not always, see `abi::image::Entry::schedule`: the first one is 1
    pub schedules: Vec<When>,
    /// Rates of rules of effect throttle, in the order of the rules; see `abi::image::Entry::rate`
    pub rates: Vec<Rate>,
    /// Entries that have no object, see `abi::image::SYSTEM_NODE`
    pub system: Range,
    /// By bit in `Entry::subjects`
    pub subject_sets: Vec<SubjectSet>,
    /// What a rule's key means
    pub rules: BTreeMap<RuleKey, RuleInfo>,
    /// What a permission's key means
    pub permissions: BTreeMap<PermissionKey, PermissionRef>,
}

/// One step of the path automaton.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Node of the directory
    pub from: u32,
    /// Which name leads there
    pub step: Step,
    /// Node of the object
    pub to: u32,
}

/// What leads from one node to another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// This component; the kernel knows its hash under the boot secret
    Name(Vec<u8>),
    /// A component that no other edge names and this pattern matches
    Wild(Wild),
    /// From the node of fewer patterns: the component matches the one of this other node, too
    And(u32),
}

impl Default for Step {
    fn default() -> Self {
        Self::Name(Vec::new())
    }
}

/// One address range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetRange {
    /// Kind of address, see `abi::net::net_space`
    pub kind: u32,
    /// Mapped IPv6 address, network order; of a virtual socket its number and its port
    pub addr: [u8; 16],
    /// Length of the prefix
    pub bits: u32,
    /// Its entries
    pub range: Range,
}

/// Whom one policy guards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectSet {
    /// The policy
    pub policy: PolicyName,
    /// By name
    pub users: Vec<UserName>,
    /// By name, also where nobody has logged in
    pub services: Vec<UserName>,
    /// By group
    pub groups: Vec<GroupName>,
}

/// What a rule's key means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleInfo {
    /// Its policy
    pub policy: PolicyName,
    /// Version of the policy
    pub revision: Revision,
    /// Its id
    pub rule: RuleId,
    /// What it demands
    pub effect: Effect,
    /// What the guarded person is told
    pub message: Option<String>,
    /// The permission that it names
    pub permission: Option<PermissionRef>,
    /// How long a hold waits
    pub timeout: DurationMs,
    /// Who may let a held action go on, in words; none where every operator may
    pub approval: Option<String>,
    /// How much depends on what it is about; no row of the kernel's has it
    pub sensitivity: Option<Sensitivity>,
    /// Of a throttle: how often
    pub rate: Option<crate::policy::Rate>,
    /// Whether its policy only records
    pub monitor: bool,
    /// When it counts; always if it says nothing
    pub when: Option<When>,
}

impl RuleInfo {
    /// What the guarded person is told: the policy's message, who may approve, how often the rule lets through what it
    /// counts, and when it counts if it does not always.
    pub fn told(&self) -> Option<String> {
        let rate = self
            .rate
            .map(|rate| format!("this rule lets through {rate}"));
        let when = self.when.as_ref();
        let when = when.map(|when| format!("this rule counts {when}"));
        let approval = self.approval.as_ref();
        let approval = approval.map(|plan| format!("who may approve: {plan}"));
        let each = [self.message.clone(), approval, rate, when];
        let each = each.into_iter().flatten();
        let all: Vec<String> = each.collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// `policy/rule`.
    pub fn shown(&self) -> String {
        format!("{}/{}", self.policy, self.rule)
    }
}

impl Image {
    /// Every path whose object is labelled with a node: each path of a rule and each directory above it, from
    /// the root down, as far as there are names. An object that does not exist has no label, and its name decides.
    pub fn labels(&self) -> impl Iterator<Item = (Vec<u8>, u32)> {
        let mut paths: Vec<Option<Vec<u8>>> = vec![None, Some(Vec::new())];
        for edge in &self.edges {
            let above = paths.get(edge.from as usize).cloned().flatten();
            paths.push(match (above, &edge.step) {
                (Some(above), Step::Name(name)) => Some([above.as_slice(), b"/", name].concat()),
                _ => None,
            });
        }
        let numbered = (0u32..).zip(paths);
        numbered.filter_map(|(node, path)| {
            let path = path?;
            Some((if path.is_empty() { b"/".to_vec() } else { path }, node))
        })
    }

    /// The node that names lead to from the root, 0 for none: what an object at this path is labelled with, if it is
    /// there.
    pub fn node_at<'n>(&self, names: impl IntoIterator<Item = &'n [u8]>) -> u32 {
        names.into_iter().fold(ROOT, |node, name| {
            let literal = self.follow(node, &Step::Name(name.to_vec()));
            if literal == 0 {
                self.wild_from(node, name)
            } else {
                literal
            }
        })
    }

    pub(crate) fn follow(&self, node: u32, step: &Step) -> u32 {
        let mut edges = self.edges.iter();
        edges
            .find(|edge| edge.from == node && edge.step == *step)
            .map_or(0, |edge| edge.to)
    }

    /// Where a name leads that no edge has, by the patterns that it matches.
    pub(crate) fn wild_from(&self, node: u32, name: &[u8]) -> u32 {
        let mut wilds: Vec<(&Wild, u32)> = self
            .edges
            .iter()
            .filter_map(|edge| match &edge.step {
                Step::Wild(wild) if edge.from == node && wild.matches(name) => {
                    Some((wild, edge.to))
                }
                _ => None,
            })
            .collect();
        wilds.sort();
        let singles = wilds.into_iter().map(|(_, to)| to);
        singles
            .reduce(|found, to| self.follow(found, &Step::And(to)))
            .unwrap_or(0)
    }

    /// Subject sets of a user, as bits of `Subject::sets`; 0 = no policy guards this user.
    pub fn subject_sets_of(&self, user: &UserName, groups: &[GroupName]) -> u64 {
        let bits = self.subject_sets.iter().enumerate().map(|(bit, set)| {
            let subjects = Subjects {
                users: set.users.clone(),
                services: set.services.clone(),
                groups: set.groups.clone(),
            };
            u64::from(subjects.include(user, groups)) << bit
        });
        bits.fold(0, |sets, bit| sets | bit)
    }

    /// What a kernel record's rule means.
    pub fn rule(&self, raw: u64) -> Option<&RuleInfo> {
        self.rules.get(&RuleKey::from_raw(raw)?)
    }

    /// What a kernel record's permission means.
    pub fn permission(&self, raw: u64) -> Option<&PermissionRef> {
        self.permissions.get(&PermissionKey::from_raw(raw)?)
    }

    /// The entries of a range; nothing if it does not lie in the image.
    pub fn entries(&self, range: Range) -> &[Entry] {
        let start = range.start as usize;
        self.entries
            .get(start..start.saturating_add(range.len as usize))
            .unwrap_or(&[])
    }
}

/// Maps that both slots share have to hold two images.
const SLOTS: usize = 2;

pub(crate) fn too_large(
    nodes: &[Node],
    edges: &[Edge],
    nets: &[NetRange],
    names: usize,
) -> Vec<CompileError> {
    let found = [
        exceeds(nodes.len(), "path nodes", NODES_PER_SLOT as usize),
        exceeds(nodes.len(), "labelled objects", LABELS_MAX as usize / SLOTS),
        exceeds(edges.len(), "path components", EDGES_MAX as usize / SLOTS),
        exceeds(nets.len(), "address ranges", NETS_MAX as usize / SLOTS),
        exceeds(names, "names of sockets", NAMES_MAX as usize / SLOTS),
    ];
    found.into_iter().flatten().collect()
}

/// Appends entries and says where they are. The caller checks the total against the kernel's bound.
pub(crate) fn append(entries: &mut Vec<Entry>, list: &[Entry]) -> Range {
    let start = u32::try_from(entries.len()).unwrap_or(u32::MAX);
    entries.extend_from_slice(list);
    range(start, list)
}

/// The range of these entries from `start` on.
pub fn range(start: u32, list: &[Entry]) -> Range {
    let len = u16::try_from(list.len()).unwrap_or(u16::MAX);
    let flags = if list.iter().any(|entry| entry.args_len != 0) {
        range_flag::CONDITIONS
    } else {
        0
    };
    if len == 0 {
        Range::default()
    } else {
        Range { start, len, flags }
    }
}

/// Names some rules of a list of entries for an error.
pub(crate) fn some_rules(entries: &[Entry], name: &dyn Fn(u64) -> String) -> String {
    /// Enough to find the place.
    const SHOWN: usize = 5;
    let mut names: Vec<String> = entries.iter().map(|entry| name(entry.rule)).collect();
    names.sort();
    names.dedup();
    let more = if names.len() > SHOWN { ", …" } else { "" };
    names.truncate(SHOWN);
    format!("{}{more}", names.join(", "))
}
