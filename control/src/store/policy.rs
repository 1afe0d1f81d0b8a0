//! Policies: immutable revisions, the highest one of a name counts.

use sqlx::FromRow;
use stayhand_guardrail::{
    event::{EventKind, PolicyChange, PolicyChanged},
    id::{Generation, PolicyName, ProposalId, Revision, UserName},
    rollout::Plan,
    time::UnixMs,
};

use super::{Store, StoreError, Write, number, parse, unsigned};

/// One revision.
#[derive(Clone, Debug)]
pub struct StoredPolicy {
    /// The policy
    pub name: PolicyName,
    /// Its version
    pub revision: Revision,
    /// The YAML document, byte for byte; empty, which no document is, where the policy was removed
    pub source: String,
    /// Who applied it
    pub applied_by: UserName,
    /// When
    pub create_time: UnixMs,
    /// Generation that published it
    pub generation: Generation,
}

impl StoredPolicy {
    /// Whether the policy counts nowhere any more since this revision.
    pub fn is_removed(&self) -> bool {
        self.source.is_empty()
    }
}

#[derive(FromRow)]
pub(super) struct PolicyRow {
    name: String,
    revision: i64,
    source: String,
    applied_by: String,
    create_time: i64,
    generation: i64,
}

impl PolicyRow {
    pub(super) fn read(self) -> Result<StoredPolicy, StoreError> {
        Ok(StoredPolicy {
            name: parse("policy", &self.name)?,
            revision: Revision(unsigned(self.revision)),
            source: self.source,
            applied_by: parse("policy", &self.applied_by)?,
            create_time: UnixMs(unsigned(self.create_time)),
            generation: Generation(unsigned(self.generation)),
        })
    }
}

/// What a new revision comes of.
#[derive(Clone, Debug, Default)]
pub struct Cause {
    /// The proposal that was approved
    pub proposal: Option<ProposalId>,
    /// How it comes to the hosts; none = to all of them at once
    pub rollout: Option<Plan>,
    /// Why, where somebody had to say
    pub reason: Option<String>,
}

impl Write<'_> {
    /// The newest revision of every policy, also of removed ones, for numbering what comes next.
    pub async fn policies(&mut self) -> Result<Vec<StoredPolicy>, StoreError> {
        newest(&mut self.tx).await
    }

    /// Writes a revision and its audit record, which names the proposal that it comes of, and how it comes to the hosts or why
    /// it removes the policy.
    pub async fn insert_policy(
        &mut self,
        policy: &StoredPolicy,
        by: &Cause,
    ) -> Result<(), StoreError> {
        let StoredPolicy {
            name,
            revision,
            source,
            applied_by,
            create_time,
            generation,
        } = policy;
        sqlx::query(
            "INSERT INTO policies (name, revision, source, applied_by, create_time, generation)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )
        .bind(name.as_str())
        .bind(number(revision.0)?)
        .bind(source)
        .bind(applied_by.as_str())
        .bind(number(create_time.0)?)
        .bind(number(generation.0)?)
        .execute(&mut *self.tx)
        .await?;
        let record = PolicyChanged {
            policy: name.clone(),
            revision: *revision,
            by: Some(applied_by.clone()),
            change: match by.rollout {
                _ if policy.is_removed() => PolicyChange::Removed,
                Some(_) => PolicyChange::RollOut,
                None => PolicyChange::Applied,
            },
            proposal: by.proposal,
            reason: by
                .reason
                .clone()
                .or_else(|| by.rollout.as_ref().map(ToString::to_string)),
        };
        self.record(EventKind::PolicyChanged(record), *create_time)
            .await?;
        Ok(())
    }
}

impl Store {
    /// The newest revision of every policy, also of removed ones, by name.
    pub async fn policies(&self) -> Result<Vec<StoredPolicy>, StoreError> {
        newest(&mut *self.read.acquire().await?).await
    }

    /// One revision, the newest where none is asked for.
    pub async fn policy(
        &self,
        name: &PolicyName,
        revision: Option<Revision>,
    ) -> Result<Option<StoredPolicy>, StoreError> {
        one(&mut *self.read.acquire().await?, name, revision).await
    }
}

/// One revision, the newest where none is asked for.
pub(super) async fn one(
    connection: &mut sqlx::SqliteConnection,
    name: &PolicyName,
    revision: Option<Revision>,
) -> Result<Option<StoredPolicy>, StoreError> {
    let row: Option<PolicyRow> = sqlx::query_as(
        "SELECT * FROM policies WHERE name = ?1 AND (?2 IS NULL OR revision = ?2) ORDER BY revision DESC LIMIT 1",
    )
    .bind(name.as_str())
    .bind(revision.map(|revision| number(revision.0)).transpose()?)
    .fetch_optional(connection)
    .await?;
    row.map(PolicyRow::read).transpose()
}

/// The newest revision of every policy, by name. There are at most as many as one host can have, so this is never
/// a page of something longer.
pub(super) async fn newest(
    connection: &mut sqlx::SqliteConnection,
) -> Result<Vec<StoredPolicy>, StoreError> {
    let rows: Vec<PolicyRow> = sqlx::query_as(
        "SELECT * FROM policies AS p
         WHERE revision = (SELECT max(revision) FROM policies WHERE name = p.name) ORDER BY name",
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(PolicyRow::read).collect()
}
