//! What is being done, on standard error, so that somebody who waits for minutes sees why.

use std::time::{Duration, Instant};

/// How often something that goes on is said again.
const EVERY: Duration = Duration::from_secs(5);

/// Progress of one size.
pub(crate) struct Progress {
    hosts: u32,
    quiet: bool,
    started: Instant,
    said: Instant,
}

impl Progress {
    pub(crate) fn new(hosts: u32, quiet: bool) -> Self {
        let now = Instant::now();
        Self {
            hosts,
            quiet,
            started: now,
            said: now,
        }
    }

    /// Says what begins.
    pub(crate) fn say(&mut self, what: &str) {
        self.said = Instant::now();
        if !self.quiet {
            let (hosts, seconds) = (self.hosts, self.started.elapsed().as_secs());
            eprintln!("fleet  {hosts} hosts, {seconds} s: {what}");
        }
    }

    /// Says how far something is, now and then.
    pub(crate) fn so_far(&mut self, what: &str, done: usize) {
        if self.said.elapsed() >= EVERY {
            self.say(&format!("{what}: {done} of {}", self.hosts));
        }
    }
}
