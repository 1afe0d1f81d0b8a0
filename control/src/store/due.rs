//! Whether there is something whose time is over: one look at everything, several times in a second, which writes nothing.

use stayhand_guardrail::time::UnixMs;

use super::{Store, StoreError, number};

/// What is there to be ended.
#[expect(
    clippy::struct_excessive_bools,
    reason = "a row of answers, each to a question of its own"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Due {
    /// Active grants whose time box closed
    pub grants: bool,
    /// Pending holds that nobody answered in time
    pub holds: bool,
    /// Pending holds of whose approval some stage has had its time
    pub stages: bool,
    /// Locks with an end
    pub locks: bool,
}

impl Store {
    /// What is over at `now`; holds are when they were over at `holds_by`.
    pub async fn due(&self, now: UnixMs, holds_by: UnixMs) -> Result<Due, StoreError> {
        let due = sqlx::query_as(
            "SELECT
               EXISTS (SELECT 1 FROM grants WHERE state = 'active' AND expire_time <= ?1) AS grants,
               EXISTS (SELECT 1 FROM holds WHERE is_over = 0 AND phase = 'pending' AND expire_time <= ?2) AS holds,
               EXISTS (SELECT 1 FROM holds
                 WHERE phase = 'pending' AND lapse_time IS NOT NULL AND lapse_time <= ?1 AND expire_time > ?1) AS stages,
               EXISTS (SELECT 1 FROM locks WHERE until_time IS NOT NULL AND until_time <= ?1) AS locks",
        )
        .bind(number(now.0)?)
        .bind(number(holds_by.0)?)
        .fetch_one(&self.read)
        .await?;
        Ok(due)
    }
}
