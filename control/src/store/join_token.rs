//! Tokens with which hosts join. What makes one worth something is only here as a digest.

use sqlx::FromRow;
use stayhand_guardrail::{
    id::{HostId, JoinTokenId, UserName},
    time::UnixMs,
};

use super::{Store, StoreError, Write, number, parse, unsigned};

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredToken {
    /// Which one
    pub id: JoinTokenId,
    /// SHA-256 of its secret
    pub digest: Vec<u8>,
    /// Who made it
    pub created_by: UserName,
    /// When
    pub created: UnixMs,
    /// Until when it is worth something
    pub expires: UnixMs,
    /// For how many hosts more
    pub uses_left: u32,
    /// For this one only
    pub host: Option<HostId>,
    /// Which may have joined before
    pub replaces: bool,
    /// When it was taken away
    pub revoked: Option<UnixMs>,
    /// When somebody showed it last and did not get in
    pub refused: Option<UnixMs>,
}

#[derive(FromRow)]
struct TokenRow {
    token: String,
    digest: Vec<u8>,
    created_by: String,
    create_time: i64,
    expire_time: i64,
    uses_left: u32,
    host: Option<String>,
    replaces: bool,
    revoke_time: Option<i64>,
    refuse_time: Option<i64>,
}

impl TokenRow {
    fn read(self) -> Result<StoredToken, StoreError> {
        let host = self.host.map(|host| parse("join token", &host));
        Ok(StoredToken {
            id: parse("join token", &self.token)?,
            digest: self.digest,
            created_by: parse("join token", &self.created_by)?,
            created: UnixMs(unsigned(self.create_time)),
            expires: UnixMs(unsigned(self.expire_time)),
            uses_left: self.uses_left,
            host: host.transpose()?,
            replaces: self.replaces,
            revoked: self.revoke_time.map(|at| UnixMs(unsigned(at))),
            refused: self.refuse_time.map(|at| UnixMs(unsigned(at))),
        })
    }
}

impl Write<'_> {
    /// Writes a new one.
    pub async fn add_token(&mut self, token: &StoredToken) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO join_tokens (token, digest, created_by, create_time, expire_time, uses_left, host, replaces)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )
        .bind(token.id.to_string())
        .bind(&token.digest)
        .bind(token.created_by.as_str())
        .bind(number(token.created.0)?)
        .bind(number(token.expires.0)?)
        .bind(token.uses_left)
        .bind(token.host.as_ref().map(HostId::as_str))
        .bind(token.replaces)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// One of them, whether it is worth something or not.
    pub async fn token(&mut self, id: JoinTokenId) -> Result<Option<StoredToken>, StoreError> {
        one(&mut self.tx, id).await
    }

    /// Those that are worth something.
    pub async fn live_tokens(&mut self, now: UnixMs) -> Result<Vec<StoredToken>, StoreError> {
        live(&mut self.tx, now).await
    }

    /// One host joined with it.
    pub async fn use_token(&mut self, id: JoinTokenId) -> Result<(), StoreError> {
        sqlx::query("UPDATE join_tokens SET uses_left = uses_left - 1 WHERE token = ?1")
            .bind(id.to_string())
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// Nobody joins with it any more.
    pub async fn revoke_token(&mut self, id: JoinTokenId, now: UnixMs) -> Result<(), StoreError> {
        sqlx::query("UPDATE join_tokens SET revoke_time = ?2 WHERE token = ?1")
            .bind(id.to_string())
            .bind(number(now.0)?)
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// Somebody showed it and did not get in.
    pub async fn refuse_token(&mut self, id: JoinTokenId, now: UnixMs) -> Result<(), StoreError> {
        sqlx::query("UPDATE join_tokens SET refuse_time = ?2 WHERE token = ?1")
            .bind(id.to_string())
            .bind(number(now.0)?)
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// Forgets those that ended before.
    pub async fn drop_old_tokens(&mut self, before: UnixMs) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM join_tokens WHERE expire_time < ?1")
            .bind(number(before.0)?)
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }
}

impl Store {
    /// One of them, whether it is worth something or not.
    pub async fn token(&self, id: JoinTokenId) -> Result<Option<StoredToken>, StoreError> {
        one(&mut *self.read.acquire().await?, id).await
    }

    /// Those that are worth something, newest first.
    pub async fn tokens(&self, now: UnixMs) -> Result<Vec<StoredToken>, StoreError> {
        live(&mut *self.read.acquire().await?, now).await
    }
}

async fn one(
    connection: &mut sqlx::SqliteConnection,
    id: JoinTokenId,
) -> Result<Option<StoredToken>, StoreError> {
    let row: Option<TokenRow> = sqlx::query_as("SELECT * FROM join_tokens WHERE token = ?1")
        .bind(id.to_string())
        .fetch_optional(connection)
        .await?;
    row.map(TokenRow::read).transpose()
}

async fn live(
    connection: &mut sqlx::SqliteConnection,
    now: UnixMs,
) -> Result<Vec<StoredToken>, StoreError> {
    let rows: Vec<TokenRow> = sqlx::query_as(
        "SELECT * FROM join_tokens WHERE expire_time > ?1 AND uses_left > 0 AND revoke_time IS NULL
         ORDER BY create_time DESC, token",
    )
    .bind(number(now.0)?)
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(TokenRow::read).collect()
}
