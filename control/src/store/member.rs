//! Hosts that joined, and their certificates. A certificate that is not stored does not count: signing alone is not enough.

use std::collections::BTreeSet;

use sqlx::{FromRow, SqliteConnection};
use stayhand_guardrail::{
    id::{AuthoritiesRevision, HostId, JoinTokenId, UserName},
    time::UnixMs,
};
use stayhand_transport::{Certificate, Serial};

use super::{Store, StoreError, Write, number, parse, unsigned};

/// A host that joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMember {
    /// The host
    pub host: HostId,
    /// Public half of the key to which it is bound
    pub bound_key: Vec<u8>,
    /// With what it joined
    pub token: JoinTokenId,
    /// When
    pub joined: UnixMs,
    /// How often it got a certificate by its bound key
    pub recoveries: u32,
    /// When it did so last
    pub recovered: Option<UnixMs>,
    /// When it lost its certificates, by whom, and why
    pub revoked: Option<Revoked>,
    /// Until when its newest certificate counts
    pub certificate_end: Option<UnixMs>,
}

/// How a host lost its certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// When
    pub at: UnixMs,
    /// Who did it
    pub by: UserName,
    /// Why
    pub reason: String,
}

/// A certificate that was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCertificate {
    /// Its number
    pub serial: Serial,
    /// SHA-256 of it
    pub digest: [u8; 32],
    /// Whose it is
    pub host: HostId,
    /// Which authority signed it
    pub authority: u32,
    /// Of which set of authorities its host heard with it
    pub authorities: AuthoritiesRevision,
    /// Until when it counts
    pub expires: UnixMs,
}

/// What a certificate is worth, its time aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It counts
    Good {
        /// Whether its host has shown it before
        used: bool,
    },
    /// Nobody here issued it, or a copy of this store from before did not know yet
    Unknown,
    /// It was taken away; how, where the host itself was revoked
    Revoked(Option<Revoked>),
}

#[derive(FromRow)]
struct MemberRow {
    host: String,
    bound_key: Vec<u8>,
    token: String,
    join_time: i64,
    recoveries: u32,
    recover_time: Option<i64>,
    revoke_time: Option<i64>,
    revoked_by: Option<String>,
    revoke_reason: Option<String>,
    certificate_end: Option<i64>,
}

impl MemberRow {
    fn read(self) -> Result<StoredMember, StoreError> {
        let time = |at: i64| UnixMs(unsigned(at));
        let revoked = match (self.revoke_time, self.revoked_by, self.revoke_reason) {
            (Some(at), Some(by), Some(reason)) => Some(Revoked {
                at: time(at),
                by: parse("member", &by)?,
                reason,
            }),
            _ => None,
        };
        Ok(StoredMember {
            host: parse("member", &self.host)?,
            bound_key: self.bound_key,
            token: parse("member", &self.token)?,
            joined: time(self.join_time),
            recoveries: self.recoveries,
            recovered: self.recover_time.map(time),
            revoked,
            certificate_end: self.certificate_end.map(time),
        })
    }
}

const MEMBERS: &str = "SELECT m.*,
         (SELECT max(expire_time) FROM certificates AS c WHERE c.host = m.host AND NOT c.revoked) AS certificate_end
     FROM members AS m WHERE ?1 IS NULL OR m.host = ?1";

async fn members(
    connection: &mut SqliteConnection,
    only: Option<&HostId>,
) -> Result<Vec<StoredMember>, StoreError> {
    let rows: Vec<MemberRow> = sqlx::query_as(MEMBERS)
        .bind(only.map(HostId::as_str))
        .fetch_all(connection)
        .await?;
    rows.into_iter().map(MemberRow::read).collect()
}

