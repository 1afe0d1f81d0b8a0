//! A host: whether its kernel enforces, what, and since when nobody has heard of it.

use serde::Serialize;
use stayhand_guardrail::{resource::StateDigest, text::safe};
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
    /// What it has of what it was sent; none where it never connected
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) delivery: Option<Delivery>,
    /// How it came to be one of ours; none for the host of the control plane's own socket
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) membership: Option<Membership>,
}

/// What a host has of what it was sent.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Delivery {
    pub(crate) enforced_generation: u64,
    /// SHA-256 over the resources that it enforces, as it says
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) enforced_digest: String,
    pub(crate) protocol: u32,
    /// How often what was sent did not fit, so that everything was sent again
    pub(crate) relists: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) relist_time: Option<Time>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) relist_reason: String,
}

impl Delivery {
    fn of(wire: v1::HostDelivery) -> Self {
        let digest = StateDigest::from_slice(&wire.enforced_digest);
        Self {
            enforced_generation: wire.enforced_generation,
            enforced_digest: digest.map(|one| one.to_string()).unwrap_or_default(),
            protocol: wire.protocol,
            relists: wire.relists,
            relist_time: parts::time(wire.relist_time),
            relist_reason: wire.relist_reason,
        }
    }

    fn said(&self, moment: &Moment) -> String {
        let digest = match self.enforced_digest.get(..12) {
            Some(digest) => format!(", enforces {digest}"),
            None => String::new(),
        };
        let relists = match (self.relists, self.relist_time) {
            (0, _) | (_, None) => String::new(),
            (times, Some(at)) => format!(
                "\nsent again as a whole {times} times, last {}: {}",
                moment.full(at),
                safe(&self.relist_reason)
            ),
        };
        format!("protocol {}{digest}{relists}", self.protocol)
    }
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
            delivery: wire.delivery.map(Delivery::of),
        }
    }

    /// `enforced on 1 of 2 hosts` of those that are to enforce something, and below it each that is not known to, with why. One
    /// that was put out hears of nothing any more, and does not count.
    pub(crate) fn counted(hosts: &[Self], moment: &Moment) -> String {
        let ours: Vec<&Self> = hosts.iter().filter(|host| !host.is_revoked()).collect();
        let is_behind = |host: &&&Self| !(host.online && host.is_current());
        let behind: Vec<&&Self> = ours.iter().filter(is_behind).collect();
        let why_not = behind.iter().map(|host| host.why_not(moment));
        parts::counted(ours.len(), why_not, "enforced on")
    }

    fn is_revoked(&self) -> bool {
        self.membership.as_ref().is_some_and(Membership::is_revoked)
    }

    /// Whether its kernel has the newest that it should, as it said last.
    fn is_current(&self) -> bool {
        let desired = self.desired_generation;
        let newest = |at: &HostEnforcement| at.enforced() && at.generation >= desired;
        self.enforced && self.enforcement.as_ref().is_some_and(newest)
    }

    /// `db2: 2 generations behind; not answered yet`: why it is not known to enforce what it should.
    fn why_not(&self, moment: &Moment) -> String {
        let nothing = || HostEnforcement::of(v1::HostEnforcement::default());
        let at = HostEnforcement {
            online: self.online,
            last_seen_time: self.last_seen_time,
            ..self.enforcement.clone().unwrap_or_else(nothing)
        };
        let mut why: Vec<String> = self.why_no_hooks().into_iter().collect();
        why.extend(self.behind());
        why.extend(at.missing(moment));
        format!("{}: {}", safe(&self.id), why.join("; "))
    }

    fn why_no_hooks(&self) -> Option<String> {
        // One that was never heard has said nothing of hooks.
        if self.enforced || (!self.online && self.last_seen_time.is_none()) {
            return None;
        }
        Some(match self.hooks_gone.as_slice() {
            [] => "no hook is attached".into(),
            gone => format!("hooks are gone: {}", parts::cell(&gone.join(", "))),
        })
    }

    /// How far what it enforces is from what it should; nothing where it enforces nothing.
    fn behind(&self) -> Option<String> {
        let has = match (&self.enforcement, &self.delivery) {
            (Some(at), _) if at.enforced() => at.generation,
            (_, Some(has)) => has.enforced_generation,
            (_, None) => 0,
        };
        if has == 0 {
            return None;
        }
        match self.desired_generation.saturating_sub(has) {
            0 => None,
            1 => Some("1 generation behind".into()),
            many => Some(format!("{many} generations behind")),
        }
    }

    /// What is known of a host that nobody hears is only what it said last: it may enforce, and it may not.
    fn state(&self) -> String {
        let revoked = self.is_revoked();
        if self.last_seen_time.is_none() && !self.online {
            return if revoked {
                "REVOKED"
            } else {
                "never connected"
            }
            .into();
        }
        let last = self.last_state();
        if revoked {
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
            _ if self.is_current() => "enforced".into(),
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

    /// `7/7`, or `5/7 received`: what it enforces of what it should, and how far it is with that.
    fn generations(&self) -> String {
        let desired = self.desired_generation;
        let has = self.delivery.as_ref().map(|has| has.enforced_generation);
        match (&self.enforcement, has) {
            (Some(at), None) => format!("{}/{desired} {}", at.generation, at.phase),
            (None, None) => format!("0/{desired}"),
            (Some(at), Some(has)) if has < desired => {
                let how = match at.phase {
                    "desired" => "not answered",
                    other => other,
                };
                format!("{has}/{desired} {how}")
            }
            (_, Some(has)) => format!("{has}/{desired}"),
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
            (
                "delivery",
                self.delivery
                    .as_ref()
                    .map(|delivery| delivery.said(moment))
                    .unwrap_or_default(),
            ),
            (
                "leases",
                self.enforcement
                    .as_ref()
                    .and_then(|at| at.void_time)
                    .map(|end| {
                        format!(
                            "end by {} unless it is shown to have the newest state",
                            moment.full(end)
                        )
                    })
                    .unwrap_or_default(),
            ),
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
