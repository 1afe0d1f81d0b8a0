//! Tokens with which programs act for an operator. What makes one worth something is only here as a digest.

use sqlx::{FromRow, SqliteConnection};
use stayhand_guardrail::{
    id::{AccessTokenId, UserName},
    time::UnixMs,
};

use super::{Store, StoreError, Write, list, number, parse, unlist, unsigned};
use crate::authz::Action;

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAccessToken {
    /// Which one
    pub id: AccessTokenId,
    /// SHA-256 of its secret
    pub digest: Vec<u8>,
    /// For what its maker says that it is
    pub purpose: String,
    /// For whom it acts
    pub user: UserName,
    /// What it may do at most
    pub actions: Vec<Action>,
    /// When it was made
    pub created: UnixMs,
    /// Until when it is worth something
    pub expires: UnixMs,
    /// When it was last used
    pub used: Option<UnixMs>,
    /// When it was taken away
    pub revoked: Option<UnixMs>,
    /// When somebody showed it last and did not get in
    pub refused: Option<UnixMs>,
}

#[derive(FromRow)]
struct TokenRow {
    token: String,
    digest: Vec<u8>,
    purpose: String,
    user: String,
    actions: String,
    create_time: i64,
    expire_time: i64,
    use_time: Option<i64>,
    revoke_time: Option<i64>,
    refuse_time: Option<i64>,
}

impl TokenRow {
    fn read(self) -> Result<StoredAccessToken, StoreError> {
        const WHAT: &str = "access token";
        let time = |at: i64| UnixMs(unsigned(at));
        let words: Vec<String> = unlist(WHAT, &self.actions)?;
        // An action that this build does not have is one less, never another one.
        let actions = words.iter().filter_map(|word| Action::from_word(word));
        Ok(StoredAccessToken {
            id: parse(WHAT, &self.token)?,
            digest: self.digest,
            purpose: self.purpose,
            user: parse(WHAT, &self.user)?,
            actions: actions.collect(),
            created: time(self.create_time),
            expires: time(self.expire_time),
            used: self.use_time.map(time),
            revoked: self.revoke_time.map(time),
            refused: self.refuse_time.map(time),
        })
    }
}

async fn one(
    connection: &mut SqliteConnection,
    id: AccessTokenId,
) -> Result<Option<StoredAccessToken>, StoreError> {
    let row: Option<TokenRow> = sqlx::query_as("SELECT * FROM access_tokens WHERE token = ?1")
        .bind(id.to_string())
        .fetch_optional(connection)
        .await?;
    row.map(TokenRow::read).transpose()
}

async fn live(
    connection: &mut SqliteConnection,
    user: Option<&UserName>,
    now: UnixMs,
) -> Result<Vec<StoredAccessToken>, StoreError> {
    let rows: Vec<TokenRow> = sqlx::query_as(
        "SELECT * FROM access_tokens WHERE expire_time > ?1 AND revoke_time IS NULL AND (?2 IS NULL OR user = ?2)
         ORDER BY create_time DESC, token",
    )
    .bind(number(now.0)?)
    .bind(user.map(UserName::as_str))
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(TokenRow::read).collect()
}

impl Write<'_> {
    /// Writes a new one.
    pub async fn add_access_token(&mut self, token: &StoredAccessToken) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO access_tokens (token, digest, purpose, user, actions, create_time, expire_time)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )
        .bind(token.id.to_string())
        .bind(&token.digest)
        .bind(&token.purpose)
        .bind(token.user.as_str())
        .bind(list(&token.actions))
        .bind(number(token.created.0)?)
        .bind(number(token.expires.0)?)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// One of them, whether it is worth something or not.
    pub async fn access_token(
        &mut self,
        id: AccessTokenId,
    ) -> Result<Option<StoredAccessToken>, StoreError> {
        one(&mut self.tx, id).await
    }

    /// Those that are worth something, newest first; of one person only, or of all.
    pub async fn live_access_tokens(
        &mut self,
        user: Option<&UserName>,
        now: UnixMs,
    ) -> Result<Vec<StoredAccessToken>, StoreError> {
        live(&mut self.tx, user, now).await
    }

    /// It was used.
    pub async fn access_token_used(
        &mut self,
        id: AccessTokenId,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        self.stamp_access_token(
            "UPDATE access_tokens SET use_time = ?2 WHERE token = ?1",
            id,
            now,
        )
        .await
    }

    /// It is worth nothing any more.
    pub async fn revoke_access_token(
        &mut self,
        id: AccessTokenId,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        self.stamp_access_token(
            "UPDATE access_tokens SET revoke_time = ?2 WHERE token = ?1",
            id,
            now,
        )
        .await
    }

    /// Somebody showed it and did not get in.
    pub async fn refuse_access_token(
        &mut self,
        id: AccessTokenId,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        self.stamp_access_token(
            "UPDATE access_tokens SET refuse_time = ?2 WHERE token = ?1",
            id,
            now,
        )
        .await
    }

    async fn stamp_access_token(
        &mut self,
        statement: &'static str,
        id: AccessTokenId,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        sqlx::query(statement)
            .bind(id.to_string())
            .bind(number(now.0)?)
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// Forgets those that ended before, once nothing that they opened is there any more.
    pub async fn drop_old_access_tokens(&mut self, before: UnixMs) -> Result<(), StoreError> {
        sqlx::query(
            "DELETE FROM access_tokens WHERE expire_time < ?1
                 AND NOT EXISTS (SELECT 1 FROM sessions AS s WHERE s.token = access_tokens.token)",
        )
        .bind(number(before.0)?)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }
}

impl Store {
    /// One of them, whether it is worth something or not.
    pub async fn access_token(
        &self,
        id: AccessTokenId,
    ) -> Result<Option<StoredAccessToken>, StoreError> {
        one(&mut *self.read.acquire().await?, id).await
    }

    /// Those that are worth something, newest first.
    pub async fn access_tokens(&self, now: UnixMs) -> Result<Vec<StoredAccessToken>, StoreError> {
        live(&mut *self.read.acquire().await?, None, now).await
    }
}
