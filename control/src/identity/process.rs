//! The process at the other end of a unix socket, held by a pidfd so that its number cannot come to mean another.

use std::os::fd::{AsFd as _, OwnedFd};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{getsockopt, sockopt},
};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::net::UnixStream;

/// Who connected, as the kernel noted it at that moment.
#[derive(Debug)]
pub struct PeerProcess {
    pid: u32,
    uid: u32,
    pidfd: OwnedFd,
}

/// Why a connection has no process.
#[derive(Debug, thiserror::Error)]
pub enum NoProcess {
    /// The kernel does not say.
    #[error("the kernel does not name the peer: {0}")]
    Unnamed(#[from] std::io::Error),
    /// It comes from another PID namespace or is gone.
    #[error("the peer's process is gone or not visible here")]
    Gone,
}

impl PeerProcess {
    /// The process that made a connection.
    pub fn of(stream: &UnixStream) -> Result<Self, NoProcess> {
        let credentials = stream.peer_cred()?;
        let pid = credentials
            .pid()
            .filter(|pid| *pid > 0)
            .ok_or(NoProcess::Gone)?;
        let pidfd = match getsockopt(stream, sockopt::PeerPidfd) {
            // Since 6.5: the kernel's own note of who connected; no number is looked up.
            Ok(pidfd) => pidfd,
            // Before: by number, at accept. What is left open is the moment between connect and accept; whatever
            // happens later shows in `is_alive`. SECURITY: docs/control.md, "Who you are".
            Err(nix::errno::Errno::ENOPROTOOPT | nix::errno::Errno::EINVAL) => by_number(pid)?,
            Err(nix::errno::Errno::ESRCH) => return Err(NoProcess::Gone),
            Err(errno) => return Err(NoProcess::Unnamed(errno.into())),
        };
        let pid = u32::try_from(pid).map_err(|_| NoProcess::Gone)?;
        Ok(Self {
            pid,
            uid: credentials.uid(),
            pidfd,
        })
    }

    /// Its number, which is its own for as long as [`Self::is_alive`] says so.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its effective uid when it connected.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Whether it has not ended: whatever was looked up by its number before this says so was about it.
    pub fn is_alive(&self) -> bool {
        let mut ended = [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)];
        matches!(poll(&mut ended, PollTimeout::ZERO), Ok(0))
    }
}

fn by_number(pid: i32) -> Result<OwnedFd, NoProcess> {
    let pid = Pid::from_raw(pid).ok_or(NoProcess::Gone)?;
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => Ok(pidfd),
        Err(rustix::io::Errno::SRCH) => Err(NoProcess::Gone),
        Err(errno) => Err(NoProcess::Unnamed(errno.into())),
    }
}

#[cfg(test)]
mod tests {
    //! A number alone never identifies anybody.

    use std::process::Command;

    use super::*;

    #[tokio::test]
    async fn a_process_that_has_ended_is_not_alive() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let process = PeerProcess {
            pid: child.id(),
            uid: 0,
            pidfd: by_number(pid).unwrap(),
        };
        assert!(process.is_alive());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!process.is_alive());
        assert!(
            matches!(by_number(pid), Err(NoProcess::Gone)),
            "unless the number was taken over meanwhile"
        );
    }

    #[tokio::test]
    async fn both_ways_name_the_same_process() {
        let (here, _there) = UnixStream::pair().unwrap();
        let process = PeerProcess::of(&here).unwrap();
        assert_eq!(process.pid(), std::process::id());
        assert!(process.is_alive());
        assert!(by_number(i32::try_from(process.pid()).unwrap()).is_ok());
    }
}
