//! Grants. A grant's row, its audit record and their pairing are written by one function.

use sqlx::FromRow;
use stayhand_guardrail::{
    event::{EventKind, GrantChanged},
    grant::{Grant, GrantState},
    id::{Generation, GrantId, Revision, UserName},
    prefix::IdPrefix,
    time::UnixMs,
};
use uuid::Uuid;

use super::{Store, StoreError, Write, list, number, parse, unlist, unsigned};

/// A grant with what the store knows besides.
#[derive(Clone, Debug)]
pub struct StoredGrant {
    /// The grant
    pub grant: Grant,
    /// Generation in which its lease came or went
    pub generation: Generation,
    /// Its place in lists
    pub number: u64,
}

/// Which grants a list shows.
#[derive(Clone, Debug)]
pub struct GrantFilter {
    /// Also those that are over
    pub show_ended: bool,
    /// Of this user only
    pub user: Option<UserName>,
}

#[derive(FromRow)]
struct GrantRow {
    number: i64,
    id: String,
    user: String,
    permissions: String,
    profile: Option<String>,
    hosts: String,
    reason: String,
    created_by: String,
    create_time: i64,
    expire_time: i64,
    revision: i64,
    state: String,
    end_time: Option<i64>,
    revoked_by: Option<String>,
    revoke_reason: Option<String>,
    generation: i64,
}

impl GrantRow {
    fn read(self) -> Result<StoredGrant, StoreError> {
        let at = UnixMs(self.end_time.map_or(0, unsigned));
        let state = match (self.state.as_str(), self.revoked_by, self.revoke_reason) {
            ("active", ..) => GrantState::Active,
            ("ended", ..) => GrantState::Ended { at },
            ("revoked", Some(by), Some(reason)) => GrantState::Revoked {
                by: parse("grant", &by)?,
                reason,
                at,
            },
            _ => {
                return Err(StoreError::corrupt(
                    "grant",
                    format!("`{}` is in no state", self.id),
                ));
            }
        };
        let grant = Grant {
            id: parse("grant", &self.id)?,
            user: parse("grant", &self.user)?,
            permissions: unlist("grant", &self.permissions)?,
            profile: self
                .profile
                .map(|profile| parse("grant", &profile))
                .transpose()?,
            hosts: unlist("grant", &self.hosts)?,
            reason: self.reason,
            created_by: parse("grant", &self.created_by)?,
            create_time: UnixMs(unsigned(self.create_time)),
            expire_time: UnixMs(unsigned(self.expire_time)),
            revision: Revision(unsigned(self.revision)),
            state,
        };
        Ok(StoredGrant {
            grant,
            generation: Generation(unsigned(self.generation)),
            number: unsigned(self.number),
        })
    }
}

