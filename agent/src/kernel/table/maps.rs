//! The kinds of pinned maps, over aya.

use std::collections::BTreeSet;

use aya::maps::{
    Array, HashMap, LpmTrie, Map, MapData, MapError, PerCpuArray, RingBuf, lpm_trie::Key,
};
use stayhand_agent_ebpf::abi::{image::ArgKey, net::NetKey};

use super::{super::pins::Pins, Plain, Row, Table, TableError};

/// Opens a pinned map.
fn open(pins: &Pins, map: &'static str) -> Result<Map, TableError> {
    let opened = MapData::from_pin(pins.map(map)).and_then(Map::from_map_data);
    opened.map_err(|source| TableError::Open {
        map,
        source: Box::new(source),
    })
}

fn bound(pins: &Pins, map: &'static str) -> Result<u32, TableError> {
    let info = aya::maps::MapInfo::from_pin(pins.map(map));
    info.map(|info| info.max_entries())
        .map_err(|source| TableError::Open {
            map,
            source: Box::new(source),
        })
}

fn refused(
    doing: &'static str,
    map: &'static str,
    max_entries: u32,
) -> impl FnOnce(MapError) -> TableError {
    move |source| match errno(&source) {
        // Hash maps say the first, address tries the second.
        Some(libc::E2BIG | libc::ENOSPC) => TableError::Full { map, max_entries },
        _ => TableError::Refused {
            doing,
            map,
            source: Box::new(source),
        },
    }
}

fn errno(error: &MapError) -> Option<i32> {
    match error {
        MapError::SyscallError(error) => error.io_error.raw_os_error(),
        MapError::IoError(error) => error.raw_os_error(),
        _ => None,
    }
}

fn present<V>(found: Result<V, MapError>, map: &'static str) -> Result<Option<V>, TableError> {
    match found {
        Ok(value) => Ok(Some(value)),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(error) if errno(&error) == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(refused("read", map, 0)(error)),
    }
}

fn removed(done: Result<(), MapError>, map: &'static str) -> Result<bool, TableError> {
    match done {
        Ok(()) => Ok(true),
        Err(MapError::KeyNotFound) => Ok(false),
        Err(error) if errno(&error) == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(refused("remove from", map, 0)(error)),
    }
}

/// Each key once, although the kernel starts over when a key is removed while it lists. Bounded by twice the
/// map's size: a map that changes faster is listed again by whoever asked.
pub(super) fn listed<K: Ord>(
    keys: impl Iterator<Item = Result<K, MapError>>,
    map: &'static str,
    max_entries: u32,
) -> Result<Vec<K>, TableError> {
    let most = (max_entries as usize).saturating_mul(2).saturating_add(1);
    let found: Result<BTreeSet<K>, MapError> = keys.take(most).collect();
    found
        .map(|keys| keys.into_iter().collect())
        .map_err(refused("list", map, max_entries))
}

/// A hash map.
pub struct Hash<K, V> {
    name: &'static str,
    max_entries: u32,
    inner: HashMap<MapData, Row<K>, Row<V>>,
}

impl<K: Plain, V: Plain> Hash<K, V> {
    /// Opens the pinned map `name`.
    pub fn open(pins: &Pins, name: &'static str) -> Result<Self, TableError> {
        let inner = HashMap::try_from(open(pins, name)?).map_err(refused("use", name, 0))?;
        Ok(Self {
            name,
            max_entries: bound(pins, name)?,
            inner,
        })
    }
}

impl<K: Plain + Ord, V: Plain> Table<K, V> for Hash<K, V> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn get(&self, key: &K) -> Result<Option<V>, TableError> {
        present(
            self.inner.get(&Row(*key), 0).map(|Row(value)| value),
            self.name,
        )
    }

    fn put(&mut self, key: &K, value: &V) -> Result<(), TableError> {
        self.inner
            .insert(Row(*key), Row(*value), 0)
            .map_err(refused("write", self.name, self.max_entries))
    }

    fn remove(&mut self, key: &K) -> Result<bool, TableError> {
        removed(self.inner.remove(&Row(*key)), self.name)
    }

    fn keys(&self) -> Result<Vec<K>, TableError> {
        listed(
            self.inner.keys().map(|key| key.map(|Row(key)| key)),
            self.name,
            self.max_entries,
        )
    }
}

