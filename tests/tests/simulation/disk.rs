//! A host's disk: survives agents, loses at a power failure what was not synced, and can be full.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use rand::{RngExt as _, rngs::StdRng};
use stayhand_agent::spool::{Disk, OpenDisk};

use crate::life::Life;

#[derive(Clone, Debug, Default)]
pub(crate) struct HostDisk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    /// What was there before each change since the last sync, newest last
    unsynced: Vec<Before>,
    is_full: bool,
    was_full: bool,
    /// Says that everything is synced, and nothing is
    lies: bool,
    /// What was there at the first sync that was no sync
    lied_since: Option<Vec<u8>>,
}

#[derive(Debug)]
enum Before {
    Length(usize, Vec<u8>),
    Bytes(usize, Vec<u8>),
}

impl HostDisk {
    pub(crate) fn that_lies() -> Self {
        let state = State {
            lies: true,
            ..State::default()
        };
        Self(Arc::new(Mutex::new(state)))
    }

    /// For the spool of an agent that lives so long.
    pub(crate) fn opener(&self, life: &Life) -> OpenDisk {
        let (disk, life) = (self.clone(), life.clone());
        Box::new(move || {
            Box::new(Handle {
                disk: disk.clone(),
                life: life.clone(),
            })
        })
    }

    pub(crate) fn fill(&self) {
        let mut state = self.state();
        state.is_full = true;
        state.was_full = true;
    }

    /// Whether it was ever full.
    pub(crate) fn was_full(&self) -> bool {
        self.state().was_full
    }

    pub(crate) fn make_room(&self) {
        self.state().is_full = false;
    }

    /// Power goes: of what was not synced any beginning may be there.
    pub(crate) fn power_fails(&self, random: &mut StdRng) {
        let mut state = self.state();
        let keep = random.random_range(0..=state.unsynced.len());
        while state.unsynced.len() > keep {
            match state.unsynced.pop() {
                Some(Before::Bytes(at, bytes)) => {
                    state.bytes[at..at + bytes.len()].copy_from_slice(&bytes);
                }
                Some(Before::Length(length, tail)) => {
                    state.bytes.truncate(length);
                    state.bytes.extend(tail);
                }
                None => break,
            }
        }
        state.unsynced.clear();
        if let Some(before) = state.lied_since.take() {
            state.bytes = before;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

#[derive(Debug)]
struct Handle {
    disk: HostDisk,
    life: Life,
}

impl Handle {
    fn changing(&self) -> io::Result<MutexGuard<'_, State>> {
        if self.life.is_over() {
            return Err(io::Error::other("the process has ended"));
        }
        let state = self.disk.state();
        if state.is_full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(state)
    }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

impl Disk for Handle {
    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.state().bytes.len() as u64)
    }

    fn resize(&self, size: u64) -> io::Result<()> {
        let mut state = self.changing()?;
        let (size, length) = (place(size), state.bytes.len());
        let tail = state.bytes.get(size..).unwrap_or_default().to_vec();
        state.unsynced.push(Before::Length(length.min(size), tail));
        state.bytes.resize(size, 0);
        Ok(())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.disk.state();
        let found = state.bytes.get(place(offset)..place(offset) + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.changing()?;
        let (start, end) = (place(offset), place(offset) + data.len());
        if state.bytes.len() < end {
            let length = state.bytes.len();
            state.unsynced.push(Before::Length(length, vec![]));
            state.bytes.resize(end, 0);
        }
        let before = state.bytes[start..end].to_vec();
        state.unsynced.push(Before::Bytes(start, before));
        state.bytes[start..end].copy_from_slice(data);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        // What is written and not yet synced when the process ends stays in the machine's memory.
        if !self.life.goes_on() {
            return Err(io::Error::other("the process has ended"));
        }
        let mut state = self.changing()?;
        if state.lies && state.lied_since.is_none() && !state.bytes.is_empty() {
            state.lied_since = Some(state.bytes.clone());
        }
        state.unsynced.clear();
        drop(state);
        if self.life.goes_on() {
            Ok(())
        } else {
            Err(io::Error::other("the process has ended"))
        }
    }
}