impl Write<'_> {
    /// Writes a grant that is new.
    pub async fn insert_grant(
        &mut self,
        grant: &Grant,
        generation: Generation,
        request: Option<(Uuid, &str)>,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO grants (id, user, permissions, hosts, reason, created_by, create_time, expire_time,
                 revision, state, generation, request_id, request, profile)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )
        .bind(grant.id.to_string())
        .bind(grant.user.as_str())
        .bind(list(&grant.permissions))
        .bind(list(&grant.hosts))
        .bind(&grant.reason)
        .bind(grant.created_by.as_str())
        .bind(number(grant.create_time.0)?)
        .bind(number(grant.expire_time.0)?)
        .bind(number(grant.revision.0)?)
        .bind(grant.state.as_str())
        .bind(number(generation.0)?)
        .bind(request.map(|(id, _)| id.to_string()))
        .bind(request.map(|(_, request)| request))
        .bind(grant.profile.as_ref().map(ToString::to_string))
        .execute(&mut *self.tx)
        .await?;
        self.touched.grants = true;
        Ok(())
    }

    /// Says that hosts hear of these grants in this generation.
    pub async fn renumber_grants(
        &mut self,
        grants: &[GrantId],
        generation: Generation,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE grants SET generation = ?1 WHERE id IN (SELECT value FROM json_each(?2))",
        )
        .bind(number(generation.0)?)
        .bind(list(grants))
        .execute(&mut *self.tx)
        .await?;
        self.touched.grants = true;
        Ok(())
    }

    /// Writes the state to which a grant has moved on.
    pub async fn update_grant(
        &mut self,
        grant: &Grant,
        generation: Generation,
    ) -> Result<(), StoreError> {
        let (at, by, reason) = match &grant.state {
            GrantState::Active => (None, None, None),
            GrantState::Ended { at } => (Some(*at), None, None),
            GrantState::Revoked { by, reason, at } => {
                (Some(*at), Some(by.as_str()), Some(reason.as_str()))
            }
        };
        sqlx::query(
            "UPDATE grants SET revision = ?2, state = ?3, end_time = ?4, revoked_by = ?5, revoke_reason = ?6,
                 generation = ?7 WHERE id = ?1",
        )
        .bind(grant.id.to_string())
        .bind(number(grant.revision.0)?)
        .bind(grant.state.as_str())
        .bind(at.map(|at| number(at.0)).transpose()?)
        .bind(by)
        .bind(reason)
        .bind(number(generation.0)?)
        .execute(&mut *self.tx)
        .await?;
        self.touched.grants = true;
        Ok(())
    }

    /// Writes the audit record of a grant's revision and pairs the two.
    pub async fn audit_grant(
        &mut self,
        grant: &Grant,
        record: GrantChanged,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        let position = self.record(EventKind::GrantChanged(record), now).await?;
        sqlx::query("INSERT INTO grant_audit (grant_id, revision, position) VALUES (?1, ?2, ?3)")
            .bind(grant.id.to_string())
            .bind(number(grant.revision.0)?)
            .bind(number(position)?)
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// A grant for changing it.
    pub async fn grant(&mut self, id: GrantId) -> Result<Option<StoredGrant>, StoreError> {
        let row: Option<GrantRow> = sqlx::query_as("SELECT * FROM grants WHERE id = ?1")
            .bind(id.to_string())
            .fetch_optional(&mut *self.tx)
            .await?;
        row.map(GrantRow::read).transpose()
    }

    /// The grant that this operator's request made, and what was asked for.
    pub async fn grant_by_request(
        &mut self,
        by: &UserName,
        request_id: Uuid,
    ) -> Result<Option<(GrantId, String)>, StoreError> {
        let row: Option<(String, Option<String>)> = sqlx::query_as(
            "SELECT id, request FROM grants WHERE created_by = ?1 AND request_id = ?2",
        )
        .bind(by.as_str())
        .bind(request_id.to_string())
        .fetch_optional(&mut *self.tx)
        .await?;
        row.map(|(id, request)| Ok((parse("grant", &id)?, request.unwrap_or_default())))
            .transpose()
    }

    /// Every grant that permits something at this time.
    pub async fn live_grants(&mut self, now: UnixMs) -> Result<Vec<StoredGrant>, StoreError> {
        active(&mut self.tx, now).await
    }

    /// Grants that count as active although their end has passed.
    pub async fn overdue_grants(
        &mut self,
        now: UnixMs,
        max: u32,
    ) -> Result<Vec<StoredGrant>, StoreError> {
        let rows: Vec<GrantRow> = sqlx::query_as(
            "SELECT * FROM grants WHERE state = 'active' AND expire_time <= ?1 ORDER BY expire_time LIMIT ?2",
        )
        .bind(number(now.0)?)
        .bind(max)
        .fetch_all(&mut *self.tx)
        .await?;
        rows.into_iter().map(GrantRow::read).collect()
    }
}

impl Store {
    /// A grant.
    pub async fn grant(&self, id: GrantId) -> Result<Option<StoredGrant>, StoreError> {
        let row: Option<GrantRow> = sqlx::query_as("SELECT * FROM grants WHERE id = ?1")
            .bind(id.to_string())
            .fetch_optional(&self.read)
            .await?;
        row.map(GrantRow::read).transpose()
    }

    /// Ids that start with a prefix, at most `max`.
    pub async fn grant_ids(&self, prefix: &IdPrefix, max: u32) -> Result<Vec<GrantId>, StoreError> {
        // Digits and dashes sort before `g`, so this is the range of the prefix.
        let ids: Vec<String> = sqlx::query_scalar(
            "SELECT id FROM grants WHERE id >= ?1 AND id < ?1 || 'g' ORDER BY id LIMIT ?2",
        )
        .bind(prefix.as_str())
        .bind(max)
        .fetch_all(&self.read)
        .await?;
        ids.iter().map(|id| parse("grant", id)).collect()
    }

    /// Grants, newest first, before a number.
    pub async fn grants(
        &self,
        filter: &GrantFilter,
        before: u64,
        max: u32,
    ) -> Result<Vec<StoredGrant>, StoreError> {
        let rows: Vec<GrantRow> = sqlx::query_as(
            "SELECT * FROM grants WHERE (?1 OR state = 'active') AND (?2 IS NULL OR user = ?2) AND number < ?3
             ORDER BY number DESC LIMIT ?4",
        )
        .bind(filter.show_ended)
        .bind(filter.user.as_ref().map(UserName::as_str))
        .bind(i64::try_from(before).unwrap_or(i64::MAX))
        .bind(max)
        .fetch_all(&self.read)
        .await?;
        rows.into_iter().map(GrantRow::read).collect()
    }
}

/// For the desired state of a host: every active grant.
pub(super) async fn active(
    connection: &mut sqlx::SqliteConnection,
    now: UnixMs,
) -> Result<Vec<StoredGrant>, StoreError> {
    let rows: Vec<GrantRow> = sqlx::query_as(
        "SELECT * FROM grants WHERE state = 'active' AND expire_time > ?1 ORDER BY number",
    )
    .bind(number(now.0)?)
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(GrantRow::read).collect()
}