impl Write<'_> {
    /// One of them.
    pub async fn member(&mut self, host: &HostId) -> Result<Option<StoredMember>, StoreError> {
        Ok(members(&mut self.tx, Some(host)).await?.pop())
    }

    /// A host joins, or joins anew: what it had before does not count any more.
    pub async fn put_member(
        &mut self,
        host: &HostId,
        bound_key: &[u8],
        token: JoinTokenId,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        self.revoke_certificates(host).await?;
        sqlx::query(
            "INSERT INTO members (host, bound_key, token, join_time) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (host) DO UPDATE SET bound_key = excluded.bound_key, token = excluded.token,
                 join_time = excluded.join_time, recoveries = 0, recover_time = NULL, revoke_time = NULL,
                 revoked_by = NULL, revoke_reason = NULL",
        )
        .bind(host.as_str())
        .bind(bound_key)
        .bind(token.to_string())
        .bind(number(now.0)?)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// A host got a certificate by its bound key.
    pub async fn count_recovery(&mut self, host: &HostId, now: UnixMs) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE members SET recoveries = recoveries + 1, recover_time = ?2 WHERE host = ?1",
        )
        .bind(host.as_str())
        .bind(number(now.0)?)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// Takes a host's certificates away, those to come included.
    pub async fn revoke_member(
        &mut self,
        host: &HostId,
        revoked: &Revoked,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE members SET revoke_time = ?2, revoked_by = ?3, revoke_reason = ?4 WHERE host = ?1",
        )
        .bind(host.as_str())
        .bind(number(revoked.at.0)?)
        .bind(revoked.by.as_str())
        .bind(&revoked.reason)
        .execute(&mut *self.tx)
        .await?;
        // Whoever has the host may have the token, and a token for several lets them in under another name.
        sqlx::query(
            "UPDATE join_tokens SET revoke_time = ?2 WHERE revoke_time IS NULL
                 AND token = (SELECT token FROM members WHERE host = ?1)",
        )
        .bind(host.as_str())
        .bind(number(revoked.at.0)?)
        .execute(&mut *self.tx)
        .await?;
        self.revoke_certificates(host).await
    }

    /// Certificates that were issued and that nobody has shown count no more: whoever asks again has lost them.
    pub async fn revoke_unused(&mut self, host: &HostId) -> Result<(), StoreError> {
        sqlx::query("UPDATE certificates SET revoked = 1 WHERE host = ?1 AND NOT used")
            .bind(host.as_str())
            .execute(&mut *self.tx)
            .await?;
        self.touched.certificates = true;
        Ok(())
    }

    /// How many certificates of a host were taken away before anybody had shown them, and are not over.
    pub async fn unused_certificates_of(
        &mut self,
        host: &HostId,
        now: UnixMs,
    ) -> Result<u32, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT count(*) FROM certificates WHERE host = ?1 AND revoked AND NOT used AND expire_time > ?2",
        )
        .bind(host.as_str())
        .bind(number(now.0)?)
        .fetch_one(&mut *self.tx)
        .await?)
    }

    /// Whether a certificate still counts, its time aside.
    pub async fn counts(&mut self, serial: &Serial) -> Result<bool, StoreError> {
        let revoked: Option<bool> =
            sqlx::query_scalar("SELECT revoked FROM certificates WHERE serial = ?1")
                .bind(serial.as_bytes())
                .fetch_optional(&mut *self.tx)
                .await?;
        Ok(revoked == Some(false))
    }

    async fn revoke_certificates(&mut self, host: &HostId) -> Result<(), StoreError> {
        sqlx::query("UPDATE certificates SET revoked = 1 WHERE host = ?1")
            .bind(host.as_str())
            .execute(&mut *self.tx)
            .await?;
        self.touched.certificates = true;
        self.touched.grants = true;
        Ok(())
    }

    /// Writes a certificate down; before that it counts for nothing.
    pub async fn add_certificate(&mut self, issued: &StoredCertificate) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO certificates (serial, host, authority, authorities_revision, expire_time, digest)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )
        .bind(issued.serial.as_bytes())
        .bind(issued.host.as_str())
        .bind(issued.authority)
        .bind(number(issued.authorities.0)?)
        .bind(number(issued.expires.0)?)
        .bind(issued.digest.as_slice())
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// How many certificates of a host count.
    pub async fn certificates_of(&mut self, host: &HostId, now: UnixMs) -> Result<u32, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT count(*) FROM certificates WHERE host = ?1 AND NOT revoked AND expire_time > ?2",
        )
        .bind(host.as_str())
        .bind(number(now.0)?)
        .fetch_one(&mut *self.tx)
        .await?)
    }

    /// A host has shown a certificate: it has what came with it.
    pub async fn certificate_used(&mut self, serial: &Serial) -> Result<(), StoreError> {
        sqlx::query("UPDATE certificates SET used = 1 WHERE serial = ?1")
            .bind(serial.as_bytes())
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// Forgets certificates that are over.
    pub async fn drop_old_certificates(&mut self, before: UnixMs) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM certificates WHERE expire_time < ?1")
            .bind(number(before.0)?)
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }
}

impl Store {
    /// Every host that joined.
    pub async fn members(&self) -> Result<Vec<StoredMember>, StoreError> {
        members(&mut *self.read.acquire().await?, None).await
    }

    /// One of them.
    pub async fn member(&self, host: &HostId) -> Result<Option<StoredMember>, StoreError> {
        Ok(members(&mut *self.read.acquire().await?, Some(host))
            .await?
            .pop())
    }

    /// What a certificate is worth. One that is not the very one that was issued under its number is unknown.
    pub async fn standing(
        &self,
        certificate: &Certificate,
        host: &HostId,
    ) -> Result<Standing, StoreError> {
        let mut connection = self.read.acquire().await?;
        let row: Option<(bool, bool)> = sqlx::query_as(
            "SELECT used, revoked FROM certificates WHERE serial = ?1 AND host = ?2 AND digest = ?3",
        )
        .bind(certificate.serial.as_bytes())
        .bind(host.as_str())
        .bind(certificate.digest.as_slice())
        .fetch_optional(&mut *connection)
        .await?;
        match row {
            None => Ok(Standing::Unknown),
            Some((used, false)) => Ok(Standing::Good { used }),
            Some((_, true)) => {
                let member = members(&mut connection, Some(host)).await?.pop();
                Ok(Standing::Revoked(member.and_then(|member| member.revoked)))
            }
        }
    }

    /// Certificates that were taken away and are not over.
    pub async fn revoked_serials(&self, now: UnixMs) -> Result<BTreeSet<Serial>, StoreError> {
        let serials: Vec<Vec<u8>> = sqlx::query_scalar(
            "SELECT serial FROM certificates WHERE revoked AND expire_time > ?1
             UNION ALL SELECT serial FROM sessions WHERE revoke_time IS NOT NULL AND expire_time > ?1",
        )
        .bind(number(now.0)?)
        .fetch_all(&self.read)
        .await?;
        Ok(serials.iter().map(|serial| Serial::new(serial)).collect())
    }
}
