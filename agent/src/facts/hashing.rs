//! The thread that reads files, one at a time, everybody in turn: nobody's files hold up another one's for longer than
//! one of them takes.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use stayhand_guardrail::policy::args::Sha256;

use crate::kernel::{
    identity::ObjectId,
    questions::{Asked, Content},
};

/// Files that wait to be read for one subject; the facts of more are unknown for now.
pub(super) const WAITING_MAX: usize = 8;
/// Hashes that are kept, some 100 bytes each; when there are more, all are forgotten.
const KEPT_MAX: usize = 4_096;

/// What waits, by subject.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    by_subject: BTreeMap<u32, VecDeque<Asked>>,
    /// Whose turn was last
    last: u32,
}

impl Queue {
    /// False if too much of this subject waits.
    pub(super) fn put(&self, asked: Asked) -> bool {
        let mut waiting = self.lock();
        let own = waiting.by_subject.entry(asked.auid).or_default();
        if own.len() >= WAITING_MAX {
            return false;
        }
        own.push_back(asked);
        self.more.notify_one();
        true
    }

    /// The next one; waits for it.
    pub(super) fn take(&self) -> Asked {
        let mut waiting = self.lock();
        loop {
            if let Some(asked) = waiting.next() {
                return asked;
            }
            waiting = self
                .more
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    #[cfg(test)]
    pub(super) fn try_take(&self) -> Option<Asked> {
        self.lock().next()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Of the subject after the last one, round and round.
    fn next(&mut self) -> Option<Asked> {
        let after = self.last.checked_add(1);
        let behind = after.and_then(|after| self.by_subject.range(after..).next());
        let (auid, _) = behind.or_else(|| self.by_subject.iter().next())?;
        let auid = *auid;
        self.last = auid;
        let own = self.by_subject.get_mut(&auid)?;
        let asked = own.pop_front();
        if own.is_empty() {
            self.by_subject.remove(&auid);
        }
        asked
    }
}

/// Hashes of files that were read.
#[derive(Debug, Default)]
pub(super) struct Hashes {
    kept: Mutex<HashMap<(ObjectId, Content), Sha256>>,
}

impl Hashes {
    /// The hash of the file that is asked about, if this content of it was read.
    pub(super) fn of(&self, asked: &Asked) -> Option<Sha256> {
        self.lock().get(&(asked.object, asked.content)).copied()
    }

    pub(super) fn keep(&self, asked: &Asked, hash: Sha256) {
        let mut kept = self.lock();
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert((asked.object, asked.content), hash);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(ObjectId, Content), Sha256>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
