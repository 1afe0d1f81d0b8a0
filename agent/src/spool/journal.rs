//! What must be on disk before it is acted upon: the desired state with its leases, and holds. Contents are the
//! caller's.

use redb::ReadableTable as _;

use super::{
    Spool, SpoolError,
    store::{DOCUMENTS, HOLDS},
};

/// Documents that are not the spool's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// The last good desired state
    State,
    /// Leases with their absolute deadlines
    Leases,
    /// The last good floor of the host
    Floor,
}

impl Key {
    fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Leases => "leases",
            Self::Floor => "floor",
        }
    }
}

/// Holds that are remembered: as many as can be pending, and as many that are over.
const HOLDS_MAX: usize = 8_192;

impl Spool {
    /// Stores documents, all or none.
    pub fn put_documents(&self, documents: &[(Key, Vec<u8>)]) -> Result<(), SpoolError> {
        self.lock().transact(|transaction, _| {
            let mut table = transaction.open_table(DOCUMENTS)?;
            for (key, bytes) in documents {
                table.insert(key.name(), bytes.as_slice())?;
            }
            Ok(())
        })
    }

    /// A stored document.
    pub fn document(&self, key: Key) -> Result<Option<Vec<u8>>, SpoolError> {
        self.lock().store.read(|transaction| {
            let table = transaction.open_table(DOCUMENTS)?;
            let found = table.get(key.name())?;
            Ok(found.map(|bytes| bytes.value().to_vec()))
        })
    }

    /// Stores what is known of a hold, or forgets it.
    pub fn put_holds(&self, holds: &[(u64, Option<Vec<u8>>)]) -> Result<(), SpoolError> {
        self.lock().transact(|transaction, _| {
            let mut table = transaction.open_table(HOLDS)?;
            for (id, row) in holds {
                match row {
                    Some(bytes) => table.insert(*id, bytes.as_slice())?,
                    None => table.remove(*id)?,
                };
            }
            Ok(())
        })
    }

    /// Every stored hold.
    pub fn holds(&self) -> Result<Vec<(u64, Vec<u8>)>, SpoolError> {
        self.lock().store.read(|transaction| {
            let table = transaction.open_table(HOLDS)?;
            let rows = table.iter()?.take(HOLDS_MAX);
            let rows = rows.map(|found| found.map(|(id, row)| (id.value(), row.value().to_vec())));
            let rows: Result<Vec<_>, redb::StorageError> = rows.collect();
            Ok(rows?)
        })
    }
}
