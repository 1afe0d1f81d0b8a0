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
