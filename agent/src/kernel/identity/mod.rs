//! The identity of a file or directory as the kernel's own hook sees it, never as `stat` says (btrfs, overlayfs and
//! others differ).
//!
//! One thread names itself in the `IDENTITY` map and opens an object for reading; the hook, which knows this process
//! by its pin, writes what it saw beside that name. Opens nothing but regular files and directories: opening a
//! device or a pipe can have effects. Symbolic links of a rule's path are followed as `execve` and `open` follow
//! them, so that the rule covers what its path names when it is labelled.

mod open;
#[cfg(test)]
mod tests;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError, mpsc},
};

use stayhand_agent_ebpf::abi::{image::LabelKey, task::Identity};

use super::{
    pins::Pins,
    table::{Slots, TableError},
};
use open::identify;

/// The identity of an object, on whichever image slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId {
    /// `inode.i_ino`
    pub ino: u64,
    /// `super_block.s_dev`, kernel encoding
    pub dev: u32,
    /// `inode.i_generation`
    pub igen: u32,
}

impl ObjectId {
    /// As the key of a label in one slot.
    pub fn label_key(self, slot: u32) -> LabelKey {
        LabelKey {
            ino: self.ino,
            dev: self.dev,
            igen: self.igen,
            slot,
            pad: 0,
        }
    }
}

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identified {
    /// A regular file or directory
    Object(ObjectId),
    /// Nothing (any more): a part of the path is missing, or is no directory
    Missing,
    /// A device, pipe, socket, or an object of procfs or sysfs: matched by its name only
    ByName,
}

/// Why the identity of an object is not known.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// It cannot be opened.
    #[error("cannot open `{}` to label it", stayhand_guardrail::text::Safe(path.as_os_str().as_encoded_bytes()))]
    Open {
        /// The path
        path: PathBuf,
        /// Why
        source: io::Error,
    },
    /// The hook did not report the open.
    #[error(
        "the file_open hook reports nothing to this process; start the agent from init and not from a login session, \
         and see that the hook is attached"
    )]
    NotReported,
    /// The hook reported more than one object, again and again.
    #[error(
        "opening `{}` shows more than one object; its file system cannot be labelled (see docs/filesystems.md)",
        stayhand_guardrail::text::Safe(path.as_os_str().as_encoded_bytes())
    )]
    Ambiguous {
        /// The path
        path: PathBuf,
    },
    /// The map cannot be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The thread ended.
    #[error("the labelling thread has ended; restart the agent")]
    Ended,
}

type Question = (PathBuf, mpsc::SyncSender<Result<Identified, IdentityError>>);

/// Whatever can name objects; the kernel's hook, or a table in tests.
pub trait Identify {
    /// What `path` names.
    fn identify(&self, path: &Path) -> Result<Identified, IdentityError>;

    /// The path without symbolic links; `None` if it names nothing.
    fn canonical(&self, path: &Path) -> Option<PathBuf>;
}

/// The labelling thread. One question at a time.
#[derive(Debug)]
pub struct Labeller {
    questions: Mutex<mpsc::SyncSender<Question>>,
}

impl Labeller {
    /// Starts the thread. Call it from the main thread, after `Tasks::mark_agent`: a thread inherits the pin of
    /// the one that starts it.
    pub fn start(pins: &Pins) -> Result<Self, IdentityError> {
        let table = Slots::<Identity>::open(pins, "IDENTITY")?;
        let (questions, asked) = mpsc::sync_channel::<Question>(1);
        let run = move || {
            let mut table = table;
            while let Ok((path, answer)) = asked.recv() {
                // Whoever asked may have given up.
                drop(answer.send(identify(&mut table, &path)));
            }
        };
        let started = std::thread::Builder::new().name("labels".into()).spawn(run);
        started.map_err(|source| IdentityError::Open {
            path: "/".into(),
            source,
        })?;
        Ok(Self {
            questions: Mutex::new(questions),
        })
    }
}

impl Identify for Labeller {
    fn identify(&self, path: &Path) -> Result<Identified, IdentityError> {
        let (answer, answered) = mpsc::sync_channel(1);
        let questions = self
            .questions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        questions
            .send((path.to_owned(), answer))
            .map_err(|_| IdentityError::Ended)?;
        answered.recv().map_err(|_| IdentityError::Ended)?
    }

    fn canonical(&self, path: &Path) -> Option<PathBuf> {
        std::fs::canonicalize(path).ok()
    }
}
