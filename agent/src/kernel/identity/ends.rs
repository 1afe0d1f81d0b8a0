//! When a labelled object ends: told by inotify, whose watch keeps an inode from being used again, but holds up
//! neither its deletion nor unmounting.
//!
//! The kernel ends a watch when the last name *and* the last open descriptor of a file are gone, and when its
//! superblock is shut down in the last mount namespace that shows it: exactly when a label must go, and not before.
//! Without a watch a label stays; it can then only restrict too much.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use nix::{
    errno::Errno,
    sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor},
};

use super::ObjectId;

/// Objects that are watched, about one KiB of kernel memory each: the least that kernels allow root
/// (`fs.inotify.max_user_watches`).
pub(super) const WATCHES_MAX: usize = 8_192;

/// The watches.
pub(super) struct Ends {
    inotify: Option<Inotify>,
    watches: Mutex<Watches>,
}

#[derive(Default)]
struct Watches {
    by_object: BTreeMap<ObjectId, WatchDescriptor>,
    by_watch: BTreeMap<WatchDescriptor, ObjectId>,
    unwatched: BTreeSet<ObjectId>,
}

impl Ends {
    pub(super) fn new() -> Self {
        let made = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK);
        if let Err(error) = &made {
            tracing::warn!(%error, "the end of labelled objects is not noticed");
        }
        Self {
            inotify: made.ok(),
            watches: Mutex::default(),
        }
    }

    /// Watches an object, given the link to its open descriptor.
    pub(super) fn watch(&self, object: ObjectId, link: &Path) {
        {
            let watches = self.lock();
            if watches.by_object.contains_key(&object) {
                return;
            }
        }
        // Not under the lock: a hung file system may keep it.
        let added = self.inotify.as_ref().and_then(|inotify| {
            let room = self.lock().by_object.len() < WATCHES_MAX;
            room.then(|| inotify.add_watch(link, AddWatchFlags::IN_DELETE_SELF).ok())?
        });
        let mut watches = self.lock();
        if let Some(watch) = added {
            watches.by_object.insert(object, watch);
            watches.by_watch.insert(watch, object);
        } else {
            watches.unwatched.insert(object);
        }
    }

    /// Objects that ended since the last call.
    pub(super) fn ended(&self) -> Vec<ObjectId> {
        let mut watches = self.lock();
        watches.unwatched.clear();
        let Some(inotify) = &self.inotify else {
            return Vec::new();
        };
        let mut ended = Vec::new();
        loop {
            let events = match inotify.read_events() {
                Ok(events) => events,
                Err(Errno::EINTR) => continue,
                // Nothing more (`EAGAIN`), or nothing that could be mended.
                Err(_) => return ended,
            };
            for event in events {
                if !event.mask.contains(AddWatchFlags::IN_IGNORED) {
                    continue;
                }
                if let Some(object) = watches.by_watch.remove(&event.wd) {
                    watches.by_object.remove(&object);
                    ended.push(object);
                }
            }
        }
    }

    pub(super) fn unwatched(&self) -> usize {
        self.lock().unwatched.len()
    }

    fn lock(&self) -> MutexGuard<'_, Watches> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
