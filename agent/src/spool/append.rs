//! Rows into the spool: one transaction per batch, with everything that counts them.

use redb::WriteTransaction;
use stayhand_guardrail::{event::LossStage, time::UnixMs};

use super::{
    Entry, Inner, Losses, Spool, SpoolError, loss,
    meta::Meta,
    quota,
    store::{BY_CLASS, EVENTS},
    waiting::Doubtful,
};

impl Spool {
    /// Stores a batch. If the disk does not take it, the batch waits in bounded memory for the next call and the
    /// error says why; nothing has to be done again by the caller.
    pub fn append(&self, batch: Vec<Entry>, now: UnixMs) -> Result<(), SpoolError> {
        let mut inner = self.lock();
        inner.waiting.push(batch, now);
        inner.flush(now)
    }
}

impl Inner {
    /// Stores what waits.
    pub(super) fn flush(&mut self, now: UnixMs) -> Result<(), SpoolError> {
        self.settle(now)?;
        if self.waiting.is_empty() {
            return Ok(());
        }
        let (entries, losses) = self.waiting.take();
        let (batch, bytes_max) = (self.meta.batch + 1, self.bytes_max);
        let stored = self.transact(|transaction, meta| {
            meta.batch = batch;
            insert(transaction, meta, &entries)?;
            count(meta, &losses);
            meta.latest = meta.latest.max(now);
            quota::enforce(transaction, meta, bytes_max, now)
        });
        if stored.is_err() {
            self.waiting.doubtful = Some(Doubtful {
                batch,
                entries,
                losses,
            });
        }
        stored
    }

    /// Finds out what became of a batch whose transaction failed.
    fn settle(&mut self, now: UnixMs) -> Result<(), SpoolError> {
        if self.waiting.doubtful.is_none() {
            return Ok(());
        }
        self.meta = Meta::load(&mut self.store)?;
        if let Some(doubtful) = self.waiting.doubtful.take()
            && self.meta.batch < doubtful.batch
        {
            self.waiting
                .put_back(doubtful.entries, doubtful.losses, now);
        }
        Ok(())
    }
}

fn insert(
    transaction: &WriteTransaction,
    meta: &mut Meta,
    entries: &[Entry],
) -> Result<(), SpoolError> {
    let mut events = transaction.open_table(EVENTS)?;
    let mut by_class = transaction.open_table(BY_CLASS)?;
    for entry in entries {
        let class = loss::index(entry.class);
        let row = meta.next_row;
        let mut value = Vec::with_capacity(entry.payload.len() + 1);
        value.push(u8::try_from(class).unwrap_or(u8::MAX));
        value.extend_from_slice(&entry.payload);
        let size = value.len() as u64;
        events.insert(row, value.as_slice())?;
        by_class.insert((value[0], row), size)?;
        meta.next_row += 1;
        meta.stored += 1;
        meta.bytes[class] += size;
        meta.account.stored[class] += u64::from(entry.recorded);
    }
    Ok(())
}

fn count(meta: &mut Meta, losses: &Losses) {
    for (class, stage, count, since) in losses.each() {
        meta.lose(class, stage, count, since);
        match stage {
            LossStage::Ring => meta.account.lost_ring[class] += count,
            LossStage::Crash | LossStage::Spool | LossStage::Decode => {
                meta.account.lost_after[class] += count;
            }
        }
    }
}
