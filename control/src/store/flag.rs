//! Flags that are set.

use sqlx::FromRow;
use stayhand_guardrail::{
    event::{EventKind, FlagChanged},
    id::{FlagName, UserName},
    policy::Flags,
    time::UnixMs,
};

use super::{Store, StoreError, Write, number, parse, unsigned};

/// A flag that is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFlag {
    /// Its name
    pub name: FlagName,
    /// Until when
    pub until: UnixMs,
    /// Who set it last
    pub set_by: UserName,
    /// Why
    pub reason: String,
    /// When
    pub set_time: UnixMs,
}

#[derive(FromRow)]
struct FlagRow {
    name: String,
    until_time: i64,
    set_by: String,
    reason: String,
    set_time: i64,
}

impl FlagRow {
    fn read(self) -> Result<StoredFlag, StoreError> {
        Ok(StoredFlag {
            name: parse("flag", &self.name)?,
            until: UnixMs(unsigned(self.until_time)),
            set_by: parse("flag", &self.set_by)?,
            reason: self.reason,
            set_time: UnixMs(unsigned(self.set_time)),
        })
    }
}

impl Write<'_> {
    /// Takes out those that ended; the rest is set at this time.
    pub async fn drop_ended_flags(&mut self, now: UnixMs) -> Result<Vec<StoredFlag>, StoreError> {
        sqlx::query("DELETE FROM flags WHERE until_time <= ?1")
            .bind(number(now.0)?)
            .execute(&mut *self.tx)
            .await?;
        set(&mut self.tx, now).await
    }

    /// Sets one, or sets it anew, with its audit record.
    pub async fn set_flag(&mut self, flag: &StoredFlag) -> Result<(), StoreError> {
        let StoredFlag {
            name,
            until,
            set_by,
            reason,
            set_time,
        } = flag;
        sqlx::query(
            "INSERT INTO flags (name, until_time, set_by, reason, set_time) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (name) DO UPDATE SET until_time = excluded.until_time, set_by = excluded.set_by,
                 reason = excluded.reason, set_time = excluded.set_time",
        )
        .bind(name.as_str())
        .bind(number(until.0)?)
        .bind(set_by.as_str())
        .bind(reason)
        .bind(number(set_time.0)?)
        .execute(&mut *self.tx)
        .await?;
        let record = FlagChanged {
            flag: name.clone(),
            until: Some(*until),
            by: set_by.clone(),
            reason: reason.clone(),
        };
        self.record(EventKind::FlagChanged(record), *set_time)
            .await
            .map(|_| ())
    }

    /// Takes one away, with its audit record.
    pub async fn clear_flag(&mut self, record: FlagChanged, now: UnixMs) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM flags WHERE name = ?1")
            .bind(record.flag.as_str())
            .execute(&mut *self.tx)
            .await?;
        self.record(EventKind::FlagChanged(record), now)
            .await
            .map(|_| ())
    }
}

impl Store {
    /// Flags that are set at this time, by name.
    pub async fn flags(&self, now: UnixMs) -> Result<Vec<StoredFlag>, StoreError> {
        set(&mut *self.read.acquire().await?, now).await
    }
}

/// For the desired state of a host.
pub(super) async fn told(
    connection: &mut sqlx::SqliteConnection,
    now: UnixMs,
) -> Result<Flags, StoreError> {
    let set = set(connection, now).await?;
    Ok(set.into_iter().map(|one| (one.name, one.until)).collect())
}

async fn set(
    connection: &mut sqlx::SqliteConnection,
    now: UnixMs,
) -> Result<Vec<StoredFlag>, StoreError> {
    let rows: Vec<FlagRow> =
        sqlx::query_as("SELECT * FROM flags WHERE until_time > ?1 ORDER BY name")
            .bind(number(now.0)?)
            .fetch_all(connection)
            .await?;
    rows.into_iter().map(FlagRow::read).collect()
}
