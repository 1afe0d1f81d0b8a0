//! Bytes on disk: observations go first, then denials, oldest first; holds and uses of grants never.

use redb::{ReadableTable as _, WriteTransaction};
use stayhand_guardrail::{
    event::{EventClass, LossStage},
    time::UnixMs,
};

use super::{
    SpoolError, loss,
    meta::Meta,
    store::{BY_CLASS, EVENTS},
};

/// Drops rows until the spool is within its bound. Rows that have a sequence number stay: they may be on their
/// way, and their numbers must not become gaps.
pub(super) fn enforce(
    transaction: &WriteTransaction,
    meta: &mut Meta,
    bytes_max: u64,
    now: UnixMs,
) -> Result<(), SpoolError> {
    for class in [EventClass::C, EventClass::B] {
        if meta.bytes.iter().sum::<u64>() <= bytes_max {
            return Ok(());
        }
        drop_oldest(transaction, meta, loss::index(class), bytes_max, now)?;
    }
    Ok(())
}

fn drop_oldest(
    transaction: &WriteTransaction,
    meta: &mut Meta,
    class: usize,
    bytes_max: u64,
    now: UnixMs,
) -> Result<(), SpoolError> {
    let mut events = transaction.open_table(EVENTS)?;
    let mut by_class = transaction.open_table(BY_CLASS)?;
    let code = u8::try_from(class).unwrap_or(u8::MAX);
    let mut excess = meta.bytes.iter().sum::<u64>().saturating_sub(bytes_max);
    let mut victims = Vec::new();
    let range = (code, meta.numbered_through + 1)..=(code, u64::MAX);
    for found in by_class.range(range)? {
        if excess == 0 {
            break;
        }
        let (key, size) = found?;
        excess = excess.saturating_sub(size.value());
        victims.push((key.value(), size.value()));
    }
    for (key, size) in &victims {
        by_class.remove(*key)?;
        events.remove(key.1)?;
        meta.bytes[class] = meta.bytes[class].saturating_sub(*size);
    }
    meta.lose(class, LossStage::Spool, victims.len() as u64, now);
    Ok(())
}
