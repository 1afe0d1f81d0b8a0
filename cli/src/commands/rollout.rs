//! Waiting for hosts: the control plane's yes is a record, only a host's *enforced* is a fact.
//!
//! Hosts that are not online are named and not waited for; a host that rejects ends its own wait.

use std::time::Duration;

use stayhand_guardrail::{text::safe, time::DurationMs};

use crate::{
    failure::{Failure, Kind},
    screen::Screen,
    view::HostEnforcement,
};

/// Hosts that one sentence names: a few lines. `show` says more.
const NAMES_MAX: usize = 20;

/// How far the hosts are, and what was said about it.
#[derive(Debug)]
pub(crate) struct Rollout<'s> {
    screen: &'s Screen,
    /// What is being enforced, in a sentence
    what: &'static str,
    said: String,
    hosts: Vec<HostEnforcement>,
}

impl<'s> Rollout<'s> {
    pub(crate) fn new(screen: &'s Screen, what: &'static str) -> Self {
        Self {
            screen,
            what,
            said: String::new(),
            hosts: Vec::new(),
        }
    }

    /// Takes in the newest word; says so when something changed; true when there is nothing left to wait for.
    pub(crate) fn settled(&mut self, hosts: &[HostEnforcement]) -> bool {
        self.hosts = hosts.to_vec();
        let progress = self.progress();
        if progress != self.said {
            self.screen.note(&progress);
            self.said = progress;
        }
        let mut online = self.online().peekable();
        online.peek().is_some() && online.all(|host| host.done() || host.phase == "rejected")
    }

    /// The end of waiting, settled or not.
    pub(crate) fn verdict(&self, waited: Duration, remedy: String) -> Result<(), Failure> {
        let offline = names(
            self.hosts
                .iter()
                .filter(|host| !host.online && !host.done()),
        );
        if !offline.is_empty() {
            self.screen.warning(&format!(
                "not online, so {} is not enforced there yet: {offline}",
                self.what
            ));
        }
        let rejected: Vec<_> = self
            .online()
            .filter(|host| host.phase == "rejected")
            .collect();
        if !rejected.is_empty() {
            let reasons: String = rejected
                .iter()
                .map(|host| format!("\n  {}", host.shown()))
                .collect();
            let text = format!(
                "{} was rejected; what was enforced before stays{reasons}",
                self.what
            );
            return Err(Failure::general(text).hint(remedy));
        }
        let waited = length(waited);
        if self.online().next().is_none() {
            let text = format!(
                "{} is not enforced anywhere: no host was online within {waited}",
                self.what
            );
            return Err(Failure::new(Kind::Unavailable, text)
                .hint("`stayhand host ls` shows the hosts")
                .hint(remedy));
        }
        let late = names(self.online().filter(|host| !host.done()));
        if late.is_empty() {
            return Ok(());
        }
        let text = format!("{} was not enforced within {waited} on: {late}", self.what);
        Err(Failure::new(Kind::Unavailable, text)
            .hint("it is still on its way; give it longer with --timeout")
            .hint(remedy))
    }

    fn online(&self) -> impl Iterator<Item = &HostEnforcement> {
        self.hosts.iter().filter(|host| host.online)
    }

    fn progress(&self) -> String {
        let (mut enforced, mut online) = (0usize, 0usize);
        for host in self.online() {
            online += 1;
            enforced += usize::from(host.done());
        }
        match online {
            0 => "no host is online; waiting".into(),
            1 => format!("enforced on {enforced} of 1 host"),
            _ => format!("enforced on {enforced} of {online} hosts"),
        }
    }
}

/// As it is written in --timeout.
fn length(span: Duration) -> DurationMs {
    DurationMs(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

fn names<'h>(hosts: impl Iterator<Item = &'h HostEnforcement>) -> String {
    let mut names: Vec<String> = hosts.map(|host| safe(&host.host)).collect();
    let more = names.len().saturating_sub(NAMES_MAX);
    names.truncate(NAMES_MAX);
    let and = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("{}{and}", names.join(", "))
}
