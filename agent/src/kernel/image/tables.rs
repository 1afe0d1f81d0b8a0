//! The maps of an image, and the four things that are done to one slot of them: clear, write, read, and compare
//! labels.
//!
//! Knows nothing of policies.

use std::collections::BTreeMap;

use stayhand_agent_ebpf::abi::{
    image::{
        ACTIVE_CHANGES, ACTIVE_UNRULED, ARG_STEPS_PER_SLOT, ArgStep, ENTRIES_PER_SLOT, EdgeKey,
        Entry, Label, LabelBits, LabelKey, LeaseKey, LeaseRow, NODES_PER_SLOT, Node, Range,
        SERVICE_ROW, Subject, SubjectKey,
    },
    net::NetBits,
    rate::{Bucket, BucketKey, RATES_PER_SLOT, Rate},
    schedule::{SCHEDULES_PER_SLOT, Schedule},
};

use super::{
    super::{
        pins::Pins,
        table::{ArgPrefix, Hash, NetPrefix, Prefixes, Slots, Table, TableError},
    },
    rows::Rows,
};

type Boxed<K, V> = Box<dyn Table<K, V> + Send>;

/// Keys that belong to one slot.
trait InSlot {
    fn slot(&self) -> u32;
}

macro_rules! in_slot {
    ($($key:ty),*) => { $(impl InSlot for $key { fn slot(&self) -> u32 { self.slot } })* };
}

in_slot!(LabelKey, EdgeKey, LeaseKey);

impl InSlot for SubjectKey {
    fn slot(&self) -> u32 {
        self.slot & !SERVICE_ROW
    }
}

impl InSlot for NetPrefix {
    fn slot(&self) -> u32 {
        // The lowest bit; above it is the kind of address.
        u32::from_be_bytes(self.key.space_be) & 1
    }
}

impl InSlot for ArgPrefix {
    fn slot(&self) -> u32 {
        // The lowest bit is the direction.
        u32::from_be_bytes(self.key.space_be) >> 1
    }
}

/// The maps.
pub struct Tables {
    /// See `ACTIVE_IMAGE` and `ACTIVE_BUILDING`
    pub active: Boxed<u32, u64>,
    /// Labelled objects
    pub labels: Boxed<LabelKey, Label>,
    /// Which objects may be labelled, by slot
    pub label_bits: Boxed<u32, LabelBits>,
    /// Steps
    pub edges: Boxed<EdgeKey, u32>,
    /// Both slots' nodes
    pub nodes: Boxed<u32, Node>,
    /// Both slots' entries
    pub entries: Boxed<u32, Entry>,
    /// Subjects
    pub subjects: Boxed<SubjectKey, Subject>,
    /// Leases
    pub leases: Boxed<LeaseKey, LeaseRow>,
    /// Address ranges
    pub nets: Boxed<NetPrefix, Range>,
    /// Addresses that are in none, of either image
    pub unruled_nets: Boxed<u32, NetBits>,
    /// Names of unix sockets
    pub names: Boxed<ArgPrefix, Range>,
    /// Numbers of argument patterns
    pub args: Boxed<ArgPrefix, u32>,
    /// Both slots' steps of conditions on arguments
    pub arg_steps: Boxed<u32, ArgStep>,
    /// Both slots' schedules
    pub schedules: Boxed<u32, Schedule>,
    /// Both slots' rates
    pub rates: Boxed<u32, Rate>,
    /// What counts them
    pub buckets: Boxed<BucketKey, Bucket>,
}

impl Tables {
    /// Opens the pinned maps.
    pub fn open(pins: &Pins) -> Result<Self, TableError> {
        Ok(Self {
            active: Box::new(Slots::open(pins, "ACTIVE")?),
            labels: Box::new(Hash::open(pins, "LABELS")?),
            label_bits: Box::new(Slots::open(pins, "LABEL_BITS")?),
            edges: Box::new(Hash::open(pins, "EDGES")?),
            nodes: Box::new(Slots::open(pins, "NODES")?),
            entries: Box::new(Slots::open(pins, "ENTRIES")?),
            subjects: Box::new(Hash::open(pins, "SUBJECTS")?),
            leases: Box::new(Hash::open(pins, "LEASES")?),
            nets: Box::new(Prefixes::open(pins, "NETS")?),
            unruled_nets: Box::new(Slots::open(pins, "UNRULED_NETS")?),
            names: Box::new(Prefixes::open(pins, "NAMES")?),
            args: Box::new(Prefixes::open(pins, "ARGS")?),
            arg_steps: Box::new(Slots::open(pins, "ARG_STEPS")?),
            schedules: Box::new(Slots::open(pins, "SCHEDULES")?),
            rates: Box::new(Slots::open(pins, "RATES")?),
            buckets: Box::new(Hash::open(pins, "BUCKETS")?),
        })
    }