/// An array; every index is always there.
pub struct Slots<V: Plain> {
    name: &'static str,
    inner: Array<MapData, Row<V>>,
}

impl<V: Plain> Slots<V> {
    /// Opens the pinned map `name`.
    pub fn open(pins: &Pins, name: &'static str) -> Result<Self, TableError> {
        let inner = Array::try_from(open(pins, name)?).map_err(refused("use", name, 0))?;
        Ok(Self { name, inner })
    }
}

impl<V: Plain> Table<u32, V> for Slots<V> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn get(&self, key: &u32) -> Result<Option<V>, TableError> {
        present(self.inner.get(key, 0).map(|Row(value)| value), self.name)
    }

    fn put(&mut self, key: &u32, value: &V) -> Result<(), TableError> {
        self.inner
            .set(*key, Row(*value), 0)
            .map_err(refused("write", self.name, self.inner.len()))
    }

    fn remove(&mut self, _key: &u32) -> Result<bool, TableError> {
        Ok(false)
    }

    fn keys(&self) -> Result<Vec<u32>, TableError> {
        Ok(Vec::new())
    }
}

/// A key of a trie: the value of its longest prefix is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix<K> {
    /// Bits that count, the slot's included
    pub bits: u32,
    /// Slot and data
    pub key: K,
}

/// A prefix of the address trie.
pub type NetPrefix = Prefix<NetKey>;
/// A pattern of an argument.
pub type ArgPrefix = Prefix<ArgKey>;

/// A trie.
pub struct Prefixes<K: Plain, V: Plain> {
    name: &'static str,
    max_entries: u32,
    inner: LpmTrie<MapData, Row<K>, Row<V>>,
}

impl<K: Plain, V: Plain> Prefixes<K, V> {
    /// Opens the pinned map `name`.
    pub fn open(pins: &Pins, name: &'static str) -> Result<Self, TableError> {
        let inner = LpmTrie::try_from(open(pins, name)?).map_err(refused("use", name, 0))?;
        Ok(Self {
            name,
            max_entries: bound(pins, name)?,
            inner,
        })
    }

    fn key(prefix: &Prefix<K>) -> Key<Row<K>> {
        Key::new(prefix.bits, Row(prefix.key))
    }
}

impl<K: Plain + Ord, V: Plain> Table<Prefix<K>, V> for Prefixes<K, V> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn get(&self, prefix: &Prefix<K>) -> Result<Option<V>, TableError> {
        let found = self.inner.get(&Self::key(prefix), 0);
        present(found.map(|Row(value)| value), self.name)
    }

    fn put(&mut self, prefix: &Prefix<K>, value: &V) -> Result<(), TableError> {
        let done = self.inner.insert(&Self::key(prefix), Row(*value), 0);
        done.map_err(refused("write", self.name, self.max_entries))
    }

    fn remove(&mut self, prefix: &Prefix<K>) -> Result<bool, TableError> {
        removed(self.inner.remove(&Self::key(prefix)), self.name)
    }

    fn keys(&self) -> Result<Vec<Prefix<K>>, TableError> {
        let keys = self.inner.keys().map(|key| {
            key.map(|key| {
                let Row(data) = key.data();
                Prefix {
                    bits: key.prefix_len(),
                    key: data,
                }
            })
        });
        listed(keys, self.name, self.max_entries)
    }
}

/// Opens a ring.
pub(crate) fn ring(pins: &Pins, name: &'static str) -> Result<RingBuf<MapData>, TableError> {
    RingBuf::try_from(open(pins, name)?).map_err(refused("use", name, 0))
}

/// Sum over all processors of one place of a per-processor array.
pub(crate) struct PerCpu {
    name: &'static str,
    inner: PerCpuArray<MapData, u64>,
}

impl PerCpu {
    pub(crate) fn open(pins: &Pins, name: &'static str) -> Result<Self, TableError> {
        let inner = PerCpuArray::try_from(open(pins, name)?).map_err(refused("use", name, 0))?;
        Ok(Self { name, inner })
    }

    pub(crate) fn sum(&self, index: u32) -> Result<u64, TableError> {
        let values = self
            .inner
            .get(&index, 0)
            .map_err(refused("read", self.name, 0))?;
        Ok(values.iter().fold(0, |sum, value| sum.wrapping_add(*value)))
    }
}
