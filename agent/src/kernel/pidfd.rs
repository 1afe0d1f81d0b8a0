//! A process by descriptor: what is checked and what is signalled is the same process, whatever happens to its
//! number meanwhile.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// An open process (thread group).
#[derive(Debug)]
pub struct PidFd {
    fd: OwnedFd,
    pid: u32,
}

impl PidFd {
    /// Opens a thread group by its number. `None` if there is none of it.
    pub fn open(pid: u32) -> io::Result<Option<Self>> {
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let Some(number) = number else {
            return Ok(None);
        };
        match pidfd_open(number, PidfdFlags::empty()) {
            Ok(fd) => Ok(Some(Self { fd, pid })),
            // EINVAL: the number is a thread's, and not a thread group's.
            Err(rustix::io::Errno::SRCH | rustix::io::Errno::INVAL) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The number that it was opened by.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it has not yet ended.
    pub fn is_alive(&self) -> bool {
        let mut polled = [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)];
        // Readable means ended. An error here is no proof of life.
        matches!(poll(&mut polled, PollTimeout::ZERO), Ok(0))
    }

    /// Sends `SIGCONT`; false if it has ended.
    pub fn resume(&self) -> io::Result<bool> {
        self.send(Signal::CONT)
    }

    /// Sends a signal; false if it has ended.
    pub fn send(&self, signal: Signal) -> io::Result<bool> {
        match pidfd_send_signal(&self.fd, signal) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn an_ended_process_is_neither_alive_nor_signalled() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = PidFd::open(child.id()).unwrap().unwrap();
        assert!(process.is_alive());
        assert!(process.send(Signal::STOP).unwrap() && process.resume().unwrap());
        assert!(process.is_alive(), "stopping and continuing ends nothing");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!process.is_alive());
        assert!(!process.resume().unwrap());
        assert!(PidFd::open(child.id()).unwrap().is_none());
    }

    #[test]
    fn numbers_that_name_no_process_open_nothing() {
        for pid in [0, u32::MAX, i32::MAX as u32] {
            assert!(PidFd::open(pid).unwrap().is_none(), "{pid}");
        }
    }
}
