//! A proposed change of a policy.

use serde::Serialize;
use stayhand_guardrail::text::safe;
use stayhand_proto::v1::{self, policy_proposal::State};

use super::{
    approval::Approval,
    parts::{self, Time},
    rollout::Plan,
};
use crate::{render::View, time::Moment};

/// One proposal.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Proposal {
    id: String,
    pub(crate) policy: String,
    /// The revision that it replaces; 0 for a new policy
    pub(crate) base_revision: u64,
    pub(crate) state: &'static str,
    proposed_by: String,
    /// How it comes to the hosts; left out where all get it at once
    #[serde(skip_serializing_if = "Option::is_none")]
    rollout: Option<Plan>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<Approval>,
    create_time: Option<Time>,
    expire_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refuse_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<Time>,
    /// The revision that it became
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) revision: Option<u64>,
    /// The policy is to be removed
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) removes: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) source: String,
}

impl Proposal {
    pub(crate) fn of(wire: v1::PolicyProposal) -> Self {
        let state = match wire.state() {
            State::Pending => "pending",
            State::Applied => "applied",
            State::Refused => "refused",
            State::Outdated => "outdated",
            State::Expired => "expired",
            State::Unspecified => "unknown",
        };
        Self {
            id: parts::bare(&wire.name, "proposals/"),
            policy: parts::bare(&wire.policy, "policies/"),
            base_revision: wire.base_revision,
            state,
            proposed_by: wire.proposed_by,
            rollout: wire.rollout.map(Plan::of),
            approval: wire.approval.map(Approval::of),
            create_time: parts::time(wire.create_time),
            expire_time: parts::time(wire.expire_time),
            refused_by: parts::text(wire.refused_by),
            refuse_reason: parts::text(wire.refuse_reason),
            end_time: parts::time(wire.end_time),
            revision: Some(wire.revision).filter(|revision| *revision != 0),
            removes: wire.removes,
            reason: parts::text(wire.reason),
            source: wire.source,
        }
    }

    /// Its number, safe to show.
    pub(crate) fn number(&self) -> String {
        safe(&self.id)
    }

    /// Whether it waits for more.
    pub(crate) fn is_pending(&self) -> bool {
        self.state == "pending"
    }

    /// Who does what next.
    pub(crate) fn next(&self) -> String {
        let waiting = self.waiting();
        let number = self.number();
        format!(
            "nothing has changed yet: it waits for {waiting}\n  they see it with: stayhand policy proposals {number}\n  and approve with: stayhand policy approve {number} --reason '…'"
        )
    }

    pub(crate) fn waiting(&self) -> String {
        self.approval
            .as_ref()
            .map(Approval::waiting)
            .unwrap_or_default()
    }

    fn refused(&self) -> String {
        let (Some(by), Some(reason)) = (&self.refused_by, &self.refuse_reason) else {
            return String::new();
        };
        format!("{}: {}", safe(by), safe(reason))
    }

    fn replaces(&self) -> String {
        match self.base_revision {
            0 => "nothing: the policy is new".to_owned(),
            base if self.removes => format!("revision {base}: removes the policy"),
            base => format!("revision {base}"),
        }
    }
}

impl View for Proposal {
    const KIND: &'static str = "PolicyProposal";
    const HEADS: &'static [&'static str] = &[
        "ID",
        "POLICY",
        "REPLACES",
        "STATE",
        "BY",
        "SINCE",
        "WAITS FOR",
    ];

    fn id(&self) -> String {
        self.id.clone()
    }

    fn row(&self, moment: &Moment) -> Vec<String> {
        let since = self.create_time.map(|time| moment.short(time));
        let waits = self.is_pending().then(|| self.waiting());
        vec![
            parts::cell(&self.id),
            parts::cell(&self.policy),
            self.base_revision.to_string(),
            self.state.into(),
            parts::cell(&self.proposed_by),
            since.unwrap_or_default(),
            parts::cut(&waits.unwrap_or_default()),
        ]
    }

    fn details(&self, moment: &Moment) -> Vec<(&'static str, String)> {
        let stamp = |time: Option<Time>| time.map(|time| moment.full(time)).unwrap_or_default();
        let approval = self.approval.as_ref().map(Approval::shown);
        let became = self.revision.map(|revision| format!("revision {revision}"));
        vec![
            ("proposal", self.number()),
            ("policy", safe(&self.policy)),
            ("replaces", self.replaces()),
            (
                "reason",
                self.reason.as_deref().map(safe).unwrap_or_default(),
            ),
            (
                "roll-out",
                self.rollout.as_ref().map(Plan::shown).unwrap_or_default(),
            ),
            ("state", self.state.into()),
            ("proposed by", safe(&self.proposed_by)),
            ("approval", approval.unwrap_or_default()),
            ("since", stamp(self.create_time)),
            (
                "until",
                if self.is_pending() {
                    stamp(self.expire_time)
                } else {
                    String::new()
                },
            ),
            ("refused by", self.refused()),
            ("became", became.unwrap_or_default()),
            ("ended", stamp(self.end_time)),
        ]
    }
}
