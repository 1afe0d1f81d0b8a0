//! Every row of one slot, in memory: what is written, and what is read back to be compared with it.
//!
//! Pure.

use std::{
    collections::{BTreeMap, hash_map::DefaultHasher},
    hash::{Hash as _, Hasher as _},
};

use stayhand_agent_ebpf::{
    abi::{
        code::{decode_effect, effect},
        image::{
            ARG_PATTERN_BYTES, ARG_SPACE_BITS, ArgKey, ArgStep, EdgeKey, Entry, LEASES_PER_ROW,
            Label, LabelBits, LabelKey, Lease, LeaseKey, LeaseRow, NAME_LEN_AT, Node, Range,
            SERVICE_ROW, Subject, SubjectKey, arg_space, entry_flag,
        },
        net::{NET_INTERNET, NET_SPACE_BITS, NetBits, NetKey, net_space},
        rate::Rate,
        schedule::Schedule,
    },
    path::{and_hash, wild_hash},
    siphash::hash_name,
};

use stayhand_guardrail::{
    image::{Step, args::Arguments, automaton::shape, schedules::Wall},
    policy::NamePattern,
};

use super::{
    super::table::{ArgPrefix, NetPrefix},
    Desired,
    automaton::Automaton,
};

/// The rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// By index
    pub nodes: Vec<Node>,
    /// By index
    pub entries: Vec<Entry>,
    /// Labelled objects
    pub labels: BTreeMap<LabelKey, Label>,
    /// Which objects may have one
    pub label_bits: Box<LabelBits>,
    /// Steps
    pub edges: BTreeMap<EdgeKey, u32>,
    /// Subjects
    pub subjects: BTreeMap<SubjectKey, Subject>,
    /// Leases
    pub leases: BTreeMap<LeaseKey, LeaseRow>,
    /// Address ranges
    pub nets: BTreeMap<NetPrefix, Range>,
    /// Which addresses may be in one; written as those that are in none
    pub net_bits: Box<NetBits>,
    /// Names of unix sockets that have no file
    pub names: BTreeMap<ArgPrefix, Range>,
    /// Numbers of argument patterns
    pub args: BTreeMap<ArgPrefix, u32>,
    /// By index
    pub arg_steps: Vec<ArgStep>,
    /// By index
    pub schedules: Vec<Schedule>,
    /// By index
    pub rates: Vec<Rate>,
}

impl Rows {
    /// Rows of `desired` in a slot. `None` if two names have one hash under this secret, which nobody can make
    /// happen who does not know it.
    pub fn build(
        desired: &Desired,
        automaton: &Automaton,
        slot: u32,
        secret: [u64; 2],
        wall: &Wall,
    ) -> Option<Self> {
        let mut edges = BTreeMap::new();
        for ((node, step), child) in &automaton.edges {
            let key = EdgeKey {
                name_hash: step_hash(secret, step),
                node: *node,
                slot,
            };
            if edges.insert(key, *child).is_some() {
                return None;
            }
        }
        let labels = labels(automaton, slot);
        let mut label_bits = Box::<LabelBits>::default();
        for key in labels.keys() {
            label_bits.set(key);
        }
        Some(Self {
            nodes: automaton.nodes.clone(),
            entries: automaton.entries.clone(),
            labels,
            label_bits,
            edges,
            subjects: subjects(desired, &automaton.entries, slot),
            leases: leases(desired, slot),
            nets: nets(desired, slot),
            net_bits: net_bits(desired),
            names: names(desired, slot),
            args: args(&desired.image.arguments, slot),
            arg_steps: automaton.steps.clone(),
            schedules: wall.rows(&desired.image.schedules),
            rates: desired.image.rates.clone(),
        })
    }

    /// The operations that no subject has an entry on, see `ACTIVE_UNRULED`.
    pub fn unruled(&self) -> u64 {
        let ruled = self.subjects.values().fold(0, |all, one| all | one.ops);
        u64::from(!ruled)
    }

    /// A short mark by which two sets of rows are told apart in reports. No proof: the comparison is.
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        format!("{self:?}").hash(&mut hasher);
        hasher.finish()
    }

    /// The first kind of rows that differs.
    pub fn difference(&self, other: &Self) -> Option<&'static str> {
        let equal = [
            (self.nodes == other.nodes, "NODES"),
            (self.entries == other.entries, "ENTRIES"),
            (self.labels == other.labels, "LABELS"),
            (self.label_bits == other.label_bits, "LABEL_BITS"),
            (self.edges == other.edges, "EDGES"),
            (self.subjects == other.subjects, "SUBJECTS"),
            (self.leases == other.leases, "LEASES"),
            (self.nets == other.nets, "NETS"),
            (self.names == other.names, "NAMES"),
            (self.args == other.args, "ARGS"),
            (self.arg_steps == other.arg_steps, "ARG_STEPS"),
            (self.schedules == other.schedules, "SCHEDULES"),
            (self.rates == other.rates, "RATES"),
        ];
        equal
            .into_iter()
            .find(|(equal, _)| !equal)
            .map(|(_, map)| map)
    }
}

/// What a step is looked up by.
pub fn step_hash(secret: [u64; 2], step: &Step) -> u64 {
    match step {
        Step::Name(name) => hash_name(secret, name),
        Step::Wild(wild) => {
            let (start, end) = (
                hash_name(secret, wild.prefix()),
                hash_name(secret, wild.suffix()),
            );
            wild_hash(start, end, shape(wild))
        }
        Step::And(other) => and_hash(*other),
    }
}

/// Labels of the objects.
fn labels(automaton: &Automaton, slot: u32) -> BTreeMap<LabelKey, Label> {
    let label = |node: u32| Label { node, pad: 0 };
    automaton
        .labels
        .iter()
        .map(|(object, node)| (object.label_key(slot), label(*node)))
        .collect()
}

