//! Locks that stand. One that is there counts: when it ends, the ticker takes it away and publishes in one transaction, so that what
//! hosts are sent never depends on the clock of whoever looks.

use sqlx::{FromRow, SqliteConnection};
use stayhand_guardrail::{
    event::{EventKind, LockChange, LockChanged},
    id::{Generation, UserName},
    lock::{Lock, Target},
    time::UnixMs,
};

use super::{Store, StoreError, Write, number, parse, unsigned};

/// A lock and what the store knows besides.
#[derive(Clone, Debug)]
pub struct StoredLock {
    /// The lock
    pub lock: Lock,
    /// In which hosts heard of it; 0 where none had to
    pub generation: Generation,
}

#[derive(FromRow)]
struct LockRow {
    id: String,
    user: Option<String>,
    host: Option<String>,
    until_time: Option<i64>,
    created_by: String,
    reason: String,
    create_time: i64,
    generation: i64,
}

impl LockRow {
    fn read(self) -> Result<StoredLock, StoreError> {
        let user = self.user.map(|user| parse("lock", &user)).transpose()?;
        let host = self.host.map(|host| parse("lock", &host)).transpose()?;
        let target = Target::new(user, host);
        let lock = Lock {
            id: parse("lock", &self.id)?,
            target: target
                .ok_or_else(|| StoreError::corrupt("lock", "it is on nobody and nothing"))?,
            until: self.until_time.map(|at| UnixMs(unsigned(at))),
            created_by: parse("lock", &self.created_by)?,
            reason: self.reason,
            create_time: UnixMs(unsigned(self.create_time)),
        };
        Ok(StoredLock {
            lock,
            generation: Generation(unsigned(self.generation)),
        })
    }
}

impl Write<'_> {
    /// Every lock.
    pub async fn locks(&mut self) -> Result<Vec<Lock>, StoreError> {
        standing(&mut self.tx).await
    }

    /// Adds one of which hosts hear in this generation, with its audit record.
    pub async fn put_lock(
        &mut self,
        lock: &Lock,
        generation: Generation,
    ) -> Result<(), StoreError> {
        let Lock {
            id,
            target,
            until,
            created_by,
            reason,
            create_time,
        } = lock;
        sqlx::query(
            "INSERT INTO locks (id, user, host, until_time, created_by, reason, create_time, generation)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )
        .bind(id.to_string())
        .bind(target.user().map(ToString::to_string))
        .bind(target.host().map(ToString::to_string))
        .bind(until.map(|at| number(at.0)).transpose()?)
        .bind(created_by.as_str())
        .bind(reason)
        .bind(number(create_time.0)?)
        .bind(number(generation.0)?)
        .execute(&mut *self.tx)
        .await?;
        // Whoever watches a grant is shown what is so of it now.
        self.touched.grants = true;
        let by = (created_by.clone(), reason.clone());
        self.lock_changed(lock, LockChange::Created, Some(by), *create_time)
            .await
    }

    /// Takes one away, with its audit record: who did it and why, where somebody did.
    pub async fn drop_lock(
        &mut self,
        lock: &Lock,
        by: Option<(UserName, String)>,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM locks WHERE id = ?1")
            .bind(lock.id.to_string())
            .execute(&mut *self.tx)
            .await?;
        self.touched.grants = true;
        let change = if by.is_some() {
            LockChange::Removed
        } else {
            LockChange::Ended
        };
        self.lock_changed(lock, change, by, now).await
    }

    async fn lock_changed(
        &mut self,
        lock: &Lock,
        change: LockChange,
        by: Option<(UserName, String)>,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        let (by, reason) = by.unzip();
        let record = LockChanged {
            lock: lock.id,
            target: lock.target.clone(),
            change,
            until: lock.until,
            by,
            reason,
        };
        self.record(EventKind::LockChanged(record), now)
            .await
            .map(|_| ())
    }
}

impl Store {
    /// Every lock, the oldest first.
    pub async fn locks(&self) -> Result<Vec<StoredLock>, StoreError> {
        stored(&mut *self.read.acquire().await?).await
    }
}

/// For the desired state of a host, too.
pub(super) async fn standing(connection: &mut SqliteConnection) -> Result<Vec<Lock>, StoreError> {
    let stored = stored(connection).await?;
    Ok(stored.into_iter().map(|one| one.lock).collect())
}

async fn stored(connection: &mut SqliteConnection) -> Result<Vec<StoredLock>, StoreError> {
    let rows: Vec<LockRow> = sqlx::query_as("SELECT * FROM locks ORDER BY create_time, id")
        .fetch_all(connection)
        .await?;
    rows.into_iter().map(LockRow::read).collect()
}
