//! One agent per host: locks that the kernel gives back when their holder dies, however it dies.
//!
//! A file beside the socket says who has it. What two agents must never share are the pins, whatever else their
//! configurations name: so their directory itself is locked, too.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{Read as _, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};

/// A held lock; dropping it lets another agent run.
#[derive(Debug)]
pub struct Instance {
    _lock: Flock<File>,
}

/// Why the lock is not ours.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// Somebody else has it.
    #[error("another agent runs on this host with process id {}; stop it first", pid.map_or("unknown".to_owned(), |pid| pid.to_string()))]
    Taken {
        /// The other one
        pid: Option<u32>,
    },
    /// The file cannot be used.
    #[error("cannot lock `{}`", path.display())]
    Io {
        /// The file
        path: PathBuf,
        /// Why
        source: std::io::Error,
    },
}

/// Mode of the directory of the pins, as `Pins::prepare` makes it.
const PINS_MODE: u32 = 0o700;
/// Bytes of the lock file that are looked at: a process id.
const PID_BYTES_MAX: u64 = 20;

impl Instance {
    /// Takes the lock and writes this process's id into it.
    pub fn take(path: &Path) -> Result<Self, InstanceError> {
        let io = |source| InstanceError::Io {
            path: path.to_owned(),
            source,
        };
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600);
        let file = options
            .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_CLOEXEC)
            .open(path);
        let file = file.map_err(io)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut lock) => {
                lock.set_len(0).map_err(io)?;
                lock.rewind().map_err(io)?;
                writeln!(lock, "{}", std::process::id()).map_err(io)?;
                Ok(Self { _lock: lock })
            }
            Err((file, nix::errno::Errno::EWOULDBLOCK)) => {
                Err(InstanceError::Taken { pid: holder(file) })
            }
            Err((_, errno)) => Err(io(errno.into())),
        }
    }

    /// Locks the directory below which everything is pinned; makes it where it is missing. None if it cannot be
    /// made: then nothing is pinned, and loading says what is wrong.
    pub fn of_pins(directory: &Path) -> Result<Option<Self>, InstanceError> {
        let io = |source| InstanceError::Io {
            path: directory.to_owned(),
            source,
        };
        let made = DirBuilder::new()
            .recursive(true)
            .mode(PINS_MODE)
            .create(directory);
        if made.is_err() {
            return Ok(None);
        }
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(nix::libc::O_DIRECTORY | nix::libc::O_CLOEXEC)
            .open(directory)
            .map_err(io)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Some(Self { _lock: lock })),
            Err((file, nix::errno::Errno::EWOULDBLOCK)) => Err(InstanceError::Taken {
                pid: lock_holder(&file),
            }),
            Err((_, errno)) => Err(io(errno.into())),
        }
    }
}

/// Who has the lock on a file, as the kernel lists it: `1: FLOCK ADVISORY WRITE 42 00:1f:7 0 EOF`.
fn lock_holder(file: &File) -> Option<u32> {
    let inode = format!(":{}", file.metadata().ok()?.ino());
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let matches = words.get(1) == Some(&"FLOCK") && words.get(5)?.ends_with(&inode);
        matches.then(|| words.get(4)?.parse().ok())?
    })
}

fn holder(mut file: File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(PID_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_agent_is_refused_and_told_the_first_ones_pid() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("agent.lock");
        let first = Instance::take(&path).unwrap();
        let second = Instance::take(&path).unwrap_err();
        assert!(
            second.to_string().contains(&std::process::id().to_string()),
            "{second}"
        );
        drop(first);
        Instance::take(&path).unwrap();
    }

    #[test]
    fn pins_have_one_agent_whatever_else_it_was_told() {
        let place = tempfile::tempdir().unwrap();
        let pins = place.path().join("bpf/product");
        let first = Instance::of_pins(&pins).unwrap();
        let second = Instance::of_pins(&pins).unwrap_err();
        assert!(
            second.to_string().contains(&std::process::id().to_string()),
            "{second}"
        );
        assert!(
            Instance::of_pins(&place.path().join("other"))
                .unwrap()
                .is_some()
        );
        drop(first);
        Instance::of_pins(&pins).unwrap().unwrap();
    }

    #[test]
    fn where_nothing_can_be_pinned_there_is_nothing_to_lock() {
        assert!(
            Instance::of_pins(Path::new("/proc/none/pins"))
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn a_symbolic_link_is_not_followed() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("precious");
        std::fs::write(&target, "data").unwrap();
        let path = place.path().join("agent.lock");
        std::os::unix::fs::symlink(&target, &path).unwrap();
        assert!(matches!(
            Instance::take(&path),
            Err(InstanceError::Io { .. })
        ));
        assert_eq!(std::fs::read_to_string(target).unwrap(), "data");
    }
}
