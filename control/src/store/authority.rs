//! Authorities: their certificates. The newest issues; older ones are believed until every host has left them. Their keys are not
//! here.

use sqlx::{FromRow, SqliteConnection};
use stayhand_guardrail::{
    id::{AuthoritiesRevision, HostId},
    time::UnixMs,
};

use super::{Store, StoreError, Write, number, parse, unsigned};

/// An authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAuthority {
    /// From 1
    pub number: u32,
    /// Its certificate (DER)
    pub certificate: Vec<u8>,
    /// When it was made
    pub created: UnixMs,
}

#[derive(FromRow)]
struct AuthorityRow {
    number: u32,
    certificate: Vec<u8>,
    create_time: i64,
}

impl Write<'_> {
    /// Every authority, oldest first.
    pub async fn authorities(&mut self) -> Result<Vec<StoredAuthority>, StoreError> {
        authorities(&mut self.tx).await
    }

    /// Writes a new one.
    pub async fn add_authority(&mut self, authority: &StoredAuthority) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO authorities (number, certificate, create_time) VALUES (?1, ?2, ?3)",
        )
        .bind(authority.number)
        .bind(&authority.certificate)
        .bind(number(authority.created.0)?)
        .execute(&mut *self.tx)
        .await?;
        self.next_authorities().await
    }

    /// Forgets one that nobody is to believe any more.
    pub async fn drop_authority(&mut self, authority: u32, now: UnixMs) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM authorities WHERE number = ?1")
            .bind(authority)
            .execute(&mut *self.tx)
            .await?;
        // Streams that it opened end with it.
        sqlx::query("UPDATE certificates SET revoked = 1 WHERE authority = ?1")
            .bind(authority)
            .execute(&mut *self.tx)
            .await?;
        sqlx::query(
            "UPDATE sessions SET revoke_time = ?2, revoke_reason = 'the authority of its certificate was ended'
             WHERE authority = ?1 AND revoke_time IS NULL",
        )
        .bind(authority)
        .bind(number(now.0)?)
        .execute(&mut *self.tx)
        .await?;
        self.touched.certificates = true;
        self.next_authorities().await
    }

    /// Hosts, not revoked ones, that have not shown a certificate of this authority or a newer one yet.
    pub async fn hosts_behind(
        &mut self,
        authority: u32,
        now: UnixMs,
    ) -> Result<Vec<HostId>, StoreError> {
        behind(&mut self.tx, authority, now).await
    }

    /// Another set of authorities counts from here on: every host is to hear of it.
    async fn next_authorities(&mut self) -> Result<(), StoreError> {
        sqlx::query("UPDATE meta SET authorities_revision = authorities_revision + 1")
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }
}

impl Store {
    /// See [`Write::hosts_behind`].
    pub async fn hosts_behind(
        &self,
        authority: u32,
        now: UnixMs,
    ) -> Result<Vec<HostId>, StoreError> {
        behind(&mut *self.read.acquire().await?, authority, now).await
    }

    /// Every authority, oldest first, and the number of that set.
    pub async fn authorities(
        &self,
    ) -> Result<(AuthoritiesRevision, Vec<StoredAuthority>), StoreError> {
        let mut snapshot = self.read.begin().await?;
        let revision: i64 = sqlx::query_scalar("SELECT authorities_revision FROM meta")
            .fetch_one(&mut *snapshot)
            .await?;
        let all = authorities(&mut snapshot).await?;
        snapshot.commit().await?;
        Ok((AuthoritiesRevision(unsigned(revision)), all))
    }
}

async fn behind(
    connection: &mut SqliteConnection,
    authority: u32,
    now: UnixMs,
) -> Result<Vec<HostId>, StoreError> {
    let hosts: Vec<String> = sqlx::query_scalar(
        "SELECT host FROM members AS m WHERE revoke_time IS NULL AND NOT EXISTS
             (SELECT 1 FROM certificates AS c WHERE c.host = m.host AND c.authority >= ?1 AND c.used AND NOT c.revoked
                  AND c.expire_time > ?2)
         ORDER BY host",
    )
    .bind(authority)
    .bind(number(now.0)?)
    .fetch_all(connection)
    .await?;
    hosts.iter().map(|host| parse("member", host)).collect()
}

async fn authorities(
    connection: &mut SqliteConnection,
) -> Result<Vec<StoredAuthority>, StoreError> {
    let rows: Vec<AuthorityRow> = sqlx::query_as("SELECT * FROM authorities ORDER BY number")
        .fetch_all(connection)
        .await?;
    let read = rows.into_iter().map(|row| {
        Ok(StoredAuthority {
            number: row.number,
            certificate: row.certificate,
            created: UnixMs(unsigned(row.create_time)),
        })
    });
    read.collect()
}
