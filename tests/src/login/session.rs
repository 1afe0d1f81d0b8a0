//! Somebody at a terminal: the master side of a pseudo terminal and the shell on its other side.
//!
//! Commands are typed into an interactive bash, as a person would; the end of one is known by a line that the
//! shell prints after it. Never interprets what the terminal shows.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};

use crate::{process, wait};

/// For a command that waits for nobody.
const COMMAND: Duration = Duration::from_secs(40);
/// A shell that has nobody's start files, so that only what is typed runs.
const SHELL: [&str; 5] = ["bash", "--norc", "--noprofile", "--noediting", "-i"];

/// A logged-in user.
pub struct Session {
    user: String,
    tty: String,
    master: File,
    child: Child,
    shown: Arc<Mutex<Vec<u8>>>,
    typed: u32,
}

/// A command that was typed and may still run.
#[derive(Debug, Clone, Copy)]
pub struct Typed {
    number: u32,
    from: usize,
}

impl Session {
    /// At a shell prompt, without job control: a stopped command keeps the terminal, the shell waits.
    pub fn login(user: &str) -> Result<Self> {
        let mut session = Self::start(user, &SHELL)?;
        session.send("set +m; PS1= PS2=\n")?;
        session.run("true")?;
        Ok(session)
    }

    /// At a shell prompt with job control, as people have it: the shell takes the terminal back when a command stops.
    pub fn login_with_jobs(user: &str) -> Result<Self> {
        let mut session = Self::start(user, &SHELL)?;
        session.send("PS1= PS2=\n")?;
        session.run("true")?;
        Ok(session)
    }

    /// With a command instead of a shell: it leads the session, and [`Session::pid`] is its process.
    pub fn start(user: &str, command: &[&str]) -> Result<Self> {
        let pty = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)
            .context("no pseudo terminal")?;
        grantpt(&pty)?;
        unlockpt(&pty)?;
        let tty = ptsname_r(&pty)?;
        let mut settings = tcgetattr(&pty)?;
        // What is typed is known; only what programs print shall be read.
        settings.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(&pty, SetArg::TCSANOW, &settings)?;
        let child = Command::new("/proc/self/exe")
            .args(["login-as", "--tty", &tty, user, "--"])
            .args(command)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot log {user} in"))?;
        let master = File::from(std::os::fd::OwnedFd::from(pty));
        let shown = Arc::new(Mutex::new(Vec::new()));
        let session = Self {
            user: user.to_owned(),
            tty,
            master,
            child,
            shown,
            typed: 0,
        };
        session.read_along()?;
        Ok(session)
    }

    /// Keeps what the terminal shows.
    fn read_along(&self) -> Result<()> {
        let mut master = self.master.try_clone()?;
        let shown = Arc::clone(&self.shown);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                match master.read(&mut buffer) {
                    Ok(length) => {
                        lock(&shown).extend_from_slice(buffer.get(..length).unwrap_or_default());
                    }
                    // EIO: nobody has the other side open, at the start or for good. The session ends with its
                    // process; until then the login may still be opening its terminal.
                    Err(error) if error.raw_os_error() == Some(libc::EIO) => {
                        std::thread::sleep(wait::TICK);
                    }
                    Err(_) => return,
                }
                if Arc::strong_count(&shown) == 1 {
                    return;
                }
            }
        });
        Ok(())
    }

    /// Path of the terminal.
    pub fn tty(&self) -> &str {
        &self.tty
    }

    /// The process that leads the session.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything that the terminal has shown so far.
    pub fn text(&self) -> String {
        text_of(&lock(&self.shown))
    }

    /// Presses keys; `"\x03"` is Ctrl-C.
    pub fn send(&mut self, keys: &str) -> Result<()> {
        self.master
            .write_all(keys.as_bytes())
            .context("cannot type")
    }

    /// Types a command and does not wait for it.
    pub fn type_command(&mut self, command: &str) -> Result<Typed> {
        ensure!(!command.contains('\n'), "one line at a time: {command:?}");
        self.typed += 1;
        let typed = Typed {
            number: self.typed,
            from: lock(&self.shown).len(),
        };
        self.send(&format!(
            "{command}\nprintf '\\n<%s %d>\\n' end-{} $?\n",
            typed.number
        ))?;
        Ok(typed)
    }

    /// Types a command and waits for its end: exit code and what the terminal showed meanwhile.
    pub fn run(&mut self, command: &str) -> Result<process::Output> {
        let typed = self.type_command(command)?;
        self.finish(typed, COMMAND)
            .with_context(|| format!("{} typed `{command}`", self.user))
    }

    /// Waits for the end of a typed command.
    pub fn finish(&self, typed: Typed, limit: Duration) -> Result<process::Output> {
        wait::until(limit, "a command to end", || self.ended(typed))
            .with_context(|| format!("terminal: {}", self.text()))
    }

    /// The result of a typed command, if it has ended.
    pub fn ended(&self, typed: Typed) -> Option<process::Output> {
        let shown = lock(&self.shown);
        let text = text_of(shown.get(typed.from..)?);
        let mark = format!("<end-{} ", typed.number);
        let (before, after) = text.split_once(&mark)?;
        let code = after.split_once('>')?.0.parse().ok()?;
        Some(process::Output {
            code,
            stdout: before.trim_matches('\n').to_owned(),
            stderr: String::new(),
        })
    }

    /// What the terminal has shown since a command was typed.
    pub fn since(&self, typed: Typed) -> String {
        text_of(lock(&self.shown).get(typed.from..).unwrap_or_default())
    }

    /// Waits until the terminal shows a text after a command was typed, and then until it shows no more: a notice
    /// has several lines and may arrive in pieces. Gives everything since the command.
    pub fn wait_since(&self, typed: Typed, text: &str, limit: Duration) -> Result<String> {
        let mut shown = wait::until(
            limit,
            &format!("{text:?} on {}'s terminal", self.user),
            || Some(self.since(typed)).filter(|shown| shown.contains(text)),
        )
        .with_context(|| format!("terminal: {}", self.since(typed)))?;
        loop {
            std::thread::sleep(wait::QUIET);
            let later = self.since(typed);
            if later == shown {
                return Ok(shown);
            }
            shown = later;
        }
    }

    /// Waits for the end of the session's own process.
    pub fn wait_exit(&mut self, limit: Duration) -> Result<i32> {
        let pid = self.pid();
        let ended = wait::until_ok(limit, "the session to end", || Ok(self.child.try_wait()?));
        match ended {
            Ok(status) => Ok(process::code(status)),
            Err(error) => bail!("{error:#} (process {pid}, terminal: {})", self.text()),
        }
    }

    /// The one process with this word in its command line that descends from this session.
    pub fn process_with(&self, word: &str) -> Result<u32> {
        wait::until(
            wait::SOON,
            &format!("a process `{word}` of {}", self.user),
            || {
                process::with_word(word)
                    .into_iter()
                    .rfind(|pid| process::session(*pid) == Some(self.pid()))
            },
        )
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SIGKILL works on stopped processes; what else hangs on the terminal gets SIGHUP by its closing.
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

fn lock(shown: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\r', "")
}
