//! The database file: tables, opening, and reopening after a failed write. Knows nothing of what is in it.

use std::{io, os::unix::fs::DirBuilderExt as _, path::Path};

use redb::{Database, Durability, TableDefinition, WriteTransaction};

use super::SpoolError;

/// Rows in the order in which they came: class byte, then payload.
pub(super) const EVENTS: TableDefinition<u64, &[u8]> = TableDefinition::new("events");
/// The same rows by class, with their sizes, to find what is dropped first.
pub(super) const BY_CLASS: TableDefinition<(u8, u64), u64> =
    TableDefinition::new("events_by_class");
/// Sequence numbers that were handed out and not yet acknowledged, and their rows.
pub(super) const NUMBERED: TableDefinition<u64, u64> = TableDefinition::new("numbered");
/// Everything that is one document under one name.
pub(super) const DOCUMENTS: TableDefinition<&str, &[u8]> = TableDefinition::new("documents");
/// Holds that are not over, or whose end the control plane may not know.
pub(super) const HOLDS: TableDefinition<u64, &[u8]> = TableDefinition::new("holds");

/// Cache of the database: a few batches; the spool is written once and read once.
pub(super) const CACHE_BYTES: usize = 8 << 20;

type Opener = Box<dyn Fn() -> Result<Database, redb::Error> + Send>;

/// The database, closed after a write failed (it refuses further work until it is opened again).
pub(super) struct Store {
    database: Option<Database>,
    open: Opener,
}

impl Store {
    pub(super) fn open_file(path: &Path) -> Result<Self, redb::Error> {
        let path = path.to_owned();
        Self::open_with(Box::new(move || {
            Ok(Database::builder()
                .set_cache_size(CACHE_BYTES)
                .create(&path)?)
        }))
    }

    pub(super) fn open_with(open: Opener) -> Result<Self, redb::Error> {
        let database = Some(open()?);
        Ok(Self { database, open })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.database.is_none()
    }

    fn database(&mut self) -> Result<&Database, redb::Error> {
        if self.database.is_none() {
            self.database = Some((self.open)()?);
        }
        // Just set; the fallback is never taken.
        self.database
            .as_ref()
            .ok_or(redb::Error::DatabaseAlreadyOpen)
    }

    /// One durable transaction. Two-phase: the file may be cut off at any byte, by anybody.
    pub(super) fn write<T>(
        &mut self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, SpoolError>,
    ) -> Result<T, SpoolError> {
        let done = self.try_write(work);
        if matches!(&done, Err(SpoolError::Store(_))) {
            self.database = None;
        }
        done
    }

    fn try_write<T>(
        &mut self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, SpoolError>,
    ) -> Result<T, SpoolError> {
        let mut transaction = self.database()?.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        transaction.set_two_phase_commit(true);
        transaction.set_quick_repair(true);
        let done = work(&transaction)?;
        transaction.commit()?;
        Ok(done)
    }

    /// One consistent look.
    pub(super) fn read<T>(
        &mut self,
        work: impl FnOnce(&redb::ReadTransaction) -> Result<T, SpoolError>,
    ) -> Result<T, SpoolError> {
        use redb::ReadableDatabase as _;
        let transaction = self.database()?.begin_read()?;
        work(&transaction)
    }
}

/// Makes the directory so that only root can look into it.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

/// Whether the file is not a database of ours any more.
pub(super) fn is_damaged(error: &redb::Error) -> bool {
    match error {
        redb::Error::Corrupted(_)
        | redb::Error::UpgradeRequired(_)
        | redb::Error::RepairAborted
        | redb::Error::TableTypeMismatch { .. } => true,
        redb::Error::Io(error) => {
            matches!(
                error.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            )
        }
        _ => false,
    }
}

/// Whether room is what is missing.
pub(super) fn is_full(error: &SpoolError) -> bool {
    let SpoolError::Store(error) = error else {
        return false;
    };
    let redb::Error::Io(error) = error.as_ref() else {
        return false;
    };
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