    /// Removes every row of a slot that can be reached. Nodes, entries, steps, schedules and rates stay until they are overwritten:
    /// nothing leads to them any more.
    pub fn clear(&mut self, slot: u32) -> Result<(), TableError> {
        // What leads to others goes first.
        clear(self.subjects.as_mut(), slot)?;
        clear(self.labels.as_mut(), slot)?;
        clear(self.edges.as_mut(), slot)?;
        clear(self.nets.as_mut(), slot)?;
        clear(self.names.as_mut(), slot)?;
        clear(self.args.as_mut(), slot)?;
        clear(self.leases.as_mut(), slot)
    }

    /// Writes every row. What leads to others comes last.
    pub fn write(&mut self, slot: u32, rows: &Rows) -> Result<(), TableError> {
        write_array(
            self.arg_steps.as_mut(),
            slot * ARG_STEPS_PER_SLOT,
            &rows.arg_steps,
        )?;
        write_array(
            self.schedules.as_mut(),
            slot * SCHEDULES_PER_SLOT,
            &rows.schedules,
        )?;
        write_array(self.rates.as_mut(), slot * RATES_PER_SLOT, &rows.rates)?;
        write(self.args.as_mut(), &rows.args)?;
        write_array(
            self.entries.as_mut(),
            slot * ENTRIES_PER_SLOT,
            &rows.entries,
        )?;
        write_array(self.nodes.as_mut(), slot * NODES_PER_SLOT, &rows.nodes)?;
        write(self.leases.as_mut(), &rows.leases)?;
        write(self.nets.as_mut(), &rows.nets)?;
        write(self.names.as_mut(), &rows.names)?;
        write(self.edges.as_mut(), &rows.edges)?;
        self.label_bits.put(&slot, &rows.label_bits)?;
        write(self.labels.as_mut(), &rows.labels)?;
        write(self.subjects.as_mut(), &rows.subjects)
    }

    /// Reads a slot: as many nodes, entries, steps, schedules and rates as `like` has, and every other row that is there.
    pub fn read(&self, slot: u32, like: &Rows) -> Result<Rows, TableError> {
        Ok(Rows {
            nodes: read_array(self.nodes.as_ref(), slot * NODES_PER_SLOT, like.nodes.len())?,
            entries: read_array(
                self.entries.as_ref(),
                slot * ENTRIES_PER_SLOT,
                like.entries.len(),
            )?,
            labels: read(self.labels.as_ref(), slot)?,
            label_bits: Box::new(self.label_bits.get(&slot)?.unwrap_or_default()),
            edges: read(self.edges.as_ref(), slot)?,
            subjects: read(self.subjects.as_ref(), slot)?,
            leases: read(self.leases.as_ref(), slot)?,
            nets: read(self.nets.as_ref(), slot)?,
            net_bits: like.net_bits.clone(),
            names: read(self.names.as_ref(), slot)?,
            args: read(self.args.as_ref(), slot)?,
            arg_steps: read_array(
                self.arg_steps.as_ref(),
                slot * ARG_STEPS_PER_SLOT,
                like.arg_steps.len(),
            )?,
            schedules: read_array(
                self.schedules.as_ref(),
                slot * SCHEDULES_PER_SLOT,
                like.schedules.len(),
            )?,
            rates: read_array(self.rates.as_ref(), slot * RATES_PER_SLOT, like.rates.len())?,
        })
    }

    /// Removes what counts no rate of these rows: its rule is gone, or says another rate.
    pub fn clear_buckets(&mut self, rows: &Rows) -> Result<(), TableError> {
        for key in self.buckets.keys()? {
            if rows.rates.iter().all(|rate| rate.bucket != key.bucket) {
                self.buckets.remove(&key)?;
            }
        }
        Ok(())
    }

    /// Has the kernel forget what it keeps of images and labels.
    pub fn count_change(&mut self) -> Result<(), TableError> {
        let changes = self.active.get(&ACTIVE_CHANGES)?.unwrap_or(0);
        self.active.put(&ACTIVE_CHANGES, &changes.wrapping_add(1))
    }

