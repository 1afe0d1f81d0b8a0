//! A host: whether its kernel enforces, what, and since when nobody has heard of it.

use serde::Serialize;
use stayhand_guardrail::text::safe;
use stayhand_proto::v1;

use super::{
    membership::Membership,
    parts::{self, HostEnforcement, Time},
};
use crate::{render::View, time::Moment};

/// One host.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Host {
    pub(crate) id: String,
    /// What it is, as NAME=VALUE
    pub(crate) labels: Vec<String>,
    /// Policies that it has of its own, each with a digest
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) floor: Vec<String>,
    pub(crate) online: bool,
    /// Every hook is attached, as the host said last; without them nothing is enforced, whatever the generation says.
    pub(crate) enforced: bool,
    pub(crate) hooks: Vec<String>,
    pub(crate) hooks_gone: Vec<String>,
    pub(crate) problems: Vec<String>,
    pub(crate) desired_generation: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) enforcement: Option<HostEnforcement>,
    pub(crate) agent_version: String,
    pub(crate) kernel_release: String,
    pub(crate) boot_id: String,
    pub(crate) last_seen_time: Option<Time>,
    pub(crate) events_acknowledged: u64,
    /// Recorded decisions that left no event, counted by the host
    pub(crate) events_lost: u64,
    /// Numbers that the host skipped without saying so
    pub(crate) events_missing: u64,
    /// How it came to be one of ours; none for the host of the control plane's own socket
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) membership: Option<Membership>,
}

impl Host {
    pub(crate) fn of(wire: v1::Host) -> Self {
        Self {
            id: parts::bare(&wire.name, "hosts/"),
            labels: wire.labels,
            floor: wire.floor,
            online: wire.online,
            enforced: !wire.hooks.is_empty() && wire.hooks_gone.is_empty(),
            hooks: wire.hooks,
            hooks_gone: wire.hooks_gone,
            problems: wire.problems,
            desired_generation: wire.desired_generation,
            enforcement: wire.enforcement.map(HostEnforcement::of),
            agent_version: wire.agent_version,
            kernel_release: wire.kernel_release,
            boot_id: wire.boot_id,
            last_seen_time: parts::time(wire.last_seen_time),
            events_acknowledged: wire.events_acknowledged,
            events_lost: wire.events_lost,
            events_missing: wire.events_missing,
            membership: wire.membership.map(Membership::of),
        }
    }

    /// What is known of a host that nobody hears is only what it said last: it may enforce, and it may not.
    fn state(&self) -> String {
        let last = self.last_state();
        if self.membership.as_ref().is_some_and(Membership::is_revoked) {
            return format!("REVOKED (last: {last})");
        }
        if self.online {
            last
        } else {
            format!("not known (last: {last})")
        }
    }

    /// The loudest truth first.
    fn last_state(&self) -> String {
        if !self.enforced {
            return "NOT ENFORCED".into();
        }
        let Some(enforcement) = &self.enforcement else {
            return "enforced, nothing installed".into();
        };
        match enforcement.phase {
            "rejected" => "rejected, last good stays".into(),
            "enforced" if enforcement.generation >= self.desired_generation => "enforced".into(),
            _ => "behind".into(),
        }
    }

    fn events(&self) -> String {
        let (received, lost, missing) = (
            self.events_acknowledged,
            self.events_lost,
            self.events_missing,
        );
        format!("{received} received, {lost} lost, {missing} missing")
    }

    fn generations(&self) -> String {
        match &self.enforcement {
            Some(at) => format!("{}/{} {}", at.generation, self.desired_generation, at.phase),
            None => format!("0/{}", self.desired_generation),
        }
    }
}

impl View for Host {
    const KIND: &'static str = "Host";
    const HEADS: &'static [&'static str] = &[
        "HOST",
        "ONLINE",
        "STATE",
        "GENERATION",
        "SEEN",
        "AGENT",
        "KERNEL",
        "LOST",
    ];

    fn id(&self) -> String {
        self.id.clone()
    }

    fn row(&self, moment: &Moment) -> Vec<String> {
        vec![
            parts::cell(&self.id),
            if self.online { "yes" } else { "no" }.into(),
            self.state(),
            self.generations(),
            self.last_seen_time
                .map_or_else(|| "never".into(), |seen| moment.relative(seen)),
            parts::cell(&self.agent_version),
            parts::cell(&self.kernel_release),
            self.events_lost
                .saturating_add(self.events_missing)
                .to_string(),
        ]
    }

    fn details(&self, moment: &Moment) -> Vec<(&'static str, String)> {
        let safe_all =
            |all: &[String]| -> Vec<String> { all.iter().map(|one| safe(one)).collect() };
        let reasons = self.enforcement.iter().flat_map(|at| &at.reasons);
        let reasons: Vec<String> = reasons.map(|reason| safe(reason)).collect();
        vec![
            ("host", safe(&self.id)),
            ("labels", safe_all(&self.labels).join(", ")),
            ("floor", safe_all(&self.floor).join(", ")),
            (
                "membership",
                self.membership
                    .as_ref()
                    .map(|membership| membership.said(moment))
                    .unwrap_or_default(),
            ),
            ("online", if self.online { "yes" } else { "no" }.into()),
            ("state", self.state()),
            ("generation", self.generations()),
            ("reasons", reasons.join("\n")),
            ("problems", safe_all(&self.problems).join("\n")),
            ("hooks", safe_all(&self.hooks).join(", ")),
            ("hooks gone", safe_all(&self.hooks_gone).join(", ")),
            (
                "last seen",
                self.last_seen_time
                    .map(|seen| moment.full(seen))
                    .unwrap_or_default(),
            ),
            ("agent", safe(&self.agent_version)),
            ("kernel", safe(&self.kernel_release)),
            ("boot", safe(&self.boot_id)),
            ("events", self.events()),
        ]
    }
}