/// Subjects, with the operations that their entries name.
fn subjects(desired: &Desired, entries: &[Entry], slot: u32) -> BTreeMap<SubjectKey, Subject> {
    let guarded = desired.subjects.iter().filter(|(_, sets)| **sets != 0);
    let row = |sets: u64| {
        let own = || {
            entries
                .iter()
                .filter(move |entry| entry.subjects & sets != 0)
        };
        Subject {
            sets,
            ops: own().fold(0, |ops, entry| ops | entry.ops),
            restricted_ops: own()
                .filter(|entry| restricts(entry))
                .fold(0, |ops, entry| ops | entry.ops),
        }
    };
    // Few different sets, many subjects.
    let mut known: BTreeMap<u64, Subject> = BTreeMap::new();
    guarded
        .flat_map(|(auid, sets)| {
            let said = *known.entry(*sets).or_insert_with(|| row(*sets));
            let service = desired.services.contains(auid).then_some(SERVICE_ROW);
            let slots = [Some(0), service].into_iter().flatten();
            slots.map(move |kind| {
                let key = SubjectKey {
                    auid: *auid,
                    slot: slot | kind,
                };
                (key, said)
            })
        })
        .collect()
}

fn restricts(entry: &Entry) -> bool {
    let restricting = matches!(
        decode_effect(entry.effect),
        effect::DENY
            | effect::REQUIRE_GRANT
            | effect::HOLD
            | effect::THROTTLE
            | effect::DEFAULT_DENY
            | effect::DEFAULT_HOLD
    );
    restricting && entry.flags & entry_flag::MONITOR == 0
}

/// Leases by subject and permission; of more than fit, those that end last.
pub fn leases(desired: &Desired, slot: u32) -> BTreeMap<LeaseKey, LeaseRow> {
    let mut found: BTreeMap<LeaseKey, Vec<Lease>> = BTreeMap::new();
    for lease in &desired.leases {
        let key = LeaseKey {
            permission: lease.permission.get(),
            auid: lease.auid,
            slot,
        };
        found.entry(key).or_default().push(Lease {
            boot_deadline_ns: lease.deadlines.boot_ns,
            tai_deadline_ns: lease.deadlines.tai_ns,
            grant: lease.grant.halves(),
        });
    }
    let row = |mut list: Vec<Lease>| {
        list.sort_by_key(|lease| {
            std::cmp::Reverse((lease.boot_deadline_ns, lease.tai_deadline_ns, lease.grant))
        });
        let mut row = LeaseRow::default();
        for (place, lease) in row
            .leases
            .iter_mut()
            .zip(list.into_iter().take(LEASES_PER_ROW))
        {
            *place = lease;
        }
        row
    };
    found
        .into_iter()
        .map(|(key, list)| (key, row(list)))
        .collect()
}

/// Address ranges; the slot is the top of each prefix.
fn nets(desired: &Desired, slot: u32) -> BTreeMap<NetPrefix, Range> {
    let key = |kind, addr| NetKey {
        space_be: net_space(slot, kind).to_be_bytes(),
        addr,
    };
    let row = |net: &stayhand_guardrail::image::NetRange| {
        (
            NetPrefix {
                bits: NET_SPACE_BITS + net.bits,
                key: key(net.kind, net.addr),
            },
            net.range,
        )
    };
    desired.image.nets.iter().map(row).collect()
}

/// The beginnings of all internet addresses that are in a range.
fn net_bits(desired: &Desired) -> Box<NetBits> {
    let mut bits = Box::<NetBits>::default();
    let internet = desired.image.nets.iter();
    for net in internet.filter(|net| net.kind == NET_INTERNET) {
        bits.set(u128::from_be_bytes(net.addr), net.bits);
    }
    bits
}

/// Names of sockets. Of a whole one every byte of the key counts, the length at its end with them.
fn names(desired: &Desired, slot: u32) -> BTreeMap<ArgPrefix, Range> {
    let row = |(pattern, range): &(NamePattern, Range)| {
        let mut prefix = pattern_key(&pattern.bytes, slot, false);
        if pattern.whole {
            prefix.bits = ARG_SPACE_BITS + 8 * u32::try_from(ARG_PATTERN_BYTES).unwrap_or(0);
            if let Some(len) = prefix.key.text.get_mut(NAME_LEN_AT) {
                *len = u8::try_from(pattern.bytes.len()).unwrap_or(u8::MAX);
            }
        }
        (prefix, *range)
    };
    desired.image.names.iter().map(row).collect()
}

/// Patterns of arguments by number, in both directions.
fn args(arguments: &Arguments, slot: u32) -> BTreeMap<ArgPrefix, u32> {
    let directions = [(&arguments.forwards, false), (&arguments.backwards, true)];
    let rows = directions.into_iter().flat_map(|(patterns, backwards)| {
        let numbered = patterns.iter().zip(1u32..);
        numbered.map(move |(pattern, number)| (pattern_key(pattern, slot, backwards), number))
    });
    rows.collect()
}

fn pattern_key(pattern: &[u8], slot: u32, backwards: bool) -> ArgPrefix {
    let mut text = [0; ARG_PATTERN_BYTES];
    // The parser keeps them shorter than the key.
    for (to, from) in text.iter_mut().zip(pattern) {
        *to = *from;
    }
    let bytes = u32::try_from(pattern.len().min(ARG_PATTERN_BYTES)).unwrap_or(0);
    ArgPrefix {
        bits: ARG_SPACE_BITS + 8 * bytes,
        key: ArgKey {
            space_be: arg_space(slot, backwards).to_be_bytes(),
            text,
        },
    }
}
