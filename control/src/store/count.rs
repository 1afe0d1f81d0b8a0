//! How often revisions restricted, by host and by the hour in which the control plane heard of it: a host's own times
//! count for nothing here.

use std::collections::BTreeMap;

use stayhand_guardrail::{
    event::RuleRef,
    id::{HostId, PolicyName, Revision},
};

use super::{Store, StoreError, Write, number, parse, unsigned};

/// What was counted on one host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Since the phase began
    pub counted: u64,
    /// What the revision before did until the roll-out began
    pub baseline: u64,
}

impl Write<'_> {
    /// Counts one restriction. A host can name what it wants: only what was ever applied is counted.
    pub async fn count_restriction(
        &mut self,
        rule: &RuleRef,
        host: &HostId,
        hour: u64,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO decision_counts (policy, revision, host, hour, count)
             SELECT name, revision, ?3, ?4, 1 FROM policies WHERE name = ?1 AND revision = ?2
             ON CONFLICT (policy, revision, host, hour) DO UPDATE SET count = count + 1",
        )
        .bind(rule.policy.as_str())
        .bind(i64::try_from(rule.revision.0).unwrap_or(i64::MAX))
        .bind(host.as_str())
        .bind(number(hour)?)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// Counts one for the roll-out of a policy, too.
    pub async fn count_for_rollout(
        &mut self,
        policy: &PolicyName,
        host: &HostId,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO rollout_counts (policy, host, baseline, counted) VALUES (?1, ?2, 0, 1)
             ON CONFLICT (policy, host) DO UPDATE SET counted = counted + 1",
        )
        .bind(policy.as_str())
        .bind(host.as_str())
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// Begins to count for a roll-out. What the revision before did is kept from here on: nothing that comes later
    /// raises what the new one may.
    pub async fn begin_counts(
        &mut self,
        policy: &PolicyName,
        before: Revision,
        from_hour: u64,
    ) -> Result<(), StoreError> {
        self.end_counts(policy).await?;
        sqlx::query(
            "INSERT INTO rollout_counts (policy, host, baseline, counted)
             SELECT policy, host, sum(count), 0 FROM decision_counts
             WHERE policy = ?1 AND revision = ?2 AND hour >= ?3 GROUP BY host",
        )
        .bind(policy.as_str())
        .bind(number(before.0)?)
        .bind(number(from_hour)?)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// A phase begins: nothing was counted in it.
    pub async fn reset_counts(&mut self, policy: &PolicyName) -> Result<(), StoreError> {
        sqlx::query("UPDATE rollout_counts SET counted = 0 WHERE policy = ?1")
            .bind(policy.as_str())
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// Drops what was counted for a roll-out that is over.
    pub async fn end_counts(&mut self, policy: &PolicyName) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM rollout_counts WHERE policy = ?1")
            .bind(policy.as_str())
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// Drops what no roll-out that begins from now on looks at.
    pub async fn drop_counts_before(&mut self, hour: u64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM decision_counts WHERE hour < ?1")
            .bind(number(hour)?)
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }
}

impl Store {
    /// What was counted for the open roll-out of a policy, by host.
    pub async fn rollout_counts(
        &self,
        policy: &PolicyName,
    ) -> Result<BTreeMap<HostId, Counted>, StoreError> {
        let rows: Vec<(String, i64, i64)> =
            sqlx::query_as("SELECT host, baseline, counted FROM rollout_counts WHERE policy = ?1")
                .bind(policy.as_str())
                .fetch_all(&self.read)
                .await?;
        rows.into_iter()
            .map(|(host, baseline, counted)| {
                let counted = Counted {
                    counted: unsigned(counted),
                    baseline: unsigned(baseline),
                };
                Ok((parse("host", &host)?, counted))
            })
            .collect()
    }
}
