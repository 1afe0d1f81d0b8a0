//! A roll-out, and how far a policy is.

use serde::Serialize;
use stayhand_guardrail::{text::safe, time::DurationMs};
use stayhand_proto::{
    convert::duration,
    v1::{self, policy_rollout::State},
};

use super::parts::{self, Time};
use crate::{render::View, time::Moment};

/// How a revision comes to every host.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Plan {
    #[serde(skip_serializing_if = "Option::is_none")]
    monitor_for: Option<String>,
    canary: Vec<String>,
    canary_for: String,
    /// More than so many times as often restricted as before stops it
    stop_at: u32,
}

impl Plan {
    pub(crate) fn of(wire: v1::RolloutPlan) -> Self {
        Self {
            monitor_for: wire.monitor_for.map(|span| length(Some(span))),
            canary: wire.canary,
            canary_for: length(wire.canary_for),
            stop_at: wire.stop_at,
        }
    }

    /// `monitored for 1h, then on env=canary for 2h, stopped at 3x`.
    pub(crate) fn shown(&self) -> String {
        let first = match &self.monitor_for {
            Some(length) => format!("monitored for {length}, then on"),
            None => "first on".to_owned(),
        };
        format!(
            "{first} {} for {}, stopped at {}x",
            safe(&self.canary.join(",")),
            self.canary_for,
            self.stop_at
        )
    }
}

fn length(wire: Option<prost_types::Duration>) -> String {
    let read: DurationMs = duration("", wire).unwrap_or_default();
    read.to_string()
}

/// One revision on its way to every host.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Rollout {
    policy: String,
    pub(crate) revision: u64,
    /// What hosts have that do not have it yet; 0 for none
    pub(crate) before_revision: u64,
    /// `monitor`, `canary`, `stopped` or `done`
    pub(crate) state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<Plan>,
    begun_by: String,
    create_time: Option<Time>,
    phase_time: Option<Time>,
    /// When the first host of the phase had it in its kernel
    #[serde(skip_serializing_if = "Option::is_none")]
    watched_time: Option<Time>,
    /// Left out where it stopped by itself
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<Time>,
    /// The revision that was applied after it had been stopped
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced_by: Option<u64>,
}

impl Rollout {
    pub(crate) fn of(wire: v1::PolicyRollout) -> Self {
        let state = match wire.state() {
            State::Monitor => "monitor",
            State::Canary => "canary",
            State::Stopped => "stopped",
            State::Done => "done",
            State::Unspecified => "unknown",
        };
        Self {
            policy: parts::bare(&wire.policy, "policies/"),
            revision: wire.revision,
            before_revision: wire.before_revision,
            state,
            plan: wire.plan.map(Plan::of),
            begun_by: wire.begun_by,
            create_time: parts::time(wire.create_time),
            phase_time: parts::time(wire.phase_time),
            watched_time: parts::time(wire.watched_time),
            stopped_by: parts::text(wire.stopped_by),
            stop_reason: parts::text(wire.stop_reason),
            end_time: parts::time(wire.end_time),
            replaced_by: Some(wire.replaced_by).filter(|revision| *revision != 0),
        }
    }

    /// Whether hosts have it only in part.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.state, "monitor" | "canary")
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.state == "stopped"
    }

    /// `canary (first on env=canary for 2h, stopped at 3x); the other hosts have revision 3`.
    pub(crate) fn shown(&self) -> String {
        let before = match self.before_revision {
            0 => "no revision".to_owned(),
            before => format!("revision {before}"),
        };
        let plan = self.plan.as_ref().map(Plan::shown).unwrap_or_default();
        match self.state {
            "monitor" => format!("monitor ({plan}); hosts enforce {before} and watch this one"),
            "canary" => format!("canary ({plan}); the other hosts have {before}"),
            "stopped" => {
                let by = self.stopped_by.as_ref();
                let by = by.map_or_else(|| "by itself".to_owned(), |by| format!("by {}", safe(by)));
                let reason = safe(self.stop_reason.as_deref().unwrap_or_default());
                format!("stopped {by}: {reason}; hosts have {before}")
            }
            _ => format!("{} ({plan})", self.state),
        }
    }
}

