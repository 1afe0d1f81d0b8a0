//! Processes as `/proc` shows them, and programs with a time limit.

use std::io::Read;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use procfs::process::ProcState;

use crate::{actors::sys, wait};

/// What a program said and how it ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// Exit code; 128 + signal if a signal ended it
    pub code: i32,
    /// Standard output
    pub stdout: String,
    /// Standard error
    pub stderr: String,
}

impl Output {
    /// Fails unless it ended with 0.
    pub fn ok(self) -> Result<Self> {
        ensure!(self.code == 0, "ended with {}: {}", self.code, self.both());
        Ok(self)
    }

    /// Whether it ended well and showed this line; others may be between, such as a notice to the terminal.
    pub fn has_line(&self, text: &str) -> bool {
        self.code == 0 && self.stdout.lines().any(|line| line.trim() == text)
    }

    /// Both streams, for messages.
    pub fn both(&self) -> String {
        format!("{}{}", self.stdout, self.stderr).trim().to_owned()
    }

    /// Standard output as one JSON document. On a terminal the agent's own lines may be between.
    pub fn json(&self) -> Result<serde_json::Value> {
        let lines = self
            .stdout
            .lines()
            .filter(|line| !line.starts_with("stayhand:"));
        serde_json::from_str(&lines.collect::<Vec<_>>().join("\n"))
            .with_context(|| format!("no JSON: {}", self.both()))
    }

    /// Standard output as one JSON document per line.
    pub fn json_lines(&self) -> Result<Vec<serde_json::Value>> {
        let lines = self.stdout.lines().filter(|line| !line.trim().is_empty());
        lines
            .map(|line| serde_json::from_str(line).with_context(|| format!("no JSON: {line}")))
            .collect()
    }
}

/// Runs a program to its end; kills it after `limit`.
pub fn run(command: &mut Command, limit: Duration) -> Result<Output> {
    let shown = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {shown}"))?;
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let status = end_of(&mut child, limit).with_context(|| shown.clone())?;
    let text = |reader: std::thread::JoinHandle<String>| reader.join().unwrap_or_default();
    Ok(Output {
        code: code(status),
        stdout: text(stdout),
        stderr: text(stderr),
    })
}

/// Reads a pipe to its end beside the program that fills it.
fn drain(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What came before a failed read is still worth showing.
            drop(pipe.read_to_end(&mut bytes));
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Waits for a child's end; kills it after `limit`. Asks nothing meanwhile: what is asked fifty times a second costs an emulated machine
/// as much as the scenario.
pub fn end_of(child: &mut Child, limit: Duration) -> Result<ExitStatus> {
    let process = sys::pidfd(child.id()).context("no descriptor of the program")?;
    let mut ended = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    let start = Instant::now();
    loop {
        let left = limit.saturating_sub(start.elapsed());
        match poll(
            &mut ended,
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX),
        ) {
            Ok(0) | Err(Errno::EINTR) if start.elapsed() < limit => {}
            Ok(0) | Err(Errno::EINTR) => {
                child.kill()?;
                child.wait()?;
                bail!("not done after {} s, killed", limit.as_secs());
            }
            Ok(_) => return Ok(child.wait()?),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The exit code as a shell gives it.
pub fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

/// Sends a signal.
pub fn signal(pid: u32, signal: Signal) -> Result<()> {
    kill(Pid::from_raw(i32::try_from(pid)?), signal)
        .with_context(|| format!("cannot send {signal} to {pid}"))
}

/// The state in `/proc`; nothing if there is no such process (a zombie counts as gone).
pub fn state(pid: u32) -> Option<ProcState> {
    let stat = procfs::process::Process::new(i32::try_from(pid).ok()?)
        .ok()?
        .stat()
        .ok()?;
    stat.state()
        .ok()
        .filter(|state| !matches!(state, ProcState::Zombie | ProcState::Dead))
}

/// Whether it exists and is not a zombie.
pub fn is_alive(pid: u32) -> bool {
    state(pid).is_some()
}

/// Whether a stop signal took effect.
pub fn is_stopped(pid: u32) -> bool {
    matches!(state(pid), Some(ProcState::Stopped | ProcState::Tracing))
}

/// Waits until a process is stopped.
pub fn wait_stopped(pid: u32, limit: Duration) -> Result<()> {
    wait::until(limit, &format!("process {pid} to stop"), || {
        is_stopped(pid).then_some(())
    })
}

/// The session (as `setsid` makes them) that a process belongs to, by its leader.
pub fn session(pid: u32) -> Option<u32> {
    let stat = procfs::process::Process::new(i32::try_from(pid).ok()?)
        .ok()?
        .stat()
        .ok()?;
    u32::try_from(stat.session).ok()
}

/// Processes whose command line has this word, in the order of their ids.
pub fn with_word(word: &str) -> Vec<u32> {
    let all = procfs::process::all_processes()
        .into_iter()
        .flatten()
        .flatten();
    let mut found: Vec<u32> = all
        .filter(|process| {
            process
                .cmdline()
                .is_ok_and(|line| line.iter().any(|arg| arg == word))
        })
        .filter_map(|process| u32::try_from(process.pid).ok())
        .filter(|pid| is_alive(*pid))
        .collect();
    found.sort_unstable();
    found
}

/// One line per process, for the log of a failure.
pub fn listing() -> String {
    let all = procfs::process::all_processes()
        .into_iter()
        .flatten()
        .flatten();
    let lines = all.filter_map(|process| {
        let stat = process.stat().ok()?;
        let line = process.cmdline().ok().filter(|line| !line.is_empty())?;
        let auid =
            std::fs::read_to_string(format!("/proc/{}/loginuid", process.pid)).unwrap_or_default();
        Some(format!(
            "{:>5} {:>5} {} {:>10} {}",
            process.pid,
            stat.ppid,
            stat.state,
            auid,
            line.join(" ")
        ))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Whether a unix socket accepts connections.
pub fn listens(socket: &Path) -> bool {
    std::os::unix::net::UnixStream::connect(socket).is_ok()
}
