//! Typed access to pinned maps, and the trait behind it, so that installing can be tested without a kernel.
//!
//! Opens maps that are pinned already and never makes one.
#![expect(
    unsafe_code,
    reason = "promises to aya which shared types are plain bytes"
)]

use std::{collections::BTreeSet, io};

use aya::maps::{
    Array, HashMap, LpmTrie, Map, MapData, MapError, PerCpuArray, RingBuf, lpm_trie::Key,
};
use stayhand_agent_ebpf::abi::{
    hold::{AnswerEntry, HoldEntry, HoldKey},
    image::{
        EdgeKey, Entry, Label, LabelKey, LeaseKey, LeaseRow, NetKey, Node, Range, Settings,
        Subject, SubjectKey,
    },
    task::Identity,
};

use super::pins::Pins;

/// Types that are nothing but bytes.
///
/// # Safety
/// Implementors are `repr(C)`, made of integers only, without padding, and valid for every bit pattern.
pub unsafe trait Plain: Copy + 'static {}

macro_rules! plain {
    ($($name:ty),* $(,)?) => {
        // SAFETY: integers, and structures of `abi` whose sizes are asserted there to have no padding.
        $(unsafe impl Plain for $name {})*
    };
}

plain!(
    u32,
    u64,
    AnswerEntry,
    HoldEntry,
    HoldKey,
    EdgeKey,
    Entry,
    Identity,
    Label,
    LabelKey,
    LeaseKey,
    LeaseRow,
    NetKey,
    Node,
    Range,
    Settings,
    Subject,
    SubjectKey,
);

/// Carries a shared type across aya's border (both are foreign to this crate).
#[repr(transparent)]
#[derive(Clone, Copy)]
struct Row<T>(T);

// SAFETY: transparent over a type that promises to be plain bytes.
unsafe impl<T: Plain> aya::Pod for Row<T> {}

/// Why a map cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// It cannot be opened.
    #[error("cannot open pinned map `{map}`; load the kernel object first")]
    Open {
        /// The map
        map: &'static str,
        /// Why
        source: Box<MapError>,
    },
    /// It has no room left.
    #[error(
        "map `{map}` is full ({max_entries} entries); make policies smaller, or fewer subjects and grants"
    )]
    Full {
        /// The map
        map: &'static str,
        /// Its bound
        max_entries: u32,
    },
    /// The kernel refused.
    #[error("cannot {doing} map `{map}`")]
    Refused {
        /// What was tried
        doing: &'static str,
        /// The map
        map: &'static str,
        /// Why
        source: Box<MapError>,
    },
}

/// A map from keys to values.
pub trait Table<K, V> {
    /// Its name, as pinned.
    fn name(&self) -> &'static str;
    /// The value of a key.
    fn get(&self, key: &K) -> Result<Option<V>, TableError>;
    /// Sets the value of a key.
    fn put(&mut self, key: &K, value: &V) -> Result<(), TableError>;
    /// Removes a key; false if it was not there.
    fn remove(&mut self, key: &K) -> Result<bool, TableError>;
    /// Every key, each once. Arrays have none to list.
    fn keys(&self) -> Result<Vec<K>, TableError>;
}

