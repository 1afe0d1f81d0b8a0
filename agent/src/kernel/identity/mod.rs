//! The identity of a file or directory as the kernel's own hook sees it, never as `stat` says (btrfs, overlayfs and
//! others differ).
//!
//! One thread names itself in the `IDENTITY` map and opens an object for reading; the hook, which knows this process
//! by its pin, writes what it saw beside that name. Opens nothing but regular files and directories: opening a
//! device or a pipe can have effects. Symbolic links of a rule's path are followed as `execve` and `open` follow
//! them, so that the rule covers what its path names when it is labelled.

mod ends;
mod labeller;
mod open;
#[cfg(test)]
mod tests;

use std::{
    io,
    path::{Path, PathBuf},
};

use stayhand_agent_ebpf::abi::image::LabelKey;

use super::table::TableError;
pub use labeller::Labeller;
pub(crate) use open::link;

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

/// Where an object is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Its path without symbolic links; empty if it is not known
    pub real: PathBuf,
    /// The mount on which it was found
    pub mount: Option<u64>,
}

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identified {
    /// A regular file or directory
    Object(ObjectId, Place),
    /// Nothing (any more): a part of the path is missing, or is no directory
    Missing,
    /// A device, pipe, socket, or an object of procfs or sysfs: matched by its name only
    ByName(Place),
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
    /// A directory is too large to be read again and again.
    #[error(
        "`{}` has more than {NAMES_MAX} entries; those that a `*` means are matched by name only",
        stayhand_guardrail::text::Safe(path.as_os_str().as_encoded_bytes())
    )]
    Crowded {
        /// The path
        path: PathBuf,
    },
    /// Its file system does not answer.
    #[error(
        "`{}` does not answer; its old labels stay, see to its file system",
        stayhand_guardrail::text::Safe(path.as_os_str().as_encoded_bytes())
    )]
    Silent {
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

/// Entries of one directory that are read for a pattern: some 5 MiB, a second on a slow disk.
pub const NAMES_MAX: usize = 65_536;

/// Whatever can name objects; the kernel's hook, or a table in tests.
pub trait Identify {
    /// What `path` names.
    fn identify(&self, path: &Path) -> Result<Identified, IdentityError>;

    /// Names in the directory at `path`, in any order; none if it is not there or no directory.
    fn names(&self, path: &Path) -> Result<Vec<Vec<u8>>, IdentityError>;

    /// To be asked at the beginning of every look. Objects that ended since: unlinked and open nowhere any more, or gone with their file
    /// system.
    fn ended(&self) -> Vec<ObjectId>;

    /// How many objects that were named since `ended` was last asked will end unnoticed.
    fn unwatched(&self) -> usize;
}