    /// Before the flip to `rows`: what they name is not passed over any more.
    pub fn take_ruled(&mut self, rows: &Rows) -> Result<(), TableError> {
        let (operations, mut nets) = self.unruled()?;
        nets.take_out(&rows.net_bits);
        self.unruled_nets.put(&0, &nets)?;
        let operations = operations & rows.unruled();
        self.active.put(&ACTIVE_UNRULED, &operations)
    }

    /// After the flip to `rows`: what they do not name is passed over.
    pub fn put_unruled(&mut self, rows: &Rows) -> Result<(), TableError> {
        self.unruled_nets.put(&0, &rows.net_bits.others())?;
        self.active.put(&ACTIVE_UNRULED, &rows.unruled())
    }

    /// The map in which something that `rows` name is passed over.
    pub fn passed_over(&self, rows: &Rows) -> Result<Option<&'static str>, TableError> {
        let (operations, nets) = self.unruled()?;
        let mut unruled = nets.clone();
        unruled.take_out(&rows.net_bits);
        Ok(if operations & !rows.unruled() != 0 {
            Some("ACTIVE")
        } else if unruled != nets {
            Some("UNRULED_NETS")
        } else {
            None
        })
    }

    fn unruled(&self) -> Result<(u64, Box<NetBits>), TableError> {
        let operations = self.active.get(&ACTIVE_UNRULED)?.unwrap_or(0);
        let nets = self.unruled_nets.get(&0)?.unwrap_or_default();
        Ok((operations, Box::new(nets)))
    }

    /// Turns the labels of a live slot from `old` into `new`; yields how many were set and removed. New ones come
    /// first, so that no object is without one for a moment, and bits before labels and after them. What was set before
    /// an error counts as well.
    pub fn exchange_labels(
        &mut self,
        slot: u32,
        old: &Rows,
        new: &Rows,
    ) -> Result<(usize, usize), TableError> {
        let both = old.label_bits.or(&new.label_bits);
        self.label_bits.put(&slot, &both)?;
        let done = self.exchange(&old.labels, &new.labels);
        self.count_change()?;
        let done = done?;
        self.label_bits.put(&slot, &new.label_bits)?;
        Ok(done)
    }

    fn exchange(
        &mut self,
        old: &BTreeMap<LabelKey, Label>,
        new: &BTreeMap<LabelKey, Label>,
    ) -> Result<(usize, usize), TableError> {
        let (mut set, mut removed) = (0, 0);
        for (key, label) in new
            .iter()
            .filter(|(key, label)| old.get(key) != Some(label))
        {
            self.labels.put(key, label)?;
            set += 1;
        }
        for key in old.keys().filter(|key| !new.contains_key(key)) {
            self.labels.remove(key)?;
            removed += 1;
        }
        Ok((set, removed))
    }
}

fn clear<K: InSlot, V>(table: &mut dyn Table<K, V>, slot: u32) -> Result<(), TableError> {
    for key in table.keys()?.iter().filter(|key| key.slot() == slot) {
        table.remove(key)?;
    }
    Ok(())
}

fn write<K, V>(table: &mut dyn Table<K, V>, rows: &BTreeMap<K, V>) -> Result<(), TableError> {
    rows.iter()
        .try_for_each(|(key, value)| table.put(key, value))
}

fn write_array<V>(table: &mut dyn Table<u32, V>, first: u32, rows: &[V]) -> Result<(), TableError> {
    (first..)
        .zip(rows)
        .try_for_each(|(index, value)| table.put(&index, value))
}

fn read<K: InSlot + Ord, V>(
    table: &dyn Table<K, V>,
    slot: u32,
) -> Result<BTreeMap<K, V>, TableError> {
    let mut rows = BTreeMap::new();
    for key in table.keys()? {
        if key.slot() == slot
            && let Some(value) = table.get(&key)?
        {
            rows.insert(key, value);
        }
    }
    Ok(rows)
}

fn read_array<V>(
    table: &dyn Table<u32, V>,
    first: u32,
    count: usize,
) -> Result<Vec<V>, TableError> {
    let mut rows = Vec::with_capacity(count);
    for index in (first..).take(count) {
        rows.extend(table.get(&index)?);
    }
    Ok(rows)
}
