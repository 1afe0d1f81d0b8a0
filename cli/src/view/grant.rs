//! A grant: a time-boxed permission, and where it is enforced.

use std::collections::BTreeMap;

use serde::Serialize;
use stayhand_guardrail::{text::safe, values::ProfileUse};
use stayhand_proto::v1;

use super::{
    Lock,
    parts::{self, HostEnforcement, Time},
};
use crate::{render::View, time::Moment};

/// One grant.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Grant {
    pub(crate) id: String,
    pub(crate) user: String,
    pub(crate) permissions: Vec<String>,
    /// POLICY/NAME of the profile that gives them
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) profile: Option<String>,
    /// Of the profile's parameters
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) values: BTreeMap<String, String>,
    /// Empty: on every host
    pub(crate) hosts: Vec<String>,
    pub(crate) state: &'static str,
    pub(crate) reason: String,
    pub(crate) created_by: String,
    pub(crate) create_time: Option<Time>,
    pub(crate) expire_time: Option<Time>,
    /// When it ended by itself
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) end_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) revoked_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) revoke_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) revoke_time: Option<Time>,
    pub(crate) enforcement: Vec<HostEnforcement>,
    /// Where one covers it, it does not count
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) locks: Vec<Lock>,
    /// That cover it, too
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) more_locks: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl Grant {
    pub(crate) fn of(wire: v1::Grant) -> Self {
        let profile = wire.profile.parse::<ProfileUse>();
        let (profile, values) = match &profile {
            Ok(one) => (Some(one.name()), named(one)),
            // One that this version cannot read is shown as it came.
            Err(_) => (parts::text(wire.profile.clone()), BTreeMap::new()),
        };
        let (expire_time, is_revoked) = (
            parts::time(wire.expire_time),
            wire.state() == v1::grant::State::Revoked,
        );
        let on_host = |one| {
            let mut host = HostEnforcement::of(one);
            // Whatever ends it first: the grant's own time, or that of everything that counts there.
            let until = host.void_time.into_iter().chain(expire_time).min();
            host.counts_until = until.filter(|_| is_revoked && !host.done());
            host
        };
        Self {
            profile,
            values,
            id: parts::bare(&wire.name, "grants/"),
            state: state(wire.state()),
            user: wire.user,
            permissions: wire.permissions,
            hosts: wire.hosts,
            reason: wire.reason,
            created_by: wire.created_by,
            create_time: parts::time(wire.create_time),
            expire_time,
            end_time: parts::time(wire.end_time),
            revoked_by: parts::text(wire.revoked_by),
            revoke_reason: parts::text(wire.revoke_reason),
            revoke_time: parts::time(wire.revoke_time),
            enforcement: wire.enforcement.into_iter().map(on_host).collect(),
            locks: wire.locks.into_iter().map(Lock::of).collect(),
            more_locks: wire.more_locks,
        }
    }

    fn permits(&self) -> String {
        safe(&self.permissions.join(", "))
    }

    /// `service=nginx, port=1024`
    fn with(&self) -> String {
        let each = self.values.iter();
        let each: Vec<String> = each
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        safe(&each.join(", "))
    }

    /// What hosts that are as they should be do with it.
    fn word(&self) -> &'static str {
        if self.state == "active" {
            "enforced on"
        } else {
            "out of the kernel on"
        }
    }

    fn shown_state(&self) -> String {
        if self.locks.is_empty() {
            self.state.to_owned()
        } else {
            format!("{}, locked", self.state)
        }
    }

    fn told_locks(&self, moment: &Moment) -> String {
        let mut locks: Vec<String> = self.locks.iter().map(|lock| lock.told(moment)).collect();
        if self.more_locks > 0 {
            locks.push(format!("and {} more: stayhand lock ls", self.more_locks));
        }
        locks.join("\n")
    }

    /// Where it counts, or is gone; and of one that is active, where it does not because of a lock.
    fn told_hosts(&self, moment: &Moment) -> String {
        let is_out =
            |host: &&HostEnforcement| self.state == "active" && !host.enforced() && host.done();
        let out = self.enforcement.iter().filter(is_out).count();
        let rest = self.enforcement.iter().filter(|host| !is_out(host));
        let rest: Vec<HostEnforcement> = rest.cloned().collect();
        let mut lines = vec![parts::enforcement_lines(&rest, self.word(), moment)];
        if out > 0 {
            lines.push(format!(
                "locked, and out of the kernel on {out} of {}",
                self.enforcement.len()
            ));
        }
        lines.retain(|line| !line.is_empty());
        lines.join("\n")
    }

    /// What it was asked for by, in one cell.
    fn asked(&self) -> String {
        match &self.profile {
            None => self.permits(),
            Some(profile) if self.values.is_empty() => safe(profile),
            Some(profile) => format!("{} ({})", safe(profile), self.with()),
        }
    }
}

fn named(profile: &ProfileUse) -> BTreeMap<String, String> {
    let values = profile.values.iter();
    values
        .map(|(name, value)| (name.to_string(), value.to_owned()))
        .collect()
}

fn state(wire: v1::grant::State) -> &'static str {
    match wire {
        v1::grant::State::Active => "active",
        v1::grant::State::Ended => "ended",
        v1::grant::State::Revoked => "revoked",
        v1::grant::State::Unspecified => "unknown",
    }
}

impl View for Grant {
    const KIND: &'static str = "Grant";
    const HEADS: &'static [&'static str] = &[
        "ID", "USER", "PERMITS", "STATE", "UNTIL", "ENFORCED", "BY", "REASON",
    ];

    fn id(&self) -> String {
        self.id.clone()
    }

    fn row(&self, moment: &Moment) -> Vec<String> {
        vec![
            safe(&self.id),
            parts::cell(&self.user),
            parts::cut(&self.asked()),
            self.shown_state(),
            self.expire_time
                .map(|end| moment.short(end))
                .unwrap_or_default(),
            parts::enforced_on(&self.enforcement),
            parts::cell(&self.created_by),
            parts::cell(&self.reason),
        ]
    }

    fn details(&self, moment: &Moment) -> Vec<(&'static str, String)> {
        let stamp = |time: Option<Time>| time.map(|time| moment.full(time)).unwrap_or_default();
        let shown = |text: &Option<String>| text.as_deref().map(safe).unwrap_or_default();
        vec![
            ("grant", safe(&self.id)),
            ("user", safe(&self.user)),
            ("profile", shown(&self.profile)),
            ("with", self.with()),
            ("permits", self.permits()),
            ("state", self.shown_state()),
            ("locked", self.told_locks(moment)),
            ("until", stamp(self.expire_time)),
            ("reason", safe(&self.reason)),
            ("created by", safe(&self.created_by)),
            ("created", stamp(self.create_time)),
            ("ended", stamp(self.end_time)),
            ("revoked by", shown(&self.revoked_by)),
            ("revoked", stamp(self.revoke_time)),
            ("because", shown(&self.revoke_reason)),
            ("only on", safe(&self.hosts.join(", "))),
            ("hosts", self.told_hosts(moment)),
        ]
    }
}
