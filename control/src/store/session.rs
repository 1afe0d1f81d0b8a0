//! Sessions of operators over the network. A certificate that is not stored does not count: signing alone is not enough.

use sqlx::{FromRow, SqliteConnection};
use stayhand_guardrail::{
    event::Door,
    id::{AccessTokenId, SessionId, UserName},
    time::UnixMs,
};
use stayhand_transport::{Certificate, Serial};

use super::{Store, StoreError, Write, number, parse, unsigned};

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSession {
    /// Which one
    pub id: SessionId,
    /// Number of its certificate
    pub serial: Serial,
    /// SHA-256 of that
    pub digest: [u8; 32],
    /// Which authority signed it
    pub authority: u32,
    /// Whose it is
    pub user: UserName,
    /// How they are known
    pub door: Door,
    /// Who the identity provider says that they are
    pub subject: Option<String>,
    /// The token with which it was opened
    pub token: Option<AccessTokenId>,
    /// From where it was opened
    pub address: Option<String>,
    /// When it was opened
    pub created: UnixMs,
    /// Until when it counts
    pub expires: UnixMs,
    /// When it was last used, to the minute
    pub used: Option<UnixMs>,
    /// When it was ended, by whom, and why
    pub revoked: Option<SessionEnd>,
}

/// How a session was ended before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionEnd {
    /// When
    pub at: UnixMs,
    /// Who did it; none where the authority of its certificate went
    pub by: Option<UserName>,
    /// Why
    pub reason: String,
}

/// Which sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Everybody's
    All,
    /// This one
    One(SessionId),
    /// Of a person
    User(UserName),
    /// What was opened with a token
    Token(AccessTokenId),
}

#[derive(FromRow)]
struct SessionRow {
    session: String,
    serial: Vec<u8>,
    digest: Vec<u8>,
    authority: u32,
    user: String,
    door: String,
    subject: Option<String>,
    token: Option<String>,
    address: Option<String>,
    create_time: i64,
    expire_time: i64,
    use_time: Option<i64>,
    revoke_time: Option<i64>,
    revoked_by: Option<String>,
    revoke_reason: Option<String>,
}

impl SessionRow {
    fn read(self) -> Result<StoredSession, StoreError> {
        const WHAT: &str = "session";
        let time = |at: i64| UnixMs(unsigned(at));
        let by = self.revoked_by.map(|by| parse(WHAT, &by)).transpose()?;
        let revoked = self.revoke_time.map(|at| SessionEnd {
            at: time(at),
            by,
            reason: self.revoke_reason.unwrap_or_default(),
        });
        let digest = self.digest.try_into();
        let door = Door::from_word(&self.door);
        Ok(StoredSession {
            id: parse(WHAT, &self.session)?,
            serial: Serial::new(&self.serial),
            digest: digest.map_err(|_| StoreError::corrupt(WHAT, "no digest"))?,
            authority: self.authority,
            user: parse(WHAT, &self.user)?,
            door: door.ok_or_else(|| StoreError::corrupt(WHAT, "no door"))?,
            subject: self.subject,
            token: self.token.map(|token| parse(WHAT, &token)).transpose()?,
            address: self.address,
            created: time(self.create_time),
            expires: time(self.expire_time),
            used: self.use_time.map(time),
            revoked,
        })
    }
}

async fn live(
    connection: &mut SqliteConnection,
    whose: &Whose,
    now: UnixMs,
) -> Result<Vec<StoredSession>, StoreError> {
    let (one, user, token) = match whose {
        Whose::All => (None, None, None),
        Whose::One(id) => (Some(id.to_string()), None, None),
        Whose::User(user) => (None, Some(user.as_str()), None),
        Whose::Token(token) => (None, None, Some(token.to_string())),
    };
    let rows: Vec<SessionRow> = sqlx::query_as(
        "SELECT * FROM sessions WHERE expire_time > ?1 AND revoke_time IS NULL
             AND (?2 IS NULL OR session = ?2) AND (?3 IS NULL OR user = ?3) AND (?4 IS NULL OR token = ?4)
         ORDER BY create_time DESC, session",
    )
    .bind(number(now.0)?)
    .bind(one)
    .bind(user)
    .bind(token)
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(SessionRow::read).collect()
}

