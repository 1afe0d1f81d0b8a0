//! `stayhand events tail --follow`, running beside the story: what it shows is what an auditor gets.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use super::event::{Event, Expected};
use crate::scenario::LOGS;
use crate::wait;

/// Where its output goes.
const FILE: &str = "events.jsonl";

/// The running command. Each event answers to one expectation only.
pub struct Tail {
    child: Child,
    file: PathBuf,
    taken: Vec<bool>,
}

impl Tail {
    /// From the first event on.
    pub fn start() -> Result<Self> {
        let file = Path::new(LOGS).join(FILE);
        let errors = File::create(Path::new(LOGS).join("tail.log"))?;
        let child = Command::new("stayhand")
            .args(["events", "tail", "--all", "--follow", "-o", "jsonl"])
            .stdin(Stdio::null())
            .stdout(File::create(&file)?)
            .stderr(errors)
            .spawn()
            .context("cannot start stayhand events tail")?;
        Ok(Self {
            child,
            file,
            taken: Vec::new(),
        })
    }

    /// Everything that it has printed, by whole lines.
    pub fn events(&self) -> Result<Vec<Event>> {
        let text = fs::read_to_string(&self.file)?;
        let whole = text
            .rfind('\n')
            .map_or("", |end| text.get(..end).unwrap_or_default());
        whole.lines().map(Event::parse).collect()
    }

    /// Waits for an event that was not taken yet, and takes it.
    pub fn take(&mut self, expected: &Expected, limit: Duration) -> Result<Event> {
        wait::until_ok(limit, &format!("the event {expected:?}"), || {
            self.next(expected)
        })
    }

    fn next(&mut self, expected: &Expected) -> Result<Option<Event>> {
        let events = self.events()?;
        self.taken.resize(events.len().max(self.taken.len()), false);
        for (event, taken) in events.into_iter().zip(self.taken.iter_mut()) {
            if !*taken && expected.matches(&event) {
                *taken = true;
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// Decisions that nothing in the story accounted for.
    pub fn unexpected(&mut self, pardon: &[Expected]) -> Result<Vec<Event>> {
        let events = self.events()?;
        self.taken.resize(events.len().max(self.taken.len()), false);
        let left = events
            .into_iter()
            .zip(&self.taken)
            .filter(|(event, taken)| !**taken && event.is_decision());
        Ok(left
            .map(|(event, _)| event)
            .filter(|event| !pardon.iter().any(|one| one.matches(event)))
            .collect())
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        // It may have ended with the control plane.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
