//! Room that only people may take: whatever hosts send, a grant can be revoked, a host locked and another put out. Never counts what
//! hosts may take by host: that is the pace's matter.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use stayhand_guardrail::time::DurationMs;

use super::{Store, StoreError, Write};
use crate::{clock, seldom::Seldom};

/// What is kept for people's changes, and as much again for holds: some 100,000 changes with their records.
const RESERVE_BYTES: u64 = 128 << 20;
/// Of a small disk or a small database it is no more than this part.
const RESERVE_PART: u64 = 32;
/// Between two lines of the log that say the same.
const TOLD_PAUSE: DurationMs = DurationMs::from_secs(60);
/// For how long those who wait believe that there is none: a whole fleet does, and one look serves all of them.
const FULL_FOR: Duration = Duration::from_secs(1);

/// What hosts make the store grow by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Growth {
    /// Events, which wait in their hosts' spools
    Events,
    /// Holds, which somebody is to answer
    Holds,
}

impl Growth {
    /// How many reserves it leaves.
    fn leaves(self) -> u64 {
        match self {
            Self::Events => 2,
            Self::Holds => 1,
        }
    }
}

/// Where the room is, and how much there may be.
#[derive(Debug)]
pub(super) struct Room {
    /// None where nobody looks at a disk
    directory: Option<PathBuf>,
    pages_max: Option<u64>,
    told: Seldom<Growth>,
    /// When somebody who waits for room for events found none
    full: Mutex<Option<Instant>>,
}

impl Room {
    pub(super) fn new(directory: Option<&Path>, pages_max: Option<u64>) -> Self {
        Self {
            directory: directory.map(Path::to_owned),
            pages_max,
            told: Seldom::new(TOLD_PAUSE),
            full: Mutex::default(),
        }
    }

    /// Whether there is room for more, in a database of so many pages of which so many are free.
    fn has(&self, growth: Growth, pages: u64, pages_free: u64, page_bytes: u64) -> bool {
        let database = self.pages_max.is_none_or(|max| {
            let left = max.saturating_sub(pages).saturating_add(pages_free);
            is_enough(left * page_bytes, max * page_bytes, growth)
        });
        database
            && self
                .disk()
                .is_none_or(|(free, all)| is_enough(free, all, growth))
    }

    /// Bytes of the disk that are free, and all. None where that cannot be told: it shows when it is full.
    fn disk(&self) -> Option<(u64, u64)> {
        let found = nix::sys::statvfs::statvfs(self.directory.as_deref()?).ok()?;
        let block = found.fragment_size();
        Some((found.blocks_available() * block, found.blocks() * block))
    }

    fn looked(&self, growth: Growth, size: (u32, u32, u32)) -> bool {
        let (pages, pages_free, page_bytes) = size;
        let has = self.has(growth, pages.into(), pages_free.into(), page_bytes.into());
        if !has {
            self.tell(growth);
        }
        has
    }

    fn tell(&self, growth: Growth) {
        if self.told.next(growth, clock::now()).is_none() {
            return;
        }
        match growth {
            Growth::Events => tracing::error!(
                "the store is nearly full: events of hosts are not taken any more and wait in their spools; free space on its disk, or \
                 raise `state.database_mib_max`"
            ),
            Growth::Holds => tracing::error!(
                "the store is nearly full: holds of hosts are not taken any more and end on their hosts without effect; free space on \
                 its disk, or raise `state.database_mib_max`"
            ),
        }
    }
}

fn is_enough(left: u64, all: u64, growth: Growth) -> bool {
    let reserve = RESERVE_BYTES.min(all / RESERVE_PART);
    left >= reserve * growth.leaves()
}

impl Write<'_> {
    /// Fails where hosts may not make the store larger: the rest is for what people change.
    pub async fn room_for(&mut self, growth: Growth) -> Result<(), StoreError> {
        if self.has_room_for(growth).await? {
            Ok(())
        } else {
            Err(StoreError::Reserved)
        }
    }

    /// The same for whoever goes on without. The log says so.
    pub async fn has_room_for(&mut self, growth: Growth) -> Result<bool, StoreError> {
        let size = sqlx::query_as(SIZE).fetch_one(&mut *self.tx).await?;
        Ok(self.room.looked(growth, size))
    }
}

impl Store {
    /// Whether there is room for events, before anything is begun, for whoever waits for it. Where there was none a moment ago nobody
    /// looks again.
    pub async fn has_room_for_events(&self) -> Result<bool, StoreError> {
        let full = || {
            self.room
                .full
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if full().is_some_and(|since| since.elapsed() < FULL_FOR) {
            return Ok(false);
        }
        let size = sqlx::query_as(SIZE).fetch_one(&self.read).await?;
        let has = self.room.looked(Growth::Events, size);
        *full() = (!has).then(Instant::now);
        Ok(has)
    }
}

/// Pages, those of them that are free, and the bytes of one.
const SIZE: &str = "SELECT page_count, freelist_count, page_size
     FROM pragma_page_count, pragma_freelist_count, pragma_page_size";

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = 4_096;

    #[test]
    fn events_stop_first_then_holds_and_people_never() {
        let room = Room::new(None, Some(1_024));
        let reserve = 1_024 / RESERVE_PART;
        let has = |growth, left| room.has(growth, 1_024 - left, 0, PAGE);
        assert!(has(Growth::Events, 2 * reserve));
        assert!(!has(Growth::Events, 2 * reserve - 1));
        assert!(has(Growth::Holds, 2 * reserve - 1));
        assert!(!has(Growth::Holds, reserve - 1));
    }

    #[test]
    fn pages_that_are_free_again_are_room() {
        let room = Room::new(None, Some(1_024));
        assert!(!room.has(Growth::Events, 1_024, 10, PAGE));
        assert!(room.has(Growth::Events, 1_024, 100, PAGE));
    }

    #[test]
    fn of_a_large_disk_no_more_than_the_reserve_is_kept() {
        let all = 1 << 40;
        assert!(is_enough(2 * RESERVE_BYTES, all, Growth::Events));
        assert!(!is_enough(2 * RESERVE_BYTES - 1, all, Growth::Events));
        // What a file system in memory says that counts nothing.
        assert!(is_enough(0, 0, Growth::Events));
    }

    #[test]
    fn the_disk_of_a_directory_is_looked_at() {
        let directory = tempfile::tempdir().unwrap();
        let (free, all) = Room::new(Some(directory.path()), None).disk().unwrap();
        assert!(free <= all);
        assert_eq!(
            Room::new(Some(Path::new("/nowhere/at/all")), None).disk(),
            None
        );
    }
}
