//! An authority that signs certificates.

use serde::Serialize;
use stayhand_guardrail::text::safe;
use stayhand_proto::v1;

use super::parts::{self, Time};
use crate::{render::View, time::Moment};

/// One authority.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Authority {
    number: String,
    /// By what hosts that join tell it from others
    pin: String,
    issues: bool,
    create_time: Option<Time>,
    expire_time: Option<Time>,
    /// Hosts that have no certificate of it or of a newer one, as far as they are named
    behind: Vec<String>,
    behind_count: u32,
    /// Of so many
    hosts: u32,
}

impl Authority {
    pub(crate) fn of(wire: v1::Authority) -> Self {
        let behind = wire.behind.iter().map(|name| parts::bare(name, "hosts/"));
        Self {
            number: parts::bare(&wire.name, "authorities/"),
            pin: wire.pin,
            issues: wire.issues,
            create_time: parts::time(wire.create_time),
            expire_time: parts::time(wire.expire_time),
            behind: behind.collect(),
            behind_count: wire.behind_count,
            hosts: wire.hosts,
        }
    }

    fn state(&self) -> &'static str {
        if self.issues { "issues" } else { "believed" }
    }

    fn moved(&self) -> String {
        let moved = self.hosts.saturating_sub(self.behind_count);
        format!("{moved}/{}", self.hosts)
    }
}

impl View for Authority {
    const KIND: &'static str = "Authority";
    const HEADS: &'static [&'static str] = &["AUTHORITY", "STATE", "HOSTS", "SINCE", "UNTIL"];

    fn id(&self) -> String {
        self.number.clone()
    }

    fn row(&self, moment: &Moment) -> Vec<String> {
        let short = |time: Option<Time>| time.map(|time| moment.short(time)).unwrap_or_default();
        vec![
            parts::cell(&self.number),
            self.state().to_owned(),
            self.moved(),
            short(self.create_time),
            short(self.expire_time),
        ]
    }

    fn details(&self, moment: &Moment) -> Vec<(&'static str, String)> {
        let stamp = |time: Option<Time>| time.map(|time| moment.full(time)).unwrap_or_default();
        let behind: Vec<String> = self.behind.iter().map(|host| safe(host)).collect();
        vec![
            ("authority", safe(&self.number)),
            ("state", self.state().to_owned()),
            ("pin", safe(&self.pin)),
            ("hosts", self.moved()),
            ("not yet", behind.join(", ")),
            ("since", stamp(self.create_time)),
            ("until", stamp(self.expire_time)),
        ]
    }
}
