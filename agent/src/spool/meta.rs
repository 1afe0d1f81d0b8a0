//! The counts of the spool: one small document, written in every transaction.

use redb::{ReadableTable as _, WriteTransaction};
use serde::{Deserialize, Serialize};
use stayhand_guardrail::{event::LossStage, time::UnixMs};
use uuid::Uuid;

use super::{
    Account, Losses, Setup, SpoolError,
    store::{BY_CLASS, DOCUMENTS, EVENTS, HOLDS, NUMBERED, Store},
};

const NAME: &str = "meta";

/// Everything that must change together with the rows.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Meta {
    /// See [`super::Spool::epoch`]
    pub(super) epoch: Uuid,
    /// Boot to which `account` belongs
    pub(super) boot_id: Uuid,
    /// Number of the last batch of rows: tells whether one whose transaction failed reached the disk
    pub(super) batch: u64,
    /// Key of the next row
    pub(super) next_row: u64,
    /// Rows up to here have a sequence number
    pub(super) numbered_through: u64,
    /// Next sequence number, from 1
    pub(super) next_sequence: u64,
    /// The control plane has everything up to here
    pub(super) acknowledged: u64,
    /// Bytes of rows by class
    pub(super) bytes: [u64; 3],
    /// Rows ever stored
    pub(super) stored: u64,
    /// Losses ever counted
    pub(super) lost_ever: u64,
    /// What became of this boot's recorded decisions
    pub(super) account: Account,
    /// Losses that no event tells of yet
    pub(super) losses: Losses,
    /// Highest wall-clock time ever seen: later looks at the clock never go behind it
    pub(super) latest: UnixMs,
}

impl Meta {
    /// Loads the counts or starts a new spool; a new boot starts a new account.
    pub(super) fn load_or_make(store: &mut Store, setup: &Setup) -> Result<Self, SpoolError> {
        let found = store.write(|transaction| {
            for_each_table(transaction)?;
            read(transaction)
        })?;
        let mut meta = found.unwrap_or_else(|| Self::new(setup));
        if meta.boot_id != setup.boot_id {
            // What the last boot recorded after the last transaction, nobody knows: the only uncounted loss.
            meta.losses.unknown(meta.latest);
            meta.account = Account::default();
            meta.boot_id = setup.boot_id;
        }
        meta.latest = meta.latest.max(setup.now);
        store.write(|transaction| meta.save(transaction))?;
        Ok(meta)
    }

    fn new(setup: &Setup) -> Self {
        Self {
            epoch: setup.new_epoch,
            boot_id: setup.boot_id,
            batch: 0,
            next_row: 1,
            numbered_through: 0,
            next_sequence: 1,
            acknowledged: 0,
            bytes: [0; 3],
            stored: 0,
            lost_ever: 0,
            account: Account::default(),
            losses: Losses::default(),
            latest: setup.now,
        }
    }

    /// Reads what is on disk.
    pub(super) fn load(store: &mut Store) -> Result<Self, SpoolError> {
        store.write(read)?.ok_or(SpoolError::Unreadable(NAME))
    }

    pub(super) fn save(&self, transaction: &WriteTransaction) -> Result<(), SpoolError> {
        let bytes = serde_json::to_vec(self).map_err(|_| SpoolError::Unreadable(NAME))?;
        let mut table = transaction.open_table(DOCUMENTS)?;
        table.insert(NAME, bytes.as_slice())?;
        Ok(())
    }

    /// Counts a loss, and where it was a recorded decision, what became of it.
    pub(super) fn lose(&mut self, class: usize, stage: LossStage, count: u64, since: UnixMs) {
        self.losses.add(class, stage, count, since);
        self.lost_ever = self.lost_ever.saturating_add(count);
    }
}

fn read(transaction: &WriteTransaction) -> Result<Option<Meta>, SpoolError> {
    let table = transaction.open_table(DOCUMENTS)?;
    let Some(bytes) = table.get(NAME)? else {
        return Ok(None);
    };
    serde_json::from_slice(bytes.value())
        .map(Some)
        .map_err(|_| SpoolError::Unreadable(NAME))
}

/// Makes every table, and finds out now if one is of another build.
fn for_each_table(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(EVENTS)?;
    transaction.open_table(BY_CLASS)?;
    transaction.open_table(NUMBERED)?;
    transaction.open_table(DOCUMENTS)?;
    transaction.open_table(HOLDS)?;
    Ok(())
}
