//! One agent per host: a lock that the kernel gives back when its holder dies, however it dies.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};

/// The held lock; dropping it lets another agent run.
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