impl Write<'_> {
    /// Those that count, newest first.
    pub async fn live_sessions(
        &mut self,
        whose: &Whose,
        now: UnixMs,
    ) -> Result<Vec<StoredSession>, StoreError> {
        live(&mut self.tx, whose, now).await
    }

    /// How many of a person's sessions count that a token did not open, or of a token's.
    pub async fn count_sessions(
        &mut self,
        user: &UserName,
        token: Option<AccessTokenId>,
        now: UnixMs,
    ) -> Result<u32, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT count(*) FROM sessions WHERE user = ?1 AND token IS ?2 AND revoke_time IS NULL AND expire_time > ?3",
        )
        .bind(user.as_str())
        .bind(token.map(|token| token.to_string()))
        .bind(number(now.0)?)
        .fetch_one(&mut *self.tx)
        .await?)
    }

    /// Writes a session down; before that its certificate counts for nothing.
    pub async fn add_session(&mut self, session: &StoredSession) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO sessions (session, serial, digest, authority, user, door, subject, token, address, create_time, expire_time)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )
        .bind(session.id.to_string())
        .bind(session.serial.as_bytes())
        .bind(session.digest.as_slice())
        .bind(session.authority)
        .bind(session.user.as_str())
        .bind(session.door.as_str())
        .bind(&session.subject)
        .bind(session.token.map(|token| token.to_string()))
        .bind(&session.address)
        .bind(number(session.created.0)?)
        .bind(number(session.expires.0)?)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// A session was used.
    pub async fn session_used(&mut self, id: SessionId, now: UnixMs) -> Result<(), StoreError> {
        sqlx::query("UPDATE sessions SET use_time = ?2 WHERE session = ?1")
            .bind(id.to_string())
            .bind(number(now.0)?)
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// It counts no more, and the connections that it opened end.
    pub async fn revoke_session(
        &mut self,
        id: SessionId,
        revoked: &SessionEnd,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE sessions SET revoke_time = ?2, revoked_by = ?3, revoke_reason = ?4
             WHERE session = ?1 AND revoke_time IS NULL",
        )
        .bind(id.to_string())
        .bind(number(revoked.at.0)?)
        .bind(revoked.by.as_ref().map(UserName::as_str))
        .bind(&revoked.reason)
        .execute(&mut *self.tx)
        .await?;
        self.touched.certificates = true;
        Ok(())
    }

    /// Whether a session that counts, or a token, knows no authority but those up to this one.
    pub async fn access_needs(
        &mut self,
        authority: u32,
        since: UnixMs,
        now: UnixMs,
    ) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM sessions WHERE authority <= ?1 AND revoke_time IS NULL AND expire_time > ?3)
                 OR EXISTS (SELECT 1 FROM access_tokens WHERE create_time <= ?2 AND revoke_time IS NULL AND expire_time > ?3)",
        )
        .bind(authority)
        .bind(number(since.0)?)
        .bind(number(now.0)?)
        .fetch_one(&mut *self.tx)
        .await?)
    }

    /// Forgets sessions that are over.
    pub async fn drop_old_sessions(&mut self, before: UnixMs) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM sessions WHERE expire_time < ?1")
            .bind(number(before.0)?)
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }
}

impl Store {
    /// Those that count, newest first.
    pub async fn live_sessions(
        &self,
        whose: &Whose,
        now: UnixMs,
    ) -> Result<Vec<StoredSession>, StoreError> {
        live(&mut *self.read.acquire().await?, whose, now).await
    }

    /// The session of a certificate, whether it counts or not. One that is not the very one that was issued under its number has
    /// none.
    pub async fn session_of(
        &self,
        certificate: &Certificate,
        user: &UserName,
    ) -> Result<Option<StoredSession>, StoreError> {
        let row: Option<SessionRow> = sqlx::query_as(
            "SELECT * FROM sessions WHERE serial = ?1 AND user = ?2 AND digest = ?3",
        )
        .bind(certificate.serial.as_bytes())
        .bind(user.as_str())
        .bind(certificate.digest.as_slice())
        .fetch_optional(&self.read)
        .await?;
        row.map(SessionRow::read).transpose()
    }
}
