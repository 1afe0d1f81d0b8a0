//! Events: appended once, never changed, numbered by position. The control plane's own audit records are events
//! of its own stream.

use sqlx::FromRow;
use stayhand_guardrail::{
    event::{Event, EventKind},
    id::{EventSeq, HostId},
    time::UnixMs,
};
use stayhand_proto::codec;
use uuid::Uuid;

use super::{Store, StoreError, Write, number, unsigned};

/// An event and its position.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Where it is in the store; later events have higher positions
    pub position: u64,
    /// The event
    pub event: Event,
}

/// Numbers that a host skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamGap {
    /// Numbering that has the gap
    pub epoch: Uuid,
    /// First number that is missing
    pub from: EventSeq,
    /// First number that is there again
    pub to: EventSeq,
}

#[derive(FromRow)]
struct EventRow {
    position: i64,
    body: Vec<u8>,
}

impl EventRow {
    fn read(self) -> Result<Stored, StoreError> {
        let event = codec::decode_event(&self.body)
            .map_err(|problem| StoreError::corrupt("event", problem))?;
        Ok(Stored {
            position: unsigned(self.position),
            event,
        })
    }
}

impl Write<'_> {
    /// Appends an event unless it is there already. The position of a new one, and the gap that it leaves.
    pub async fn append(
        &mut self,
        event: Event,
    ) -> Result<Option<(u64, Option<StreamGap>)>, StoreError> {
        let (host, epoch, seq) = (event.host.to_string(), event.epoch, event.seq);
        let through = self.through(&host, epoch).await?;
        let lost = match &event.kind {
            EventKind::Lost(lost) => lost.count,
            _ => 0,
        };
        let position: Option<i64> = sqlx::query_scalar(
            "INSERT INTO events (host, epoch, seq, time, body) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (host, epoch, seq) DO NOTHING RETURNING position",
        )
        .bind(&host)
        .bind(epoch.to_string())
        .bind(number(seq.0)?)
        .bind(number(event.time.0)?)
        .bind(codec::encode_event(event))
        .fetch_optional(&mut *self.tx)
        .await?;
        let Some(position) = position.map(unsigned) else {
            return Ok(None);
        };
        self.advance(&host, epoch, seq, lost).await?;
        self.touched.events = Some(position);
        let gap = (seq > through.next()).then(|| StreamGap {
            epoch,
            from: through.next(),
            to: seq,
        });
        Ok(Some((position, gap)))
    }

    /// Appends an event of the control plane itself.
    pub async fn record(&mut self, kind: EventKind, now: UnixMs) -> Result<u64, StoreError> {
        let origin = self.origin;
        let last = self.through(origin.host.as_str(), origin.epoch).await?;
        let event = Event {
            host: origin.host.clone(),
            boot_id: origin.boot_id,
            epoch: origin.epoch,
            seq: last.next(),
            time: now,
            kind,
        };
        let appended = self.append(event).await?;
        appended
            .map(|(position, _)| position)
            .ok_or_else(|| StoreError::corrupt("audit record", "its number is taken"))
    }

    /// Last number of a stream that is stored.
    pub async fn through(&mut self, host: &str, epoch: Uuid) -> Result<EventSeq, StoreError> {
        let through: Option<i64> =
            sqlx::query_scalar("SELECT through FROM event_streams WHERE host = ?1 AND epoch = ?2")
                .bind(host)
                .bind(epoch.to_string())
                .fetch_optional(&mut *self.tx)
                .await?;
        Ok(EventSeq(through.map_or(0, unsigned)))
    }

    async fn advance(
        &mut self,
        host: &str,
        epoch: Uuid,
        seq: EventSeq,
        lost: u64,
    ) -> Result<(), StoreError> {
        // A hostile count must not make the sum fail: it stays far below the range of the column.
        let lost = number(lost.min(u64::from(u32::MAX)))?;
        sqlx::query(
            "INSERT INTO event_streams (host, epoch, through, stored, lost, update_time)
             VALUES (?1, ?2, ?3, 1, ?4, unixepoch() * 1000)
             ON CONFLICT (host, epoch) DO UPDATE SET through = max(through, excluded.through),
                 stored = stored + 1, lost = lost + excluded.lost, update_time = excluded.update_time",
        )
        .bind(host)
        .bind(epoch.to_string())
        .bind(number(seq.0)?)
        .bind(lost)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }
}

impl Store {
    /// Events after a position, oldest first; `host` empty = of every host.
    pub async fn events_after(
        &self,
        after: u64,
        host: Option<&HostId>,
        max: u32,
    ) -> Result<Vec<Stored>, StoreError> {
        let rows: Vec<EventRow> = sqlx::query_as(
            "SELECT position, body FROM events WHERE position > ?1 AND (?2 IS NULL OR host = ?2)
             ORDER BY position LIMIT ?3",
        )
        .bind(i64::try_from(after).unwrap_or(i64::MAX))
        .bind(host.map(HostId::as_str))
        .bind(max)
        .fetch_all(&self.read)
        .await?;
        rows.into_iter().map(EventRow::read).collect()
    }

    /// The position after which the newest `count` events are.
    pub async fn position_before_last(
        &self,
        count: u32,
        host: Option<&HostId>,
    ) -> Result<u64, StoreError> {
        let first: Option<i64> = sqlx::query_scalar(
            "SELECT min(position) FROM (SELECT position FROM events WHERE ?1 IS NULL OR host = ?1
             ORDER BY position DESC LIMIT ?2)",
        )
        .bind(host.map(HostId::as_str))
        .bind(count)
        .fetch_one(&self.read)
        .await?;
        match first {
            Some(first) => Ok(unsigned(first).saturating_sub(1)),
            None => self.last_position().await,
        }
    }

    /// The position of the newest event.
    pub async fn last_position(&self) -> Result<u64, StoreError> {
        let last: Option<i64> = sqlx::query_scalar("SELECT max(position) FROM events")
            .fetch_one(&self.read)
            .await?;
        Ok(last.map_or(0, unsigned))
    }
}
