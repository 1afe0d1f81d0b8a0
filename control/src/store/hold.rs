//! Holds and the answers to them.

use sqlx::FromRow;
use stayhand_guardrail::{
    event::{EventKind, HoldChanged},
    hold::Hold,
    host::{Answer, HoldAnswer},
    id::{HoldId, HostId, PolicyName},
    lock::Lock,
    prefix::IdPrefix,
    time::UnixMs,
};
use stayhand_proto::codec;

use super::{Store, StoreError, Write, number, parse, unsigned};

/// A hold and the number of its newest change.
#[derive(Clone, Debug)]
pub struct StoredHold {
    /// The hold
    pub hold: Hold,
    /// Higher than that of every earlier change of any hold
    pub changed: u64,
}

#[derive(FromRow)]
struct HoldRow {
    changed: i64,
    body: Vec<u8>,
}

impl HoldRow {
    fn read(self) -> Result<StoredHold, StoreError> {
        Ok(StoredHold {
            hold: decoded(&self.body)?,
            changed: unsigned(self.changed),
        })
    }
}

#[derive(FromRow)]
struct AnswerRow {
    hold: String,
    approved: bool,
    answered_by: String,
    reason: String,
    /// Of the hold
    body: Vec<u8>,
}

fn decoded(body: &[u8]) -> Result<Hold, StoreError> {
    codec::decode_hold(body).map_err(|problem| StoreError::corrupt("hold", problem))
}

