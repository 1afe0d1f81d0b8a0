//! Proposed changes of policies.

use sqlx::FromRow;
use stayhand_guardrail::{
    event::{EventKind, PolicyChanged},
    id::ProposalId,
    proposal::{Proposal, ProposalState},
    time::UnixMs,
};
use stayhand_proto::codec;

use super::{Store, StoreError, Write, number, unsigned};

#[derive(FromRow)]
struct ProposalRow {
    number: i64,
    body: Vec<u8>,
}

impl ProposalRow {
    fn read(self) -> Result<Proposal, StoreError> {
        let proposal = codec::decode_proposal(&self.body)
            .map_err(|problem| StoreError::corrupt("proposal", problem))?;
        // The row's own number counts: the body was written before there was one.
        Ok(Proposal {
            id: ProposalId(unsigned(self.number)),
            ..proposal
        })
    }
}

impl Write<'_> {
    /// A proposal for changing it.
    pub async fn proposal(&mut self, id: ProposalId) -> Result<Option<Proposal>, StoreError> {
        let row: Option<ProposalRow> =
            sqlx::query_as("SELECT number, body FROM proposals WHERE number = ?1")
                .bind(number(id.0)?)
                .fetch_optional(&mut *self.tx)
                .await?;
        row.map(ProposalRow::read).transpose()
    }

    /// How many wait at this time.
    pub async fn waiting_proposals(&mut self, now: UnixMs) -> Result<u64, StoreError> {
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM proposals WHERE is_over = 0 AND expire_time > ?1",
        )
        .bind(number(now.0)?)
        .fetch_one(&mut *self.tx)
        .await?;
        Ok(unsigned(count))
    }

    /// Writes a new one and gives it its number.
    pub async fn insert_proposal(
        &mut self,
        mut proposal: Proposal,
    ) -> Result<Proposal, StoreError> {
        let done = sqlx::query(
            "INSERT INTO proposals (policy, is_over, expire_time, body) VALUES (?1, 0, ?2, ?3)",
        )
        .bind(proposal.policy.as_str())
        .bind(number(proposal.expire_time.0)?)
        .bind(codec::encode_proposal(proposal.clone()))
        .execute(&mut *self.tx)
        .await?;
        proposal.id = ProposalId(unsigned(done.last_insert_rowid()));
        Ok(proposal)
    }

    /// Writes one that changed.
    pub async fn update_proposal(&mut self, proposal: &Proposal) -> Result<(), StoreError> {
        sqlx::query("UPDATE proposals SET is_over = ?2, body = ?3 WHERE number = ?1")
            .bind(number(proposal.id.0)?)
            .bind(proposal.state != ProposalState::Pending)
            .bind(codec::encode_proposal(proposal.clone()))
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// Writes the audit record of what happened to a policy: to a proposal, or to a roll-out.
    pub async fn audit_policy(
        &mut self,
        record: PolicyChanged,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        self.record(EventKind::PolicyChanged(record), now)
            .await
            .map(|_| ())
    }
}

impl Store {
    /// A proposal.
    pub async fn proposal(&self, id: ProposalId) -> Result<Option<Proposal>, StoreError> {
        let row: Option<ProposalRow> =
            sqlx::query_as("SELECT number, body FROM proposals WHERE number = ?1")
                .bind(number(id.0)?)
                .fetch_optional(&self.read)
                .await?;
        row.map(ProposalRow::read).transpose()
    }

    /// Proposals before a number, the newest first; only those that wait at `now`, unless all are asked for.
    pub async fn proposals(
        &self,
        show_ended: bool,
        before: u64,
        now: UnixMs,
        max: u32,
    ) -> Result<Vec<Proposal>, StoreError> {
        let rows: Vec<ProposalRow> = sqlx::query_as(
            "SELECT number, body FROM proposals
             WHERE (?1 OR (is_over = 0 AND expire_time > ?3)) AND number < ?2 ORDER BY number DESC LIMIT ?4",
        )
        .bind(show_ended)
        .bind(i64::try_from(before).unwrap_or(i64::MAX))
        .bind(number(now.0)?)
        .bind(max)
        .fetch_all(&self.read)
        .await?;
        rows.into_iter().map(ProposalRow::read).collect()
    }
}
