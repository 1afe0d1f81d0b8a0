//! A held process as user space sees it. Looks and continues; never stops, never ends one.

use std::{fs, io};

use super::{signals, step::Seen};
use crate::kernel::pidfd::PidFd;

/// What `/proc` says about one thread, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// One letter, see proc(5)
    pub state: char,
    /// Parent's thread group
    pub ppid: u32,
    /// Process group
    pub group: u32,
    /// Controlling terminal, kernel's device number
    pub tty_nr: u32,
    /// Name, hostile bytes
    pub comm: Vec<u8>,
}

impl Stat {
    /// Reads `/proc/PID/task/TID/stat`.
    pub fn of_thread(pid: u32, tid: u32) -> io::Result<Self> {
        let bytes = fs::read(format!("/proc/{pid}/task/{tid}/stat"))?;
        Self::parse(&bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Reads `/proc/PID/stat`.
    pub fn of(pid: u32) -> io::Result<Self> {
        let bytes = fs::read(format!("/proc/{pid}/stat"))?;
        Self::parse(&bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// The name may contain anything, also `) R 1`: only the last parenthesis ends it.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let open = bytes.iter().position(|byte| *byte == b'(')?;
        let close = bytes.iter().rposition(|byte| *byte == b')')?;
        let comm = bytes.get(open + 1..close)?.to_vec();
        let rest = std::str::from_utf8(bytes.get(close + 1..)?).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let state = fields.first()?.chars().next()?;
        let ppid = fields.get(1)?.parse().ok()?;
        let group = fields.get(2)?.parse().ok()?;
        // A device number that is shown signed.
        let tty_nr: i32 = fields.get(4)?.parse().ok()?;
        Some(Self {
            state,
            ppid,
            group,
            tty_nr: tty_nr.cast_unsigned(),
            comm,
        })
    }

    /// Whether a signal stopped it.
    pub fn is_stopped(&self) -> bool {
        self.state == 'T'
    }
}

/// Looks at a thread of a process that is known by descriptor: whatever `/proc` said under that number was about
/// this very process if it is still alive afterwards. Also says whether a signal waits that must take effect.
pub fn look(process: &PidFd, tid: u32) -> (Seen, bool) {
    let pid = process.pid();
    let found = Stat::of_thread(pid, tid);
    let status = fs::read_to_string(format!("/proc/{pid}/task/{tid}/status"));
    if !process.is_alive() {
        return (Seen::Gone, false);
    }
    let seen = match found {
        Ok(stat) => match stat.state {
            // `t`: under a debugger a stop looks so, and is ended by the same signal.
            'T' | 't' => Seen::Stopped,
            'Z' | 'X' | 'x' => Seen::Gone,
            'R' => Seen::Running,
            'S' | 'I' => Seen::Asleep,
            _ => Seen::Unclear,
        },
        // The thread is gone although its process is not.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Seen::Gone,
        Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => Seen::Gone,
        Err(_) => Seen::Unclear,
    };
    (
        seen,
        status.is_ok_and(|status| signals::fatal_pending(&status)),
    )
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use rustix::process::Signal;

    use super::*;

    struct Sleeper(Child);

    impl Drop for Sleeper {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    fn until(what: &str, mut done: impl FnMut() -> bool) {
        for _ in 0..1_000 {
            if done() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        panic!("never: {what}");
    }

    #[test]
    fn a_name_that_imitates_fields_deceives_nobody() {
        let stat = Stat::parse(b"77 (x) T 1 ( (y) R) S 5 6 5 34817 5 4194304 0").unwrap();
        assert_eq!((stat.state, stat.ppid, stat.tty_nr), ('S', 5, 34817));
        assert_eq!(stat.group, 6);
        assert_eq!(stat.comm, b"x) T 1 ( (y) R");
        for cut in ["", "77", "77 (x", "77 (x)", "77 (x) S", "77 (x) S a b c d"] {
            assert_eq!(Stat::parse(cut.as_bytes()), None, "{cut}");
        }
    }

    #[test]
    fn an_ended_process_is_gone_and_a_stopped_one_is_stopped() {
        let sleeper = Sleeper(Command::new("sleep").arg("60").spawn().unwrap());
        let pid = sleeper.0.id();
        let process = PidFd::open(pid).unwrap().unwrap();
        until("asleep", || look(&process, pid) == (Seen::Asleep, false));
        process.send(Signal::STOP).unwrap();
        until("stopped", || look(&process, pid) == (Seen::Stopped, false));
        process.send(Signal::TERM).unwrap();
        until("fatal signal waits", || {
            look(&process, pid) == (Seen::Stopped, true)
        });
        assert_eq!(look(&process, u32::MAX).0, Seen::Gone, "no such thread");
        drop(sleeper);
        assert_eq!(look(&process, pid).0, Seen::Gone);
    }
}
