//! A session's own terminal: found by the name that the kernel recorded, and written to only after it has been
//! shown to be that session's. The name is hostile, and so may be the device behind it by now.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
};

use nix::{libc, sys::stat};

use crate::{
    holds::process::Stat,
    kernel::pidfd::PidFd,
    port::{Pinned, Pins},
};

/// The one who is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Terminal below `/dev`, as the kernel recorded it
    pub tty: Option<Vec<u8>>,
    /// Process that was stopped
    pub pid: u32,
    /// Its real uid
    pub uid: u32,
    /// Pinned login uid
    pub auid: u32,
    /// Pinned audit session
    pub session: Option<u32>,
}

/// Why a terminal is not written to.
#[derive(Debug, thiserror::Error)]
pub enum TtyError {
    /// There is none.
    #[error("the session has no terminal")]
    None,
    /// No name of a terminal.
    #[error("`{0}` is no terminal's name")]
    Name(String),
    /// Not a terminal.
    #[error("`{}` is no character device", .0.display())]
    NotATerminal(PathBuf),
    /// Somebody else's.
    #[error("`{}` belongs to uid {uid}, which is not of this session", path.display())]
    Owner {
        /// The terminal
        path: PathBuf,
        /// Its owner
        uid: u32,
    },
    /// No process of the session has it.
    #[error("no process of this session has `{}` as its terminal", .0.display())]
    NotTheirs(PathBuf),
    /// The system.
    #[error("cannot write to `{}`: {cause}", path.display())]
    Io {
        /// The terminal
        path: PathBuf,
        /// Why
        cause: io::Error,
    },
}

/// Longest name: `pts/` and a number, or a serial line's.
const NAME_BYTES_MAX: usize = 20;

/// Opens the session's terminal for writing, after every check.
pub(super) fn open(session: &Session, pins: &dyn Pins) -> Result<File, TtyError> {
    let path = path(session.tty.as_deref().ok_or(TtyError::None)?)?;
    let io = |cause| TtyError::Io {
        path: path.clone(),
        cause,
    };
    // Looked at before it is opened: opening a serial line raises its signals.
    let rdev = checked(&path, &fs::symlink_metadata(&path).map_err(io)?, session)?;
    if !is_theirs(rdev, session, pins) {
        return Err(TtyError::NotTheirs(path));
    }
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    let file = OpenOptions::new()
        .write(true)
        .custom_flags(flags)
        .open(&path)
        .map_err(io)?;
    if checked(&path, &file.metadata().map_err(io)?, session)? != rdev
        || !nix::unistd::isatty(&file).unwrap_or(false)
    {
        return Err(TtyError::NotATerminal(path));
    }
    Ok(file)
}

/// `/dev/NAME`, for names that terminals have.
fn path(name: &[u8]) -> Result<PathBuf, TtyError> {
    let shown = || TtyError::Name(stayhand_guardrail::text::safe_cut(name, NAME_BYTES_MAX));
    let plain = |name: &[u8]| !name.is_empty() && name.iter().all(u8::is_ascii_alphanumeric);
    let good = match name.strip_prefix(b"pts/") {
        Some(number) => !number.is_empty() && number.iter().all(u8::is_ascii_digit),
        None => plain(name),
    };
    if !good || name.len() > NAME_BYTES_MAX {
        return Err(shown());
    }
    Ok(Path::new("/dev").join(std::ffi::OsStr::from_bytes(name)))
}

/// The device number, if it is a character device of the session's own user, or of root (consoles, `sudo`).
fn checked(path: &Path, found: &fs::Metadata, session: &Session) -> Result<u64, TtyError> {
    if !found.file_type().is_char_device() {
        return Err(TtyError::NotATerminal(path.to_owned()));
    }
    let uid = found.uid();
    if ![0, session.uid, session.auid].contains(&uid) {
        return Err(TtyError::Owner {
            path: path.to_owned(),
            uid,
        });
    }
    Ok(found.rdev())
}

/// Whether a process of the session has it as its controlling terminal: the stopped one, or, if that is gone, any.
fn is_theirs(rdev: u64, session: &Session, pins: &dyn Pins) -> bool {
    let device = kernel_number(rdev);
    has(session.pid, device, session, pins) || {
        let Ok(entries) = fs::read_dir("/proc") else {
            return false;
        };
        let names = entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        names
            .into_iter()
            .any(|pid: u32| has(pid, device, session, pins))
    }
}

