//! What was decided, on disk: SQLite with one writer. The only user of the database; decides nothing.
//!
//! Everything that belongs together is one [`Write`]: it is committed as a whole or not at all, and who waits for
//! a change hears of it only after the commit.

mod access_token;
mod authority;
mod commit;
mod count;
mod due;
mod error;
mod event;
mod flag;
mod freshness;
mod gather;
mod grant;
mod hold;
mod host;
mod join_token;
mod locks;
mod member;
mod policy;
mod proposal;
mod rollout;
mod room;
mod session;
mod signal;
mod state;
mod state_dir;
mod write;

pub use access_token::StoredAccessToken;
pub use authority::StoredAuthority;
pub use commit::Commits;
pub use count::Counted;
pub use error::StoreError;
pub use event::{Stored, StreamGap};
pub use flag::StoredFlag;
pub(crate) use gather::Gather;
pub use grant::{GrantFilter, StoredGrant};
pub use hold::StoredHold;
pub use host::{StoredHost, StoredProgress, Word};
pub use join_token::StoredToken;
pub use locks::StoredLock;
pub use member::{Revoked, Standing, StoredCertificate, StoredMember};
pub use policy::{Cause, StoredPolicy};
pub use rollout::InForce;
pub use room::Growth;
pub use session::{SessionEnd, StoredSession, Whose};
pub use signal::Signals;
pub use state::Looked;
pub use state_dir::StateDir;
pub use write::Write;

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use sqlx::{
    Connection as _, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use stayhand_guardrail::id::HostId;
use tokio::sync::Mutex;
use uuid::Uuid;

/// Readers at once: a reader is a thread; more than the cores of a small machine gain nothing.
const READERS: u32 = 4;
/// Only this process uses the database, so nobody waits for long; an operator's backup tool may read along.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Who waits longer for the writer gets an error: the disk is stuck.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(20);
/// Page size that new databases get; fixed so that `database_mib_max` means what it says.
const PAGE_BYTES: u32 = 4_096;

/// Who the control plane is in its own events.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The machine's name
    pub host: HostId,
    /// Its boot
    pub boot_id: Uuid,
    /// Made with the store
    pub epoch: Uuid,
}

/// The store.
#[derive(Debug)]
pub struct Store {
    write: SqlitePool,
    read: SqlitePool,
    /// Whose turn it is of those who change something for a host
    turn: Mutex<()>,
    states: state::States,
    origin: Origin,
    signals: Signals,
    commits: Option<Arc<dyn Commits>>,
    room: room::Room,
    _state_dir: StateDir,
    /// See [`Store::begins`]
    begun_ms: AtomicU64,
}

impl Store {
    /// Opens the database of a state directory; makes it, or brings it to this version's schema.
    pub async fn open(
        state_dir: StateDir,
        host: HostId,
        boot_id: Uuid,
        mib_max: Option<u32>,
    ) -> Result<Self, StoreError> {
        // An acknowledged commit survives a power failure.
        let durable = SqliteSynchronous::Full;
        Self::open_with(state_dir, host, boot_id, mib_max, durable).await
    }

    /// The same with somebody who stands at every commit. Commits survive the process, not the machine: whoever crashes here
    /// is simulated, and waits for no disk.
    pub async fn open_simulated(
        state_dir: StateDir,
        host: HostId,
        boot_id: Uuid,
        commits: Arc<dyn Commits>,
    ) -> Result<Self, StoreError> {
        let store = Self::open_with(state_dir, host, boot_id, None, SqliteSynchronous::Off).await?;
        Ok(Self {
            commits: Some(commits),
            // Whoever simulates looks at no disk.
            room: room::Room::new(None, None),
            states: state::States::new(true),
            ..store
        })
    }

