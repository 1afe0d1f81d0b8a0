//! Running other programs: captured, inherited, or watched with a progress line.
//!
//! Never hides a failure: every error carries the command and the tail of what it printed.

use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Lines of output that an error quotes: enough for a compiler's message.
const TAIL_LINES: usize = 40;
/// How often a terminal's progress line is redrawn.
const REDRAW: Duration = Duration::from_millis(250);
/// How often a log (no terminal) gets a sign of life.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);
/// Width of a redrawn line, so that it never wraps on a common terminal.
const LINE_WIDTH: usize = 96;

/// `cargo` as the one that runs us, so that rustup's choice is kept.
pub fn cargo() -> Command {
    let mut cmd = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cmd.current_dir(crate::paths::root());
    // Cargo sets these for us, not for the builds that we start: some crates look at them, and would be built anew after a build by hand.
    for (name, _) in std::env::vars_os() {
        let is_ours = |prefix: &str| name.to_string_lossy().starts_with(prefix);
        if is_ours("CARGO_PKG_") || is_ours("CARGO_MANIFEST_") {
            cmd.env_remove(name);
        }
    }
    cmd
}

/// The same for tests and what guests need: Clippy compiles the workspace, so that what it says costs no second compilation of
/// everything. Cargo keeps what it compiles beside what the compiler itself does.
pub fn cargo_linting() -> Command {
    let mut cmd = cargo();
    cmd.env("RUSTC_WORKSPACE_WRAPPER", "clippy-driver");
    cmd
}

/// Runs to the end and returns standard output.
pub fn output(cmd: &mut Command) -> Result<String> {
    let out = cmd
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", show(cmd)))?;
    if !out.status.success() {
        bail!(
            "`{}` failed ({}):\n{}",
            show(cmd),
            out.status,
            String::from_utf8_lossy(&out.stderr).trim_end()
        );
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Runs with a progress line made from the command's own output by `view`; returns that output, or quotes its tail.
pub fn watched(
    label: &str,
    cmd: &mut Command,
    view: fn(&str) -> Option<String>,
) -> Result<Vec<String>> {
    let mut child = cmd
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", show(cmd)))?;
    let (send, lines) = channel();
    if let Some(out) = child.stdout.take() {
        forward(out, send.clone());
    }
    if let Some(err) = child.stderr.take() {
        forward(err, send);
    }
    let mut output = Vec::new();
    let mut progress = Progress::new(label);
    loop {
        match lines.recv_timeout(REDRAW) {
            Ok(line) => {
                if let Some(what) = view(&line) {
                    progress.say(what);
                }
                output.push(line);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        progress.draw();
    }
    let status = child.wait()?;
    progress.clear();
    if !status.success() {
        let tail = &output[output.len().saturating_sub(TAIL_LINES)..];
        bail!(
            "{label}: `{}` failed ({status}):\n{}",
            show(cmd),
            tail.join("\n")
        );
    }
    Ok(output)
}

/// For `watched`: cargo's `Compiling x` lines and the like.
pub fn cargo_view(line: &str) -> Option<String> {
    let line = line.trim();
    [
        "Compiling",
        "Downloading",
        "Downloaded",
        "Checking",
        "Updating",
        "Blocking",
    ]
    .iter()
    .any(|verb| line.starts_with(verb))
    .then(|| line.to_owned())
}

/// One progress line: redrawn on a terminal, a sign of life now and then in a log.
pub struct Progress {
    label: String,
    what: String,
    started: Instant,
    drawn: Instant,
    tty: bool,
}

impl Progress {
    /// Starts counting seconds.
    pub fn new(label: &str) -> Self {
        let now = Instant::now();
        Self {
            label: label.to_owned(),
            what: String::new(),
            started: now,
            drawn: now,
            tty: std::io::stderr().is_terminal(),
        }
    }

    /// What is being done now.
    pub fn say(&mut self, what: String) {
        self.what = what;
    }

    /// Draws, if it is time.
    pub fn draw(&mut self) {
        let every = if self.tty { REDRAW } else { SIGN_OF_LIFE };
        if self.drawn.elapsed() < every {
            return;
        }
        self.drawn = Instant::now();
        let line = format!(
            "{}: {} s: {}",
            self.label,
            self.started.elapsed().as_secs(),
            self.what
        );
        let line: String = line
            .chars()
            .filter(|c| !c.is_control())
            .take(LINE_WIDTH)
            .collect();
        if self.tty {
            eprint!("\r\x1b[K{line}");
            std::io::stderr().flush().ok();
        } else {
            eprintln!("{line}");
        }
    }

    /// Wipes the line off a terminal.
    pub fn clear(&self) {
        if self.tty {
            eprint!("\r\x1b[K");
        }
    }
}

fn forward(from: impl Read + Send + 'static, to: Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            if to
                .send(String::from_utf8_lossy(&line).trim_end().to_owned())
                .is_err()
            {
                return;
            }
        }
    });
}

/// The command as a person would type it (for messages only).
pub fn show(cmd: &Command) -> String {
    std::iter::once(cmd.get_program())
        .chain(cmd.get_args())
        .map(|a| a.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}
