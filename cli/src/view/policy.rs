//! A policy revision, what became of applying one, and the findings in a source.

use serde::Serialize;
use stayhand_guardrail::text::safe;
use stayhand_proto::v1;

use super::{
    parts::{self, HostEnforcement, Time},
    proposal::Proposal,
    rollout::Rollout,
};
use crate::{render::View, time::Moment};

/// One revision of one policy.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Policy {
    pub(crate) name: String,
    pub(crate) revision: u64,
    pub(crate) applied_by: String,
    pub(crate) create_time: Option<Time>,
    /// Hosts that are to have it now
    pub(crate) enforcement: Vec<HostEnforcement>,
    /// How it came to the hosts; left out where all got it at once
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rollout: Option<Rollout>,
    /// It says nothing: the policy was removed
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) removed: bool,
    pub(crate) source: String,
}

/// What became of applying a source.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Applied {
    /// False where the newest revision already had this source, or where nothing was to be changed.
    pub(crate) changed: bool,
    pub(crate) dry_run: bool,
    pub(crate) warnings: Vec<Finding>,
    pub(crate) policy: Policy,
    /// What waits for approval, instead of a changed policy
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) proposal: Option<Proposal>,
}

/// One finding in a policy source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) severity: &'static str,
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) suggestion: Option<String>,
}

impl Policy {
    pub(crate) fn of(wire: v1::Policy) -> Self {
        Self {
            name: parts::bare(&wire.name, "policies/"),
            revision: wire.revision,
            applied_by: wire.applied_by,
            create_time: parts::time(wire.create_time),
            enforcement: wire
                .enforcement
                .into_iter()
                .map(HostEnforcement::of)
                .collect(),
            rollout: wire.rollout.map(Rollout::of),
            removed: wire.removed,
            source: wire.source,
        }
    }

    /// The revision that hosts have where a roll-out does not say otherwise; 0 for none.
    pub(crate) fn standing(&self) -> u64 {
        let unfinished = self.rollout.as_ref();
        let unfinished = unfinished.filter(|one| one.is_running() || one.is_stopped());
        unfinished.map_or(self.revision, |one| one.before_revision)
    }

    /// How its roll-out was stopped, if it was.
    pub(crate) fn stopped(&self) -> Option<String> {
        let stopped = self.rollout.as_ref().filter(|one| one.is_stopped());
        stopped.map(Rollout::shown)
    }

    /// Whether not every host is to have it yet.
    pub(crate) fn is_rolled_out(&self) -> bool {
        self.rollout.as_ref().is_some_and(Rollout::is_running)
    }

    /// `2/3`, and of a revision that not every host is to have yet, that.
    fn enforced(&self) -> String {
        let on = parts::enforced_on(&self.enforcement);
        match &self.rollout {
            Some(one) if one.is_running() || one.is_stopped() => format!("{on} {}", one.state),
            _ => on,
        }
    }

    /// `prod-baseline revision 3`.
    pub(crate) fn shown(&self) -> String {
        format!("{} revision {}", safe(&self.name), self.revision)
    }
}

impl Applied {
    pub(crate) fn of(wire: v1::ApplyPolicyResponse, dry_run: bool) -> Self {
        Self {
            changed: wire.changed,
            dry_run,
            warnings: wire
                .warnings
                .into_iter()
                .map(|found| Finding::of(found, "warning"))
                .collect(),
            policy: Policy::of(wire.policy.unwrap_or_default()),
            proposal: wire.proposal.map(Proposal::of),
        }
    }
}

impl Finding {
    fn of(wire: v1::Diagnostic, severity: &'static str) -> Self {
        Self {
            severity,
            line: wire.line,
            column: wire.column,
            message: wire.message,
            suggestion: parts::text(wire.suggestion),
        }
    }
}

impl View for Policy {
    const KIND: &'static str = "Policy";
    const HEADS: &'static [&'static str] = &["NAME", "REVISION", "APPLIED", "BY", "ENFORCED"];

    fn id(&self) -> String {
        self.name.clone()
    }

    fn row(&self, moment: &Moment) -> Vec<String> {
        vec![
            parts::cell(&self.name),
            self.revision.to_string(),
            self.create_time
                .map(|time| moment.short(time))
                .unwrap_or_default(),
            parts::cell(&self.applied_by),
            self.enforced(),
        ]
    }

    fn details(&self, moment: &Moment) -> Vec<(&'static str, String)> {
        vec![
            ("policy", safe(&self.name)),
            ("revision", self.revision.to_string()),
            ("applied by", safe(&self.applied_by)),
            (
                "applied",
                self.create_time
                    .map(|time| moment.full(time))
                    .unwrap_or_default(),
            ),
            (
                "roll-out",
                self.rollout
                    .as_ref()
                    .map(Rollout::shown)
                    .unwrap_or_default(),
            ),
            (
                "removed",
                if self.removed {
                    "yes: it counts on no host that has this revision".to_owned()
                } else {
                    String::new()
                },
            ),
            ("hosts", parts::host_lines(&self.enforcement)),
        ]
    }
}

impl View for Applied {
    const KIND: &'static str = "AppliedPolicy";
    const HEADS: &'static [&'static str] = Policy::HEADS;

    fn id(&self) -> String {
        self.policy.id()
    }

    fn row(&self, moment: &Moment) -> Vec<String> {
        self.policy.row(moment)
    }

    fn details(&self, moment: &Moment) -> Vec<(&'static str, String)> {
        self.policy.details(moment)
    }
}
