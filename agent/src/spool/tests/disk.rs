//! A disk in memory that can fill up, and lose, tear and reorder what was not synced.

use std::{
    io,
    sync::{Arc, Mutex},
};

use rand::{RngExt as _, rngs::StdRng};
use redb::{Database, StorageBackend};

/// Survives the database that uses it.
#[derive(Debug, Default)]
pub(super) struct Disk {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    synced: Vec<u8>,
    current: Vec<u8>,
    unsynced: Vec<Change>,
    full: bool,
    /// Counts openings: a database that was dropped must not write any more
    life: u64,
}

#[derive(Clone, Debug)]
enum Change {
    Length(usize),
    Bytes(usize, Vec<u8>),
}

#[derive(Debug)]
struct Handle {
    disk: Arc<Disk>,
    life: u64,
}

impl Disk {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(super) fn open(self: &Arc<Self>) -> Result<Database, redb::Error> {
        let life = {
            let mut state = self.state.lock().unwrap();
            state.life += 1;
            state.life
        };
        let handle = Handle {
            disk: Arc::clone(self),
            life,
        };
        Ok(Database::builder().create_with_backend(handle)?)
    }

    pub(super) fn fill(&self) {
        self.state.lock().unwrap().full = true;
    }

    pub(super) fn make_room(&self) {
        self.state.lock().unwrap().full = false;
    }

    /// Power goes: of what was not synced any part may be there, in any order, the last of it torn.
    pub(super) fn crash(&self, random: &mut StdRng) {
        let mut state = self.state.lock().unwrap();
        let mut image = std::mem::take(&mut state.synced);
        for change in std::mem::take(&mut state.unsynced) {
            match (random.random_range(0..3), change) {
                (0, _) => {}
                (1, Change::Bytes(at, mut bytes)) => {
                    bytes.truncate(random.random_range(0..=bytes.len()));
                    apply(&mut image, &Change::Bytes(at, bytes));
                }
                (_, change) => apply(&mut image, &change),
            }
        }
        state.current.clone_from(&image);
        state.synced = image;
        state.life += 1;
    }
}

fn apply(image: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Length(length) => image.resize(*length, 0),
        Change::Bytes(at, bytes) => {
            let end = at + bytes.len();
            if image.len() < end {
                image.resize(end, 0);
            }
            image[*at..end].copy_from_slice(bytes);
        }
    }
}

impl Handle {
    fn change(&self, change: Change) -> io::Result<()> {
        let mut state = self.disk.state.lock().unwrap();
        if state.life != self.life {
            return Ok(()); // the machine went down before this write
        }
        if state.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        apply(&mut state.current, &change);
        state.unsynced.push(change);
        Ok(())
    }
}

impl StorageBackend for Handle {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state.lock().unwrap().current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.disk.state.lock().unwrap();
        let start = usize::try_from(offset).unwrap();
        let found = state.current.get(start..start + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Change::Length(usize::try_from(len).unwrap()))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.state.lock().unwrap();
        if state.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if state.life == self.life {
            state.unsynced.clear();
            state.synced = state.current.clone();
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Change::Bytes(
            usize::try_from(offset).unwrap(),
            data.to_vec(),
        ))
    }
}