impl View for Rollout {
    const KIND: &'static str = "PolicyRollout";
    const HEADS: &'static [&'static str] = &["POLICY", "REVISION", "ROLL-OUT"];

    fn id(&self) -> String {
        self.policy.clone()
    }

    fn row(&self, _: &Moment) -> Vec<String> {
        vec![
            parts::cell(&self.policy),
            self.revision.to_string(),
            self.state.into(),
        ]
    }

    fn details(&self, moment: &Moment) -> Vec<(&'static str, String)> {
        let stamp = |time: Option<Time>| time.map(|time| moment.full(time)).unwrap_or_default();
        vec![
            ("policy", safe(&self.policy)),
            ("revision", self.revision.to_string()),
            ("roll-out", self.shown()),
            ("begun by", safe(&self.begun_by)),
            ("begun", stamp(self.create_time)),
            ("ended", stamp(self.end_time)),
        ]
    }
}

/// How far a policy is.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PolicyStatus {
    pub(crate) policy: String,
    revision: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rollout: Option<Rollout>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase_end_time: Option<Time>,
    counted: u64,
    limit: u64,
    hosts: u32,
    enforced: u32,
    behind: Vec<Behind>,
    /// Hosts behind that are not named
    more: u32,
    /// The policy was removed; `enforced` are the hosts that have let go of it
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    removed: bool,
}

/// A host that does not enforce the newest revision.
#[derive(Clone, Debug, Serialize)]
struct Behind {
    host: String,
    /// The revision that it is to have, 0 for none
    revision: u64,
    reason: String,
    /// Whether that is as it should be
    expected: bool,
}

impl PolicyStatus {
    pub(crate) fn of(wire: v1::PolicyStatus) -> Self {
        let behind = wire.behind.into_iter().map(|one| Behind {
            host: one.host,
            revision: one.revision,
            reason: one.reason,
            expected: one.expected,
        });
        Self {
            policy: parts::bare(&wire.policy, "policies/"),
            revision: wire.revision,
            rollout: wire.rollout.map(Rollout::of),
            waits_for: parts::text(wire.waits_for),
            phase_end_time: parts::time(wire.phase_end_time),
            counted: wire.counted,
            limit: wire.limit,
            hosts: wire.hosts,
            enforced: wire.enforced,
            behind: behind.collect(),
            more: wire.more,
            removed: wire.removed,
        }
    }

    /// Whether somebody should look: a roll-out was stopped, or a host is not as it should be.
    pub(crate) fn is_amiss(&self) -> bool {
        self.rollout.as_ref().is_some_and(Rollout::is_stopped)
            || self.behind.iter().any(|host| !host.expected)
    }

    /// A line for the policy, one for its roll-out, one for each host that is behind.
    pub(crate) fn shown(&self, moment: &Moment) -> String {
        let (enforced, hosts) = (self.enforced, self.hosts);
        let s = if hosts == 1 { "" } else { "s" };
        let policy = format!("policy {} revision {}", safe(&self.policy), self.revision);
        let mut lines = vec![if self.removed {
            format!("{policy}: removed, {enforced} of {hosts} host{s} let go of it")
        } else {
            format!("{policy}: enforced on {enforced} of {hosts} host{s}")
        }];
        if let Some(rollout) = &self.rollout {
            lines.push(format!("  roll-out: {}", rollout.shown()));
            if rollout.is_running() {
                lines.push(format!("  {}", self.phase(moment)));
            }
        }
        for host in &self.behind {
            lines.push(format!("  {}: {}", safe(&host.host), safe(&host.reason)));
        }
        if self.more > 0 {
            lines.push(format!("  and {} more hosts", self.more));
        }
        lines.join("\n") + "\n"
    }

    fn phase(&self, moment: &Moment) -> String {
        let end = match (&self.waits_for, self.phase_end_time) {
            (Some(why), _) => format!("waits: {}", safe(why)),
            (None, Some(end)) => format!("goes on at {}", moment.full(end)),
            (None, None) => "goes on now".to_owned(),
        };
        format!(
            "{end}; restricted {} times, stops above {}",
            self.counted, self.limit
        )
    }
}