/// Opens a pinned map.
pub(crate) fn open(pins: &Pins, map: &'static str) -> Result<Map, TableError> {
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
fn listed<K: Ord>(
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

/// A prefix of the address trie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetPrefix {
    /// Bits that count, the slot's included
    pub bits: u32,
    /// Slot and address
    pub key: NetKey,
}

/// The address trie.
pub struct Nets {
    max_entries: u32,
    inner: LpmTrie<MapData, Row<NetKey>, Row<Range>>,
}

impl Nets {
    const NAME: &str = "NETS";

    /// Opens it.
    pub fn open(pins: &Pins) -> Result<Self, TableError> {
        let inner =
            LpmTrie::try_from(open(pins, Self::NAME)?).map_err(refused("use", Self::NAME, 0))?;
        Ok(Self {
            max_entries: bound(pins, Self::NAME)?,
            inner,
        })
    }

    fn key(prefix: &NetPrefix) -> Key<Row<NetKey>> {
        Key::new(prefix.bits, Row(prefix.key))
    }
}

impl Table<NetPrefix, Range> for Nets {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn get(&self, prefix: &NetPrefix) -> Result<Option<Range>, TableError> {
        present(
            self.inner
                .get(&Self::key(prefix), 0)
                .map(|Row(value)| value),
            Self::NAME,
        )
    }

    fn put(&mut self, prefix: &NetPrefix, value: &Range) -> Result<(), TableError> {
        let done = self.inner.insert(&Self::key(prefix), Row(*value), 0);
        done.map_err(refused("write", Self::NAME, self.max_entries))
    }

    fn remove(&mut self, prefix: &NetPrefix) -> Result<bool, TableError> {
        removed(self.inner.remove(&Self::key(prefix)), Self::NAME)
    }

    fn keys(&self) -> Result<Vec<NetPrefix>, TableError> {
        let keys = self.inner.keys().map(|key| {
            key.map(|key| {
                let Row(data) = key.data();
                NetPrefix {
                    bits: key.prefix_len(),
                    key: data,
                }
            })
        });
        listed(keys, Self::NAME, self.max_entries)
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

impl From<TableError> for io::Error {
    fn from(error: TableError) -> Self {
        Self::other(error)
    }
}

#[cfg(test)]
pub(crate) mod fake {
    //! A map in memory, with a bound like the kernel's.

    use std::collections::BTreeMap;

    use super::{Table, TableError};

    /// Counts every write, and refuses once full.
    #[derive(Clone, Debug)]
    pub(crate) struct Fake<K, V> {
        pub(crate) name: &'static str,
        pub(crate) max_entries: usize,
        pub(crate) rows: BTreeMap<K, V>,
        pub(crate) writes: u64,
    }

    impl<K: Ord, V> Fake<K, V> {
        pub(crate) fn new(name: &'static str, max_entries: usize) -> Self {
            Self {
                name,
                max_entries,
                rows: BTreeMap::new(),
                writes: 0,
            }
        }
    }

    impl<K: Ord + Clone, V: Clone> Table<K, V> for Fake<K, V> {
        fn name(&self) -> &'static str {
            self.name
        }

        fn get(&self, key: &K) -> Result<Option<V>, TableError> {
            Ok(self.rows.get(key).cloned())
        }

        fn put(&mut self, key: &K, value: &V) -> Result<(), TableError> {
            if !self.rows.contains_key(key) && self.rows.len() >= self.max_entries {
                return Err(TableError::Full {
                    map: self.name,
                    max_entries: u32::try_from(self.max_entries).unwrap(),
                });
            }
            self.writes += 1;
            self.rows.insert(key.clone(), value.clone());
            Ok(())
        }

        fn remove(&mut self, key: &K) -> Result<bool, TableError> {
            Ok(self.rows.remove(key).is_some())
        }

        fn keys(&self) -> Result<Vec<K>, TableError> {
            Ok(self.rows.keys().cloned().collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_has_each_key_once_and_ends() {
        let endless = std::iter::repeat_with(|| Ok(7u32));
        assert_eq!(listed(endless, "X", 10).unwrap(), [7]);
        let failing = [Ok(1u32), Err(MapError::KeyNotFound)];
        assert!(listed(failing.into_iter(), "X", 10).is_err());
    }

    #[test]
    fn what_is_not_pinned_is_an_error_naming_the_map() {
        let place = tempfile::tempdir().unwrap();
        let error = Hash::<u32, u32>::open(&Pins::new(place.path()), "HOLD_COUNTS")
            .err()
            .unwrap();
        assert!(error.to_string().contains("HOLD_COUNTS"), "{error}");
    }
}
