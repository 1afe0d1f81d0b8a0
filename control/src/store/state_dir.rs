//! The state directory: private, and used by one process at a time.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};

use super::StoreError;

/// Only the owner.
const DIRECTORY_MODE: u32 = 0o700;
/// Only the owner.
const FILE_MODE: u32 = 0o600;

/// The state directory, locked for as long as this lives; the kernel drops the lock with the process.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    _lock: Flock<File>,
}

impl StateDir {
    /// Makes the directory where it is missing and locks it.
    pub fn acquire(path: &Path) -> Result<Self, StoreError> {
        let failed = |problem| StoreError::Directory {
            path: shown(path),
            problem,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(DIRECTORY_MODE)
            .create(path)
            .map_err(failed)?;
        let file = private(&path.join("lock")).map_err(failed)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
                Err(StoreError::AlreadyRunning { path: shown(path) })
            }
            Err((_, errno)) => Err(failed(errno.into())),
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The database's file, private before the database library sees it; its companions take over the mode.
    pub(super) fn database(&self) -> Result<PathBuf, StoreError> {
        let path = self.path.join("control.db");
        private(&path).map_err(|problem| StoreError::Directory {
            path: shown(&self.path),
            problem,
        })?;
        Ok(path)
    }
}

fn private(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(path)
}

fn shown(path: &Path) -> String {
    stayhand_guardrail::text::safe(&path.to_string_lossy())
}
