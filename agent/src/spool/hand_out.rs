//! Rows out of the spool: numbered before they leave, kept until the other side has them.

use redb::{ReadableTable as _, WriteTransaction};
use stayhand_guardrail::{event::EventClass, time::UnixMs};
use stayhand_proto::limits::BATCH_BYTES_MAX;

use super::{
    EncodeLost, Inner, Losses, Spool, SpoolError, loss,
    meta::Meta,
    store::{BY_CLASS, EVENTS, NUMBERED},
};

/// Events in one message: some 256 KiB at their usual size.
const BATCH_MAX: usize = 256;
/// Numbered and not acknowledged. A numbered event can no longer be dropped, so their number is bounded.
const WINDOW: u64 = 2_048;

/// One event with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// From 1, without gaps
    pub sequence: u64,
    /// As it was appended
    pub payload: Vec<u8>,
}

impl Spool {
    /// The next events after `after`, in order; fewer than there are, or none.
    pub fn hand_out(&self, after: u64, now: UnixMs) -> Result<Vec<Numbered>, SpoolError> {
        let mut inner = self.lock();
        if !inner.meta.losses.is_empty() || inner.meta.numbered_through + 1 < inner.meta.next_row {
            // A full disk gives no new numbers; what has one can go, and makes room.
            if let Err(error) = inner.number(after, now) {
                tracing::warn!(
                    error = crate::exit::chain(&error),
                    "events get no numbers now"
                );
            }
        }
        inner.store.read(|transaction| {
            let numbered = transaction.open_table(NUMBERED)?;
            let events = transaction.open_table(EVENTS)?;
            let mut batch = Vec::new();
            let mut bytes = 0;
            for found in numbered.range(after.saturating_add(1)..)? {
                let (sequence, row) = found?;
                let Some(value) = events.get(row.value())? else {
                    continue;
                };
                let payload = value.value().get(1..).unwrap_or_default().to_vec();
                bytes += payload.len();
                if batch.len() >= BATCH_MAX || (bytes > BATCH_BYTES_MAX && !batch.is_empty()) {
                    break;
                }
                batch.push(Numbered {
                    sequence: sequence.value(),
                    payload,
                });
            }
            Ok(batch)
        })
    }

    /// The other side has everything up to `through`. Cumulative; an older word says nothing new. Where the disk has no room to let go of
    /// it, that is done as soon as it has: nobody says it again as long as there are no new events.
    pub fn acknowledge(&self, through: u64) -> Result<(), SpoolError> {
        let mut inner = self.lock();
        let handed_out = inner.meta.next_sequence - 1;
        if through > handed_out {
            return Err(SpoolError::NeverHandedOut {
                acknowledged: through,
                handed_out,
            });
        }
        inner.heard = inner.heard.max(through);
        inner.let_go()
    }
}

impl Inner {
    /// Forgets what the other side has.
    pub(super) fn let_go(&mut self) -> Result<(), SpoolError> {
        let through = self.heard;
        if through <= self.meta.acknowledged {
            return Ok(());
        }
        self.transact(|transaction, meta| forget(transaction, meta, through))
    }

    fn number(&mut self, after: u64, now: UnixMs) -> Result<(), SpoolError> {
        let ahead = (self.meta.next_sequence - 1).saturating_sub(after);
        let in_flight = self.meta.next_sequence - 1 - self.meta.acknowledged;
        if ahead >= BATCH_MAX as u64 || in_flight >= WINDOW {
            return Ok(());
        }
        // Lent to the transaction, whose closure must not borrow the rest.
        let encode = std::mem::replace(&mut self.encode_lost, Box::new(|_| Vec::new()));
        let done = self.transact(|transaction, meta| {
            tell_losses(transaction, meta, &encode)?;
            number_rows(transaction, meta)?;
            meta.latest = meta.latest.max(now);
            Ok(())
        });
        self.encode_lost = encode;
        done
    }
}

/// Losses become events, which are handed out before anything that came later.
fn tell_losses(
    transaction: &WriteTransaction,
    meta: &mut Meta,
    encode: &EncodeLost,
) -> Result<(), SpoolError> {
    if meta.losses.is_empty() {
        return Ok(());
    }
    let mut events = transaction.open_table(EVENTS)?;
    let mut by_class = transaction.open_table(BY_CLASS)?;
    let mut numbered = transaction.open_table(NUMBERED)?;
    let class = loss::index(EventClass::A);
    for lost in std::mem::take::<Losses>(&mut meta.losses).events() {
        let mut value = vec![0];
        value.extend(encode(&lost));
        // Rows are numbered up to `numbered_through`; a loss takes a row of its own above all of them, which is
        // passed over below because it has its number already.
        let row = u64::MAX - meta.next_sequence;
        events.insert(row, value.as_slice())?;
        by_class.insert((0, row), value.len() as u64)?;
        numbered.insert(meta.next_sequence, row)?;
        meta.next_sequence += 1;
        meta.stored += 1;
        meta.bytes[class] += value.len() as u64;
    }
    Ok(())
}

fn number_rows(transaction: &WriteTransaction, meta: &mut Meta) -> Result<(), SpoolError> {
    let events = transaction.open_table(EVENTS)?;
    let mut numbered = transaction.open_table(NUMBERED)?;
    let waiting = meta.numbered_through + 1..meta.next_row;
    let mut through = meta.next_row - 1;
    for (count, found) in events.range(waiting)?.enumerate() {
        let row = found?.0.value();
        if count == BATCH_MAX {
            through = row - 1;
            break;
        }
        numbered.insert(meta.next_sequence, row)?;
        meta.next_sequence += 1;
    }
    meta.numbered_through = through;
    Ok(())
}

fn forget(transaction: &WriteTransaction, meta: &mut Meta, through: u64) -> Result<(), SpoolError> {
    let mut events = transaction.open_table(EVENTS)?;
    let mut by_class = transaction.open_table(BY_CLASS)?;
    let mut numbered = transaction.open_table(NUMBERED)?;
    let rows: Result<Vec<(u64, u64)>, redb::StorageError> = numbered
        .range(..=through)?
        .map(|found| found.map(|(sequence, row)| (sequence.value(), row.value())))
        .collect();
    for (sequence, row) in rows? {
        numbered.remove(sequence)?;
        let Some(value) = events.remove(row)? else {
            continue;
        };
        let (class, size) = (
            value.value().first().copied().unwrap_or(0),
            value.value().len() as u64,
        );
        by_class.remove((class, row))?;
        if let Some(bytes) = meta.bytes.get_mut(usize::from(class)) {
            *bytes = bytes.saturating_sub(size);
        }
    }
    meta.acknowledged = through;
    Ok(())
}