fn has(pid: u32, device: u32, session: &Session, pins: &dyn Pins) -> bool {
    // Cheap question first: the pin costs two system calls.
    if Stat::of(pid).map_or(0, |stat| stat.tty_nr) != device {
        return false;
    }
    let Ok(Some(process)) = PidFd::open(pid) else {
        return false;
    };
    let Ok(Some(Pinned {
        auid,
        session: audit,
        ..
    })) = pins.pinned(&process)
    else {
        return false;
    };
    let same = auid == session.auid && session.session.is_none_or(|session| session == audit);
    // Read again: now the number is known to be of the process that is pinned so.
    same && Stat::of(pid).is_ok_and(|stat| stat.tty_nr == device) && process.is_alive()
}

/// As `/proc/PID/stat` shows it (`new_encode_dev`, include/linux/kdev_t.h).
fn kernel_number(rdev: u64) -> u32 {
    let (major, minor) = (stat::major(rdev), stat::minor(rdev));
    let number = (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12);
    u32::try_from(number & u64::from(u32::MAX)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        os::fd::AsRawFd as _,
        process::{Child, Command, Stdio},
    };

    use nix::pty::openpty;

    use super::*;
    use crate::port::PortError;

    /// Everybody is pinned so.
    struct All(Option<Pinned>);

    impl Pins for All {
        fn pinned(&self, _: &PidFd) -> Result<Option<Pinned>, PortError> {
            Ok(self.0)
        }
    }

    const ALICE: Pinned = Pinned {
        auid: 1001,
        session: 3,
        process_cookie: 9,
    };

    struct Shell {
        master: File,
        child: Child,
        session: Session,
    }

    impl Shell {
        /// A process with a pseudo terminal of its own.
        fn start() -> Self {
            let pty = openpty(None, None).unwrap();
            let name = fs::read_link(format!("/proc/self/fd/{}", pty.slave.as_raw_fd())).unwrap();
            let tty = name
                .strip_prefix("/dev")
                .unwrap()
                .as_os_str()
                .as_bytes()
                .to_vec();
            let slave = File::from(pty.slave);
            let mut command = Command::new("setsid");
            command.args(["--ctty", "sleep", "60"]);
            let child = command
                .stdin(slave.try_clone().unwrap())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let pid = child.id();
            while Stat::of(pid).unwrap().tty_nr == 0 {
                std::thread::yield_now();
            }
            let uid = slave.metadata().unwrap().uid();
            let session = Session {
                tty: Some(tty),
                pid,
                uid,
                auid: 1001,
                session: Some(3),
            };
            Self {
                master: File::from(pty.master),
                child,
                session,
            }
        }
    }

    impl Drop for Shell {
        fn drop(&mut self) {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }

    #[test]
    fn names_that_leave_dev_are_refused() {
        for name in [
            "../etc/passwd",
            "pts/../x",
            "pts/",
            "pts/1/2",
            "",
            "tty\n",
            "a b",
            "averyveryverylongttyname",
        ] {
            assert!(
                matches!(path(name.as_bytes()), Err(TtyError::Name(_))),
                "{name:?}"
            );
        }
        assert_eq!(path(b"ttyS0").unwrap(), Path::new("/dev/ttyS0"));
    }

    #[test]
    fn a_device_that_is_no_terminal_or_nobodys_is_not_written_to() {
        let mut session = Shell::start().session.clone();
        session.tty = Some(b"null".to_vec());
        assert!(open(&session, &All(Some(ALICE))).is_err());
        session.tty = Some(b"nosuchdevice".to_vec());
        assert!(matches!(
            open(&session, &All(Some(ALICE))),
            Err(TtyError::Io { .. })
        ));
    }

    #[test]
    fn another_sessions_terminal_is_not_written_to() {
        let shell = Shell::start();
        for pinned in [
            None,
            Some(Pinned {
                session: 4,
                ..ALICE
            }),
            Some(Pinned {
                auid: 1002,
                ..ALICE
            }),
        ] {
            let refused = open(&shell.session, &All(pinned));
            assert!(
                matches!(refused, Err(TtyError::NotTheirs(_))),
                "{pinned:?}: {refused:?}"
            );
        }
    }

    #[test]
    fn the_own_terminal_is_written_to_even_after_the_stopped_process_ended() {
        let mut shell = Shell::start();
        for pid in [shell.session.pid, u32::MAX] {
            let session = Session {
                pid,
                ..shell.session.clone()
            };
            let mut terminal = open(&session, &All(Some(ALICE))).unwrap();
            terminal.write_all(b"held\r\n").unwrap();
            let mut read = [0; 4];
            shell.master.read_exact(&mut read).unwrap();
            assert_eq!(&read, b"held");
            let mut rest = [0; 16];
            assert!(shell.master.read(&mut rest).unwrap() > 0);
        }
    }
}
