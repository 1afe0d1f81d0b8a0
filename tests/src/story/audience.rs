//! Whoever looks on: a person who reads a transcript, or the suite, which only wants to know where it failed.

use anyhow::Result;

use crate::console;

/// Width of the rules of the transcript.
const WIDTH: usize = 100;
/// Lines of one command's output that a transcript shows.
const OUTPUT_LINES: usize = 40;
/// The same for an answer to a hold, after the first one was shown whole.
const ANSWER_LINES: usize = 4;

/// Shows what happens.
pub struct Audience {
    person: bool,
    steps: usize,
    events: usize,
    answers: usize,
    rows: Vec<(String, String)>,
}

impl Audience {
    /// A person at the demo.
    pub fn person() -> Self {
        Self {
            person: true,
            steps: 0,
            events: 0,
            answers: 0,
            rows: Vec::new(),
        }
    }

    /// The suite.
    pub fn suite() -> Self {
        Self {
            person: false,
            steps: 0,
            events: 0,
            answers: 0,
            rows: Vec::new(),
        }
    }

    fn say(&self, text: &str) {
        if self.person {
            console::out(text);
        }
    }

    /// Before the first chapter.
    pub fn opening(&mut self) {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        self.say(&format!(
            "host   Linux {}, starting stayhand-control and stayhand-agent",
            kernel.trim()
        ));
        self.say("who    alice is in group dev, which the policy guards; bob is not; root is the operator");
    }

    /// A chapter starts.
    pub fn chapter(&mut self, title: &str) {
        self.say("");
        self.say(&format!(
            "── {title} {}",
            "─".repeat(WIDTH.saturating_sub(title.chars().count() + 4))
        ));
        console::step(title);
    }

    /// A command and its output, as on a terminal.
    pub fn said(&mut self, who: &str, command: &str, output: &str) {
        console::step(&format!("{who}: {command}"));
        let prompt = if who == "root" { '#' } else { '$' };
        self.say(&format!("{who}{prompt} {command}"));
        let lines: Vec<&str> = output.lines().filter(|line| !is_ours(line)).collect();
        let is_answer = command.starts_with("stayhand hold approve");
        self.answers += usize::from(is_answer);
        let most = if is_answer && self.answers > 1 {
            ANSWER_LINES
        } else {
            OUTPUT_LINES
        };
        for line in lines.iter().take(most) {
            self.say(&format!("    {line}"));
        }
        if lines.len() > most {
            self.say(&format!("    … {} more lines", lines.len() - most));
        }
    }

    /// What came of it, and the events.
    pub fn step(&mut self, who: &str, command: &str, outcome: &str, events: &[String]) {
        console::step(&format!("{who}: {command}: {outcome}"));
        self.steps += 1;
        self.say(&format!("  ✓ {outcome}"));
        self.events(events);
    }

    /// Events as they arrived.
    pub fn events(&mut self, events: &[String]) {
        self.events += events.len();
        let what = |event: &String| {
            event
                .split_once(' ')
                .map_or(String::new(), |(_, what)| what.to_owned())
        };
        for run in events.chunk_by(|a, b| what(a) == what(b)) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else {
                continue;
            };
            self.say(&format!("    event  {first}"));
            if run.len() > 2 {
                self.say(&format!("    event  … {} more of the same", run.len() - 2));
            }
            if run.len() > 1 {
                self.say(&format!("    event  {last}"));
            }
        }
    }

    /// A line between steps.
    pub fn note(&mut self, text: &str) {
        console::step(text);
        self.say(&format!("  · {text}"));
    }

    /// How a chapter ended.
    pub fn played(&mut self, title: &str, result: &Result<()>) {
        let word = match result {
            Ok(()) => format!("as told, {} steps, {} events", self.steps, self.events),
            Err(error) => format!("NOT AS TOLD: {error:#}"),
        };
        (self.steps, self.events) = (0, 0);
        if result.is_err() {
            self.say(&format!("  ✗ {word}"));
        }
        self.rows.push((title.to_owned(), word));
    }

    /// The closing table.
    pub fn closing(&mut self) {
        let width = self
            .rows
            .iter()
            .map(|(title, _)| title.chars().count())
            .max()
            .unwrap_or(0);
        self.say("");
        self.say(&"═".repeat(WIDTH));
        let rows = std::mem::take(&mut self.rows);
        for (title, word) in &rows {
            self.say(&format!("{title:<width$}  {word}"));
        }
        self.say(&"═".repeat(WIDTH));
    }
}

/// Lines that the shell printed for this program and not for the one who typed.
fn is_ours(line: &str) -> bool {
    line.trim().is_empty() || line.starts_with("<end-")
}
