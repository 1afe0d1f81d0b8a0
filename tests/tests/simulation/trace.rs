//! What happened, as lines that can be read and as one number that tells two runs apart.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use crate::clock::SECOND;

/// Lines that a failing seed shows.
const SHOWN: usize = 60;

#[derive(Default)]
pub(crate) struct Trace {
    lines: VecDeque<String>,
    hash: u64,
    pub(crate) steps: u64,
    /// Keep every line
    pub(crate) whole: bool,
}

impl Trace {
    pub(crate) fn say(&mut self, at_ns: u64, what: &str) {
        let mut hasher = DefaultHasher::new();
        (self.hash, at_ns, what).hash(&mut hasher);
        self.hash = hasher.finish();
        let line = format!(
            "{:>4}.{:03} {what}",
            at_ns / SECOND,
            at_ns % SECOND / 1_000_000
        );
        self.lines.push_back(line);
        if !self.whole && self.lines.len() > SHOWN {
            self.lines.pop_front();
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn text(&self) -> String {
        self.lines.iter().fold(String::new(), |mut text, line| {
            let _infallible = writeln!(text, "  {line}");
            text
        })
    }
}
