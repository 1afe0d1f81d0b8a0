//! Maps in memory that a test can look into while the installer holds them, with a log of what was written.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use stayhand_agent_ebpf::abi::{
    image::{
        ACTIVE_ENTRIES, ArgStep, EdgeKey, Entry, Label, LabelBits, LabelKey, LeaseKey, LeaseRow,
        Node, Range, Subject, SubjectKey,
    },
    net::NetBits,
    rate::{Bucket, BucketKey, RATES_PER_SLOT, Rate},
    schedule::{SCHEDULES_PER_SLOT, Schedule},
};

use super::super::{
    super::table::{ArgPrefix, NetPrefix, Table, TableError, fake::Fake},
    tables::Tables,
};

type Log = Arc<Mutex<Vec<(&'static str, String)>>>;

/// One map. `deaf` ones take writes and forget them.
pub(super) struct Shared<K, V> {
    pub(super) fake: Arc<Mutex<Fake<K, V>>>,
    deaf: Arc<Mutex<bool>>,
    log: Log,
}

impl<K, V> Clone for Shared<K, V> {
    fn clone(&self) -> Self {
        Self {
            fake: Arc::clone(&self.fake),
            deaf: Arc::clone(&self.deaf),
            log: Arc::clone(&self.log),
        }
    }
}

impl<K: Ord + Clone, V: Clone> Shared<K, V> {
    fn new(name: &'static str, max_entries: usize, log: &Log) -> Self {
        let fake = Arc::new(Mutex::new(Fake::new(name, max_entries)));
        Self {
            fake,
            deaf: Arc::default(),
            log: Arc::clone(log),
        }
    }

    pub(super) fn rows(&self) -> BTreeMap<K, V> {
        self.fake.lock().unwrap().rows.clone()
    }

    pub(super) fn set(&self, key: K, value: V) {
        self.fake.lock().unwrap().rows.insert(key, value);
    }

    pub(super) fn bound(&self, max_entries: usize) {
        self.fake.lock().unwrap().max_entries = max_entries;
    }

    pub(super) fn deafen(&self) {
        *self.deaf.lock().unwrap() = true;
    }
}

impl<K: Ord + Clone, V: Clone + std::fmt::Debug> Table<K, V> for Shared<K, V> {
    fn name(&self) -> &'static str {
        self.fake.lock().unwrap().name
    }

    fn get(&self, key: &K) -> Result<Option<V>, TableError> {
        self.fake.lock().unwrap().get(key)
    }

    fn put(&mut self, key: &K, value: &V) -> Result<(), TableError> {
        self.log
            .lock()
            .unwrap()
            .push((self.name(), format!("{value:?}")));
        if *self.deaf.lock().unwrap() {
            return Ok(());
        }
        self.fake.lock().unwrap().put(key, value)
    }

    fn remove(&mut self, key: &K) -> Result<bool, TableError> {
        self.log
            .lock()
            .unwrap()
            .push((self.name(), "removed".to_owned()));
        self.fake.lock().unwrap().remove(key)
    }

    fn keys(&self) -> Result<Vec<K>, TableError> {
        self.fake.lock().unwrap().keys()
    }
}

/// All of them.
#[derive(Clone)]
pub(super) struct Maps {
    pub(super) active: Shared<u32, u64>,
    pub(super) labels: Shared<LabelKey, Label>,
    pub(super) label_bits: Shared<u32, LabelBits>,
    pub(super) edges: Shared<EdgeKey, u32>,
    pub(super) nodes: Shared<u32, Node>,
    pub(super) entries: Shared<u32, Entry>,
    pub(super) subjects: Shared<SubjectKey, Subject>,
    pub(super) leases: Shared<LeaseKey, LeaseRow>,
    pub(super) nets: Shared<NetPrefix, Range>,
    pub(super) unruled_nets: Shared<u32, NetBits>,
    pub(super) names: Shared<ArgPrefix, Range>,
    pub(super) args: Shared<ArgPrefix, u32>,
    pub(super) arg_steps: Shared<u32, ArgStep>,
    pub(super) schedules: Shared<u32, Schedule>,
    pub(super) rates: Shared<u32, Rate>,
    pub(super) buckets: Shared<BucketKey, Bucket>,
    pub(super) log: Log,
}

impl Maps {
    pub(super) fn new() -> Self {
        let log = Log::default();
        Self {
            active: Shared::new("ACTIVE", ACTIVE_ENTRIES as usize, &log),
            labels: Shared::new("LABELS", 1_000, &log),
            label_bits: Shared::new("LABEL_BITS", 2, &log),
            edges: Shared::new("EDGES", 1_000, &log),
            nodes: Shared::new("NODES", 1_000_000, &log),
            entries: Shared::new("ENTRIES", 1_000_000, &log),
            subjects: Shared::new("SUBJECTS", 1_000, &log),
            leases: Shared::new("LEASES", 1_000, &log),
            nets: Shared::new("NETS", 1_000, &log),
            unruled_nets: Shared::new("UNRULED_NETS", 1, &log),
            names: Shared::new("NAMES", 1_000, &log),
            args: Shared::new("ARGS", 1_000, &log),
            arg_steps: Shared::new("ARG_STEPS", 100_000, &log),
            schedules: Shared::new("SCHEDULES", 2 * SCHEDULES_PER_SLOT as usize, &log),
            rates: Shared::new("RATES", 2 * RATES_PER_SLOT as usize, &log),
            buckets: Shared::new("BUCKETS", 1_000, &log),
            log,
        }
    }

    pub(super) fn tables(&self) -> Tables {
        Tables {
            active: Box::new(self.active.clone()),
            labels: Box::new(self.labels.clone()),
            label_bits: Box::new(self.label_bits.clone()),
            edges: Box::new(self.edges.clone()),
            nodes: Box::new(self.nodes.clone()),
            entries: Box::new(self.entries.clone()),
            subjects: Box::new(self.subjects.clone()),
            leases: Box::new(self.leases.clone()),
            nets: Box::new(self.nets.clone()),
            unruled_nets: Box::new(self.unruled_nets.clone()),
            names: Box::new(self.names.clone()),
            args: Box::new(self.args.clone()),
            arg_steps: Box::new(self.arg_steps.clone()),
            schedules: Box::new(self.schedules.clone()),
            rates: Box::new(self.rates.clone()),
            buckets: Box::new(self.buckets.clone()),
        }
    }

    /// Generation and slot that the kernel would use.
    pub(super) fn active(&self) -> (u64, u32) {
        let raw = self.active.rows().get(&0).copied().unwrap_or(0);
        (raw >> 1, (raw & 1) as u32)
    }
}
