//! The line protocol to the host: one verb and one line of text each, on the second serial port.
//!
//! Control characters never reach the port: what scenarios report is other programs' output.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Mutex, OnceLock};

/// Where the host listens.
const PORT: &str = "/dev/ttyS1";
/// Longest text of one line; a port under emulation is slow.
const TEXT_CHARS_MAX: usize = 2_000;

/// A scenario starts.
pub fn begin(name: &str) {
    say("begin", name);
}

/// It held.
pub fn pass(name: &str) {
    say("pass", name);
}

/// It did not.
pub fn fail(name: &str, text: &str) {
    say("fail", &format!("{name} {text}"));
}

/// It was not run.
pub fn skip(name: &str, reason: &str) {
    say("skip", &format!("{name} {reason}"));
}

/// What is being done now.
pub fn step(text: &str) {
    say("step", text);
}

/// Detail, one line of the protocol for each line.
pub fn log(text: &str) {
    for line in text.lines() {
        say("log", line);
    }
}

/// The demo's transcript, line by line.
pub fn out(text: &str) {
    if text.is_empty() {
        say("out", "");
    }
    for line in text.lines() {
        say("out", line);
    }
}

/// One row of the benchmark.
pub fn bench(json: &str) {
    say("bench", json);
}

/// Everything was reported.
pub fn done() {
    say("done", "");
}

fn say(verb: &str, text: &str) {
    static OUT: OnceLock<Mutex<Option<File>>> = OnceLock::new();
    let out = OUT.get_or_init(|| Mutex::new(open()));
    let line = format!("@{verb} {}\n", shown(text));
    let mut out = out
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let written = match out.as_mut() {
        Some(port) => port.write_all(line.as_bytes()),
        None => std::io::stdout().write_all(line.as_bytes()),
    };
    if let Err(error) = written {
        // Once more by a new descriptor. Nobody is left to tell if that fails, too: the host counts what it never heard as
        // failed.
        *out = open();
        let again = format!("@log the port failed: {error}\n{line}");
        let written = out.as_mut().map(|port| port.write_all(again.as_bytes()));
        drop(written);
    }
}

/// Without `O_NOCTTY` the port could become a controlling terminal and send signals.
fn open() -> Option<File> {
    OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NOCTTY)
        .open(PORT)
        .ok()
}

/// Layout stays (box characters, quotes, backslashes); whatever acts on a terminal is escaped.
fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.trim_end().chars().take(TEXT_CHARS_MAX) {
        match character {
            '\t' => shown.push_str("    "),
            '\'' | '"' | '\\' => shown.push(character),
            other => shown.extend(other.escape_debug()),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_programs_output_cannot_start_a_line_or_move_the_cursor() {
        assert_eq!(shown("a\n@pass x\u{1b}[2J"), "a\\n@pass x\\u{1b}[2J");
    }

    #[test]
    fn layout_and_quotes_stay() {
        assert_eq!(shown("  ┌ it's \"x\" \\ ┐ "), "  ┌ it's \"x\" \\ ┐");
    }
}