impl Write<'_> {
    /// A hold for changing it.
    pub async fn hold(&mut self, id: HoldId) -> Result<Option<StoredHold>, StoreError> {
        let row: Option<HoldRow> = sqlx::query_as("SELECT changed, body FROM holds WHERE id = ?1")
            .bind(id.to_string())
            .fetch_optional(&mut *self.tx)
            .await?;
        row.map(HoldRow::read).transpose()
    }

    /// How many of a host are not over.
    pub async fn count_open_holds(&mut self, host: &HostId) -> Result<u32, StoreError> {
        Ok(
            sqlx::query_scalar("SELECT count(*) FROM holds WHERE host = ?1 AND NOT is_over")
                .bind(host.as_str())
                .fetch_one(&mut *self.tx)
                .await?,
        )
    }

    /// Writes a hold, new or changed.
    pub async fn put_hold(&mut self, hold: &Hold) -> Result<(), StoreError> {
        let changed: i64 = sqlx::query_scalar(
            "UPDATE meta SET hold_change = hold_change + 1 RETURNING hold_change",
        )
        .fetch_one(&mut *self.tx)
        .await?;
        sqlx::query(
            "INSERT INTO holds (id, host, phase, is_over, create_time, expire_time, changed, body, lapse_time)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (id) DO UPDATE SET phase = excluded.phase, is_over = excluded.is_over,
                 changed = excluded.changed, body = excluded.body, lapse_time = excluded.lapse_time",
        )
        .bind(hold.id.to_string())
        .bind(hold.host.as_str())
        .bind(hold.state.phase().as_str())
        .bind(hold.state.is_over())
        .bind(number(hold.create_time.0)?)
        .bind(number(hold.expire_time.0)?)
        .bind(changed)
        .bind(codec::encode_hold(hold.clone()))
        .bind(hold.lapse_time().map(|at| number(at.0)).transpose()?)
        .execute(&mut *self.tx)
        .await?;
        self.touched.holds = true;
        Ok(())
    }

    /// Writes the audit record of a change.
    pub async fn audit_hold(&mut self, record: HoldChanged, now: UnixMs) -> Result<(), StoreError> {
        self.record(EventKind::HoldChanged(record), now)
            .await
            .map(|_| ())
    }

    /// Makes an answer part of the host's desired state.
    pub async fn put_answer(
        &mut self,
        host: &HostId,
        answer: &HoldAnswer,
    ) -> Result<(), StoreError> {
        let HoldAnswer {
            hold,
            answer,
            by,
            reason,
        } = answer;
        sqlx::query(
            "INSERT INTO hold_answers (hold, host, approved, answered_by, reason) VALUES (?1, ?2, ?3, ?4, ?5)",
        )
        .bind(hold.to_string())
        .bind(host.as_str())
        .bind(*answer == Answer::Approved)
        .bind(by.as_ref().map_or("", |by| by.as_str()))
        .bind(reason)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// Takes an answer out of the host's desired state. Whether there was one.
    pub async fn drop_answer(&mut self, hold: HoldId) -> Result<bool, StoreError> {
        let done =
            sqlx::query("UPDATE hold_answers SET is_done = 1 WHERE hold = ?1 AND is_done = 0")
                .bind(hold.to_string())
                .execute(&mut *self.tx)
                .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Takes every answer out of the host's desired state.
    pub async fn drop_answers(&mut self, host: &HostId) -> Result<(), StoreError> {
        sqlx::query("UPDATE hold_answers SET is_done = 1 WHERE host = ?1 AND is_done = 0")
            .bind(host.as_str())
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// Holds of a host that are not over.
    pub async fn open_holds(&mut self, host: &HostId) -> Result<Vec<StoredHold>, StoreError> {
        let rows: Vec<HoldRow> =
            sqlx::query_as("SELECT changed, body FROM holds WHERE host = ?1 AND is_over = 0")
                .bind(host.as_str())
                .fetch_all(&mut *self.tx)
                .await?;
        rows.into_iter().map(HoldRow::read).collect()
    }

    /// Holds of rules of this policy, of every host, that are not over, or whose answer their host has not carried out. Not
    /// those that are past their deadline: there a host ends them by itself, also one that is never heard of again. Nor those of a host
    /// that was put out: it hears of no change of policies any more, so none takes its rules away.
    pub async fn open_holds_of(
        &mut self,
        policy: &PolicyName,
        now: UnixMs,
    ) -> Result<Vec<StoredHold>, StoreError> {
        let rows: Vec<HoldRow> = sqlx::query_as(
            "SELECT changed, body FROM holds
             WHERE expire_time > ?1
               AND host NOT IN (SELECT host FROM members WHERE revoke_time IS NOT NULL)
               AND (is_over = 0 OR id IN (SELECT hold FROM hold_answers WHERE is_done = 0))",
        )
        .bind(number(now.0)?)
        .fetch_all(&mut *self.tx)
        .await?;
        let mut of_policy = Vec::new();
        for row in rows {
            let stored = row.read()?;
            if stored.hold.rule.policy == *policy {
                of_policy.push(stored);
            }
        }
        Ok(of_policy)
    }

    /// Holds that count as pending although a stage of their approval has had its time, the earliest first; not those that
    /// their rule's own time has ended before.
    pub async fn lapsed_holds(
        &mut self,
        now: UnixMs,
        max: u32,
    ) -> Result<Vec<StoredHold>, StoreError> {
        let rows: Vec<HoldRow> = sqlx::query_as(
            "SELECT changed, body FROM holds
             WHERE phase = 'pending' AND lapse_time IS NOT NULL AND lapse_time <= ?1 AND expire_time > ?1
             ORDER BY lapse_time LIMIT ?2",
        )
        .bind(number(now.0)?)
        .bind(max)
        .fetch_all(&mut *self.tx)
        .await?;
        rows.into_iter().map(HoldRow::read).collect()
    }

    /// Every hold that is not over, of every host.
    pub async fn every_open_hold(&mut self) -> Result<Vec<StoredHold>, StoreError> {
        let rows: Vec<HoldRow> =
            sqlx::query_as("SELECT changed, body FROM holds WHERE is_over = 0")
                .fetch_all(&mut *self.tx)
                .await?;
        rows.into_iter().map(HoldRow::read).collect()
    }

    /// Holds that count as pending although their deadline has passed.
    pub async fn overdue_holds(
        &mut self,
        before: UnixMs,
        max: u32,
    ) -> Result<Vec<StoredHold>, StoreError> {
        let rows: Vec<HoldRow> = sqlx::query_as(
            "SELECT changed, body FROM holds WHERE is_over = 0 AND phase = 'pending' AND expire_time <= ?1 LIMIT ?2",
        )
        .bind(number(before.0)?)
        .bind(max)
        .fetch_all(&mut *self.tx)
        .await?;
        rows.into_iter().map(HoldRow::read).collect()
    }
}

impl Store {
    /// A hold.
    pub async fn hold(&self, id: HoldId) -> Result<Option<StoredHold>, StoreError> {
        let row: Option<HoldRow> = sqlx::query_as("SELECT changed, body FROM holds WHERE id = ?1")
            .bind(id.to_string())
            .fetch_optional(&self.read)
            .await?;
        row.map(HoldRow::read).transpose()
    }

    /// Ids that start with a prefix, at most `max`.
    pub async fn hold_ids(&self, prefix: &IdPrefix, max: u32) -> Result<Vec<HoldId>, StoreError> {
        let ids: Vec<String> = sqlx::query_scalar(
            "SELECT id FROM holds WHERE id >= ?1 AND id < ?1 || 'g' ORDER BY id LIMIT ?2",
        )
        .bind(prefix.as_str())
        .bind(max)
        .fetch_all(&self.read)
        .await?;
        ids.iter().map(|id| parse("hold", id)).collect()
    }

    /// Holds, the newest change first, before a number.
    pub async fn holds(
        &self,
        show_ended: bool,
        before: u64,
        max: u32,
    ) -> Result<Vec<StoredHold>, StoreError> {
        let rows: Vec<HoldRow> = sqlx::query_as(
            "SELECT changed, body FROM holds WHERE (?1 OR is_over = 0) AND changed < ?2 ORDER BY changed DESC LIMIT ?3",
        )
        .bind(show_ended)
        .bind(i64::try_from(before).unwrap_or(i64::MAX))
        .bind(max)
        .fetch_all(&self.read)
        .await?;
        rows.into_iter().map(HoldRow::read).collect()
    }

    /// Holds that changed after a number, oldest change first.
    pub async fn holds_changed_after(
        &self,
        after: u64,
        max: u32,
    ) -> Result<Vec<StoredHold>, StoreError> {
        let rows: Vec<HoldRow> = sqlx::query_as(
            "SELECT changed, body FROM holds WHERE changed > ?1 ORDER BY changed LIMIT ?2",
        )
        .bind(i64::try_from(after).unwrap_or(i64::MAX))
        .bind(max)
        .fetch_all(&self.read)
        .await?;
        rows.into_iter().map(HoldRow::read).collect()
    }

    /// The number of the newest change of any hold.
    pub async fn hold_change(&self) -> Result<u64, StoreError> {
        let newest: i64 = sqlx::query_scalar("SELECT hold_change FROM meta")
            .fetch_one(&self.read)
            .await?;
        Ok(unsigned(newest))
    }
}

/// For the desired state of a host: the answers that it has not carried out. Approvals wait for as long as one of the locks covers
/// whoever is held.
pub(super) async fn answers(
    connection: &mut sqlx::SqliteConnection,
    host: &HostId,
    locks: &[Lock],
) -> Result<Vec<HoldAnswer>, StoreError> {
    let rows: Vec<AnswerRow> = sqlx::query_as(
        "SELECT hold, approved, answered_by, reason, body FROM hold_answers JOIN holds ON id = hold
         WHERE hold_answers.host = ?1 AND is_done = 0 ORDER BY hold",
    )
    .bind(host.as_str())
    .fetch_all(connection)
    .await?;
    let mut answers = Vec::with_capacity(rows.len());
    for row in rows {
        if !row.approved || !row.is_locked(locks)? {
            answers.push(row.read()?);
        }
    }
    Ok(answers)
}

impl AnswerRow {
    fn is_locked(&self, locks: &[Lock]) -> Result<bool, StoreError> {
        if locks.is_empty() {
            return Ok(false);
        }
        let Hold { subject, host, .. } = decoded(&self.body)?;
        let mut locks = locks.iter();
        Ok(locks.any(|lock| lock.target.covers_subject(&subject, &host)))
    }

    fn read(self) -> Result<HoldAnswer, StoreError> {
        Ok(HoldAnswer {
            hold: parse("answer", &self.hold)?,
            answer: if self.approved {
                Answer::Approved
            } else {
                Answer::Refused
            },
            by: match self.answered_by.as_str() {
                "" => None,
                by => Some(parse("answer", by)?),
            },
            reason: self.reason,
        })
    }
}
