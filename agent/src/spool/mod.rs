//! The spool: what was decided, on disk before anybody is told, until the control plane has stored it.
//!
//! Contract: at least once, in order per host, gaps show, every loss is counted. Never exactly once, never
//! lossless. Payloads are opaque here: enriched, redacted and encoded by the caller before they come in.
//!
//! - A row gets its sequence number when it is first handed out, in a transaction before it leaves the host, and
//!   keeps it for ever. What has to be dropped is dropped before that, so the numbers have no gaps and a gap on
//!   the other side always means tampering or a bug.
//! - What the kernel has recorded and what became of it is counted in the very transaction that stores the rows.
//! - A full disk costs neither the agent nor the enforcement anything: rows wait in bounded memory and are tried
//!   again; what overflows is counted.

mod account;
mod append;
mod disk;
mod hand_out;
mod journal;
mod loss;
mod meta;
mod quota;
mod reserve;
mod store;
#[cfg(test)]
mod tests;
mod waiting;

pub use account::{Account, Balance};
pub use disk::{Disk, OpenDisk};
pub use hand_out::Numbered;
pub use journal::Key;
pub use loss::Losses;

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use stayhand_guardrail::{
    event::{EventClass, Lost},
    time::UnixMs,
};
use uuid::Uuid;

use meta::Meta;
use reserve::Reserve;
use store::Store;
pub(crate) use store::make_directory;
use waiting::Waiting;

/// Why the spool could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The database.
    #[error("cannot use the spool")]
    Store(#[from] Box<redb::Error>),
    /// What is stored is not what this build stores.
    #[error("the spool holds something unreadable under `{0}`")]
    Unreadable(&'static str),
    /// The other side acknowledged what was never handed out.
    #[error("event {acknowledged} was acknowledged, but only {handed_out} were ever handed out")]
    NeverHandedOut {
        /// What it said
        acknowledged: u64,
        /// The last number that was given
        handed_out: u64,
    },
    /// The directory.
    #[error("cannot use `{}`", path.display())]
    Directory {
        /// Which
        path: PathBuf,
        /// Why
        source: std::io::Error,
    },
}

impl From<redb::Error> for SpoolError {
    fn from(error: redb::Error) -> Self {
        Self::Store(Box::new(error))
    }
}

macro_rules! from_store {
    ($($error:ident)*) => {$(
        impl From<redb::$error> for SpoolError {
            fn from(error: redb::$error) -> Self {
                redb::Error::from(error).into()
            }
        }
    )*};
}

from_store!(StorageError TableError TransactionError CommitError SetDurabilityError);

/// One event on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its class, which decides what is dropped first
    pub class: EventClass,
    /// Whether the kernel counted it as a recorded decision
    pub recorded: bool,
    /// The encoded event, without a sequence number
    pub payload: Vec<u8>,
}

/// Makes the event that tells of a loss.
pub type EncodeLost = Box<dyn Fn(&Lost) -> Vec<u8> + Send>;

/// What a spool is opened with.
pub struct Setup {
    /// The running boot
    pub boot_id: Uuid,
    /// Id for a spool that does not exist yet
    pub new_epoch: Uuid,
    /// Bytes of payload that may wait for the control plane
    pub bytes_max: u64,
    /// See [`EncodeLost`]
    pub encode_lost: EncodeLost,
    /// The wall clock
    pub now: UnixMs,
}

/// The spool. Every operation is one transaction and returns when it is on disk.
pub struct Spool {
    inner: Mutex<Inner>,
}

struct Inner {
    store: Store,
    meta: Meta,
    waiting: Waiting,
    reserve: Option<Reserve>,
    bytes_max: u64,
    encode_lost: EncodeLost,
    /// Up to where the other side said that it has events
    heard: u64,
}

/// Counts for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Rows ever stored
    pub spooled: u64,
    /// Rows that the control plane has
    pub acknowledged: u64,
    /// Bytes that wait for the control plane
    pub bytes: u64,
    /// Rows that wait in memory for the disk
    pub waiting: u64,
    /// Losses ever counted
    pub lost: u64,
}

impl Spool {
    /// Opens or makes the spool in `directory`. One that cannot be read is put aside, never deleted: its events
    /// are evidence. The new epoch shows that it happened.
    pub fn open(directory: &Path, setup: Setup) -> Result<Self, SpoolError> {
        let io = |source| SpoolError::Directory {
            path: directory.to_owned(),
            source,
        };
        store::make_directory(directory).map_err(io)?;
        let file = directory.join("agent.redb");
        let store = match Store::open_file(&file) {
            Err(error) if store::is_damaged(&error) => {
                let aside = directory.join(format!("agent.redb.damaged-{}", setup.now.0));
                std::fs::rename(&file, &aside).map_err(io)?;
                tracing::error!(aside = %aside.display(), %error, "the spool was damaged and starts anew");
                Store::open_file(&file)?
            }
            other => other?,
        };
        Self::with_store(store, Some(Reserve::at(directory)), setup)
    }

    /// Opens or makes the spool on a disk that is no file.
    pub fn open_on(disk: OpenDisk, setup: Setup) -> Result<Self, SpoolError> {
        let store = Store::open_with(Box::new(move || disk::open(disk())))?;
        Self::with_store(store, None, setup)
    }

    fn with_store(
        mut store: Store,
        reserve: Option<Reserve>,
        setup: Setup,
    ) -> Result<Self, SpoolError> {
        let meta = Meta::load_or_make(&mut store, &setup)?;
        let Setup {
            bytes_max,
            encode_lost,
            ..
        } = setup;
        let inner = Inner {
            store,
            meta,
            waiting: Waiting::default(),
            reserve,
            bytes_max,
            encode_lost,
            heard: 0,
        };
        Ok(Self {
            inner: Mutex::new(inner),
        })
    }

    /// Made when the spool was made, so that a wiped spool shows.
    pub fn epoch(&self) -> Uuid {
        self.lock().meta.epoch
    }

    /// Counts for people.
    pub fn stats(&self) -> Stats {
        let inner = self.lock();
        Stats {
            spooled: inner.meta.stored,
            acknowledged: inner.meta.acknowledged,
            bytes: inner.meta.bytes.iter().sum(),
            waiting: inner.waiting.len() as u64,
            lost: inner.meta.lost_ever,
        }
    }

    /// A thread that panicked while it held the lock left either the old or the new state behind, because a
    /// transaction is applied to a copy: going on is safe.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Runs one transaction over the tables and a copy of the counts; the copy becomes the truth on commit.
    fn transact<T>(
        &mut self,
        work: impl FnOnce(&redb::WriteTransaction, &mut Meta) -> Result<T, SpoolError>,
    ) -> Result<T, SpoolError> {
        if self.store.is_closed() {
            // The last commit failed, perhaps after it had reached the disk: only the disk knows.
            self.meta = Meta::load(&mut self.store)?;
        }
        let mut meta = self.meta.clone();
        let done = self.store.write(|transaction| {
            let done = work(transaction, &mut meta)?;
            meta.save(transaction)?;
            Ok(done)
        });
        match done {
            Ok(done) => {
                self.meta = meta;
                if let Some(reserve) = &mut self.reserve {
                    reserve.refill();
                }
                Ok(done)
            }
            Err(error) => {
                if let Some(reserve) = &mut self.reserve
                    && store::is_full(&error)
                {
                    reserve.release();
                }
                Err(error)
            }
        }
    }
}
