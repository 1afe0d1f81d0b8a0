//! The puppet: a process that makes one system call per line of its standard input and prints the kernel's answer.
//!
//! A line is `ID TAB THREAD TAB VERB TAB ARGUMENT…`, the answer `ID TAB NUMBER [TAB TEXT]`. Thread 0 is the main
//! one; others are made when first named. A held call simply answers late. It decides nothing.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, Write as _},
    process::ExitCode,
    sync::mpsc,
};

use super::{
    sys::{self, Ret},
    verbs,
};

/// One request.
#[derive(Clone, Debug)]
pub struct Line {
    id: String,
    /// Verb and arguments
    words: Vec<String>,
}

impl Line {
    fn parse(text: &str) -> Option<(u32, Self)> {
        let mut words = text.split('\t').map(str::to_owned);
        let (id, thread) = (words.next()?, words.next()?.parse().ok()?);
        let words: Vec<String> = words.collect();
        (!words.is_empty()).then_some((thread, Self { id, words }))
    }

    /// The verb.
    pub fn verb(&self) -> &str {
        self.text(0)
    }

    /// Argument `index`, from 1; empty if missing.
    pub fn text(&self, index: usize) -> &str {
        self.words.get(index).map_or("", String::as_str)
    }

    /// Argument as a number (decimal); 0 if missing.
    pub fn number<T: std::str::FromStr + Default>(&self, index: usize) -> T {
        self.text(index).parse().unwrap_or_default()
    }

    /// Everything from argument `index` on.
    pub fn rest(&self, index: usize) -> Vec<&str> {
        self.words.iter().skip(index).map(String::as_str).collect()
    }

    /// The request inside this one: `fork VERB…`.
    fn inner(&self, from: usize) -> Self {
        Self {
            id: self.id.clone(),
            words: self.words.get(from..).unwrap_or_default().to_vec(),
        }
    }

    fn answer(&self, number: Ret, text: &str) {
        answer(&self.id, number, text);
    }
}

/// One write per answer: lines of several threads and children never mix.
fn answer(id: &str, number: Ret, text: &str) {
    let text = text.replace(['\n', '\t'], " ");
    let line = format!("{id}\t{number}\t{text}\n");
    // The reader is gone only when the test is over.
    let _reader_gone = std::io::stdout().lock().write_all(line.as_bytes());
}

/// Reads requests until the input ends.
pub fn run() -> ExitCode {
    answer("ready", sys::tid(), "");
    let mut workers: BTreeMap<u32, mpsc::Sender<Line>> = BTreeMap::new();
    for text in std::io::stdin().lock().lines() {
        let Ok(text) = text else { break };
        let Some((thread, line)) = Line::parse(&text) else {
            answer("?", -Ret::from(libc::EINVAL), &text);
            continue;
        };
        if thread == 0 {
            obey(&line);
            continue;
        }
        let worker = workers.entry(thread).or_insert_with(worker);
        if worker.send(line).is_err() {
            answer("?", -Ret::from(libc::ESRCH), "worker is gone");
        }
    }
    ExitCode::SUCCESS
}

fn worker() -> mpsc::Sender<Line> {
    let (to, requests) = mpsc::channel::<Line>();
    std::thread::spawn(move || {
        for line in requests {
            obey(&line);
        }
    });
    to
}

fn obey(line: &Line) {
    match line.verb() {
        "fork" => in_child(line, 1, false),
        "daemon" => in_child(line, 1, true),
        "swallow" => traced(line),
        "exit" => std::process::exit(line.number(1)),
        _ => {
            let (number, text) = verbs::obey(line);
            line.answer(number, &text);
        }
    }
}

/// Runs the rest of the line in a child, which answers under the line's id; the child's process id is answered
/// under `ID.pid` first. `daemon` leaves session, parent and process group behind.
#[expect(unsafe_code, reason = "fork")]
fn in_child(line: &Line, from: usize, leave: bool) {
    // SAFETY: the child only makes system calls, formats and prints; glibc's allocator survives fork.
    match unsafe { nix::unistd::fork() } {
        Ok(nix::unistd::ForkResult::Parent { child }) => {
            if leave {
                let _gone = nix::sys::wait::waitpid(child, None);
            } else {
                answer(&format!("{}.pid", line.id), child.as_raw().into(), "");
            }
        }
        Ok(nix::unistd::ForkResult::Child) => {
            if leave {
                daemonise(line);
            }
            obey(&line.inner(from));
            std::process::exit(0);
        }
        Err(error) => line.answer(-Ret::from(error as i32), ""),
    }
}

#[expect(unsafe_code, reason = "fork")]
fn daemonise(line: &Line) {
    if let Err(error) = nix::unistd::setsid() {
        line.answer(-Ret::from(error as i32), "setsid");
    }
    // SAFETY: as in `in_child`.
    match unsafe { nix::unistd::fork() } {
        Ok(nix::unistd::ForkResult::Child) => {
            answer(&format!("{}.pid", line.id), std::process::id().into(), "");
        }
        Ok(nix::unistd::ForkResult::Parent { .. }) | Err(_) => std::process::exit(0),
    }
}

/// Runs the rest of the line in a traced child whose stops are swallowed; answers `stops << 8 | exit code` under
/// `ID.tracer` and the child's own result under the line's id.
#[expect(unsafe_code, reason = "fork")]
fn traced(line: &Line) {
    // SAFETY: as in `in_child`.
    match unsafe { nix::unistd::fork() } {
        Ok(nix::unistd::ForkResult::Parent { child }) => {
            let ended = super::trace::swallow_stops(child);
            answer(&format!("{}.tracer", line.id), ended, "");
        }
        Ok(nix::unistd::ForkResult::Child) => {
            let asked = nix::sys::ptrace::traceme();
            if asked.is_err() {
                line.answer(-Ret::from(libc::EPERM), "traceme");
            }
            obey(&line.inner(1));
            std::process::exit(0);
        }
        Err(error) => line.answer(-Ret::from(error as i32), ""),
    }
}
