//! The real world of the hold manager: kernel maps, processes, the journal and the board.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use stayhand_agent_ebpf::abi::code::answer;

use super::{
    Journal, World, ancestors, process,
    row::{Others, Row},
    step::{Look, Seen},
};
use crate::{
    kernel::{holds::KernelAnswer, pidfd::PidFd},
    port::{PortError, SharedHolds},
};

/// See [`World`].
pub struct RealWorld {
    maps: SharedHolds,
    journal: Journal,
    /// Opened and identified once per hold
    processes: HashMap<u64, PidFd>,
    /// When ancestors that had stopped were continued last
    left_to_ancestors: HashMap<u64, Instant>,
}

/// How long ancestors that were just continued have to continue the held process themselves. Long enough for a busy
/// machine: `sudo` with a terminal of its own reports a broken pipe if its command ended before it could do so.
const ANCESTORS_TURN: Duration = Duration::from_secs(3);

impl RealWorld {
    /// Acts through these.
    pub fn new(maps: SharedHolds, journal: Journal) -> Self {
        Self {
            maps,
            journal,
            processes: HashMap::new(),
            left_to_ancestors: HashMap::new(),
        }
    }

    /// The held process, if its number still belongs to it: the kernel's cookie says so, not its start time.
    fn process(&mut self, row: &Row) -> Result<Option<&PidFd>, PortError> {
        let id = row.id();
        if !self.processes.contains_key(&id) {
            let Some(process) = PidFd::open(row.hold.process.pid)? else {
                return Ok(None);
            };
            let pinned = self.maps.pinned(&process)?;
            if pinned.map(|pinned| pinned.process_cookie) != Some(row.hold.process.cookie) {
                return Ok(None);
            }
            self.processes.insert(id, process);
        }
        Ok(self.processes.get(&id))
    }

    /// Finds which ancestors of a hold will have to be continued; to be asked as soon as a hold is known.
    pub fn noter(&self) -> impl Fn(&Row) -> Others + use<> {
        let maps = Arc::clone(&self.maps);
        move |row| ancestors::find(row.hold.process.pid, &same_session(&maps, row))
    }
}

/// Cookies of processes of the hold's session.
fn same_session<'r>(maps: &SharedHolds, row: &'r Row) -> impl Fn(&PidFd) -> Option<u64> + use<'r> {
    let maps = Arc::clone(maps);
    let subject = &row.hold.subject;
    move |process| {
        let pinned = maps.pinned(process).ok()??;
        let same_session = subject
            .session
            .is_none_or(|session| session == pinned.session);
        (pinned.auid == subject.auid && same_session).then_some(pinned.process_cookie)
    }
}

pub(super) fn warn(row: &Row, doing: &str, error: &dyn std::error::Error) {
    tracing::warn!(hold = %row.hold.id, error = crate::exit::chain(error), "cannot {doing}");
}

impl World for RealWorld {
    fn journal(&mut self, row: &Row) {
        self.journal.put(row);
    }

    fn forget(&mut self, row: &Row) {
        self.journal.forget(row);
        self.processes.remove(&row.id());
    }

    fn write_answer(&mut self, row: &Row, answer: u32) {
        if let Err(error) = self
            .maps
            .answer(&row.key(), row.id(), kernel_answer(answer))
        {
            warn(row, "write an answer into the kernel", error.as_ref());
        }
    }

    fn withdraw(&mut self, row: &Row) -> bool {
        self.write_answer(row, answer::VOID);
        let removed = match self.maps.get(&row.key()) {
            Ok(Some(pending)) if pending.entry.hold == row.id() => self.maps.remove(&pending),
            Ok(_) => Ok(false),
            Err(error) => Err(error),
        };
        removed.unwrap_or_else(|error| {
            warn(row, "remove a hold", error.as_ref());
            false
        })
    }

    fn release(&mut self, row: &Row) {
        self.processes.remove(&row.id());
        self.left_to_ancestors.remove(&row.id());
    }

    /// Ancestors first: `sudo` has to be there when its command goes on, and continues it by itself. Only if that
    /// does not happen for a while is the held process continued directly.
    fn wake(&mut self, row: &Row) {
        if ancestors::wake(&row.others, &same_session(&self.maps, row)) {
            self.left_to_ancestors.insert(row.id(), Instant::now());
        }
        let left = self.left_to_ancestors.get(&row.id());
        if left.is_some_and(|since| since.elapsed() < ANCESTORS_TURN) {
            return;
        }
        match self.process(row) {
            Ok(Some(process)) => {
                if let Err(error) = process.resume() {
                    warn(row, "continue a process", &error);
                }
            }
            Ok(None) => {}
            Err(error) => warn(row, "find a process", error.as_ref()),
        }
    }

    fn wake_ancestors(&mut self, row: &Row) {
        ancestors::wake(&row.others, &same_session(&self.maps, row));
    }

    fn wake_left_behind(&mut self, row: &Row) {
        let held_is_stopped = self.process(row).is_ok_and(|process| {
            process
                .is_some_and(|found| process::look(found, row.hold.process.tid).0 == Seen::Stopped)
        });
        self.processes.remove(&row.id());
        ancestors::wake_left_behind(&row.others, held_is_stopped, &same_session(&self.maps, row));
    }

    fn may_be_left_behind(&mut self, row: &Row) -> bool {
        ancestors::may_be_left_behind(&row.others, &same_session(&self.maps, row))
    }

    fn look(&mut self, row: &Row) -> Look {
        let (seen, fatal) = match self.process(row) {
            Ok(Some(found)) => process::look(found, row.hold.process.tid),
            Ok(None) => (Seen::Gone, false),
            Err(_) => (Seen::Unclear, false),
        };
        // After the process, see `Look`. A map that cannot be read is no proof that the entry is gone.
        let entry = match self.maps.get(&row.key()) {
            Ok(found) => found.is_some_and(|found| found.entry.hold == row.id()),
            Err(_) => true,
        };
        Look { seen, fatal, entry }
    }
}

/// Unknown numbers read as refused, as the kernel reads them.
fn kernel_answer(code: u32) -> KernelAnswer {
    match code {
        answer::APPROVED => KernelAnswer::Approved,
        answer::CANCELLED => KernelAnswer::Cancelled,
        answer::VOID => KernelAnswer::Void,
        _ => KernelAnswer::Refused,
    }
}