    async fn open_with(
        state_dir: StateDir,
        host: HostId,
        boot_id: Uuid,
        mib_max: Option<u32>,
        durable: SqliteSynchronous,
    ) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(state_dir.database()?)
            .page_size(PAGE_BYTES)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(durable)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("trusted_schema", "OFF");
        let pages_max = mib_max.map(|mib| u64::from(mib) * u64::from((1 << 20) / PAGE_BYTES));
        let writer = match pages_max {
            Some(pages) => options.clone().pragma("max_page_count", pages.to_string()),
            None => options.clone(),
        };
        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .idle_timeout(None)
                .max_lifetime(None)
                // There is no network that a connection could have been lost over meanwhile, and the driver looks when it gets it back.
                .test_before_acquire(false)
        };
        let write = pool(1)
            // A full disk ends a transaction inside the database; the driver's own undoing then fails, and that
            // connection could never begin another. The ping waits for the undoing.
            .after_release(|connection, _| {
                Box::pin(async move {
                    connection.ping().await?;
                    Ok(!connection.is_in_transaction())
                })
            })
            .connect_with(writer)
            .await?;
        sqlx::migrate!().run(&write).await?;
        let read = pool(READERS)
            .connect_with(options.pragma("query_only", "ON"))
            .await?;
        let epoch = epoch(&write).await?;
        let origin = Origin {
            host,
            boot_id,
            epoch,
        };
        Ok(Self {
            write,
            read,
            turn: Mutex::default(),
            begun_ms: AtomicU64::new(0),
            states: state::States::new(false),
            origin,
            signals: Signals::default(),
            commits: None,
            room: room::Room::new(Some(state_dir.path()), pages_max),
            _state_dir: state_dir,
        })
    }

    /// Begins a change. The writer is held until it is committed or dropped, which undoes it.
    pub async fn begin(&self) -> Result<Write<'_>, StoreError> {
        let tx = self.write.begin_with("BEGIN IMMEDIATE").await?;
        Ok(Write::new(
            tx,
            &self.origin,
            &self.signals,
            self.commits.as_deref(),
            &self.room,
        ))
    }

    /// Begins a change that a host's word makes. One of them at a time waits for the writer: whatever a whole fleet says at once,
    /// an operator's revocation waits for one or two of them and not for all.
    pub async fn begin_for_host(&self) -> Result<Write<'_>, StoreError> {
        // ORDER: the turn first, and the writer only with it in hand.
        let turn = self.turn.lock().await;
        Ok(self.begin().await?.in_turn(turn))
    }

    /// Where to wait for changes.
    pub fn signals(&self) -> &Signals {
        &self.signals
    }

    /// Who the control plane is in its own events.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Writes everything into the database file and closes it.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

/// The store's epoch, made at the first start.
async fn epoch(write: &SqlitePool) -> Result<Uuid, StoreError> {
    sqlx::query(
        "INSERT OR IGNORE INTO meta (one, epoch, generation, hold_change) VALUES (1, ?1, 1, 0)",
    )
    .bind(Uuid::new_v4().to_string())
    .execute(write)
    .await?;
    let text: String = sqlx::query_scalar("SELECT epoch FROM meta")
        .fetch_one(write)
        .await?;
    text.parse()
        .map_err(|problem| StoreError::corrupt("epoch", problem))
}

/// A number as the database has it.
fn number(value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|_| StoreError::TooLarge(value))
}

/// A number from the database; none there is negative.
fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// A list of texts as the database has it.
fn list<T: ToString>(items: &[T]) -> String {
    let texts: Vec<String> = items.iter().map(ToString::to_string).collect();
    serde_json::Value::from(texts).to_string()
}

/// A list of texts from the database.
fn unlist<T: std::str::FromStr<Err: std::fmt::Display>>(
    what: &'static str,
    text: &str,
) -> Result<Vec<T>, StoreError> {
    let texts: Vec<String> =
        serde_json::from_str(text).map_err(|problem| StoreError::corrupt(what, problem))?;
    texts.iter().map(|text| parse(what, text)).collect()
}

/// A text from the database.
fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(
    what: &'static str,
    text: &str,
) -> Result<T, StoreError> {
    text.parse()
        .map_err(|problem: T::Err| StoreError::corrupt(what, problem))
}
