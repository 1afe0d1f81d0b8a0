//! The event model: typed, redacted, numbered. Encoders read it; nothing here knows a wire format.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::change::{
    AccessTokenChanged, AgentState, AuthorityChanged, EnforcementEvent, FlagChanged, GrantChanged,
    HoldChanged, JoinTokenChanged, LockChanged, Lost, MembershipChanged, PolicyChanged,
    SessionChanged, Tamper,
};
use crate::{
    action::{Object, Operation, ProcessInfo},
    id::{EventSeq, Generation, GrantId, HoldId, HostId, PolicyName, Revision, RuleId, UserName},
    key::PermissionRef,
    reason::{Reason, Verdict},
    sensitivity::Sensitivity,
    subject::Subject,
    time::UnixMs,
};

/// One event. Host, epoch and sequence identify it for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Where
    pub host: HostId,
    /// Boot of that host
    pub boot_id: Uuid,
    /// Made when the spool was made, so that a wiped spool shows
    pub epoch: Uuid,
    /// Number in the epoch, without gaps
    pub seq: EventSeq,
    /// When it happened
    pub time: UnixMs,
    /// What
    pub kind: EventKind,
}

impl Event {
    /// Stable identifier: the same event has it after every retry.
    pub fn uid(&self) -> String {
        format!("{}-{}-{}", self.host, self.epoch.simple(), self.seq)
    }
}

/// What an event tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// A recorded decision of the kernel
    Decision(Box<DecisionEvent>),
    /// A hold moved on
    HoldChanged(HoldChanged),
    /// A grant was created, ended or revoked
    GrantChanged(GrantChanged),
    /// A policy revision was applied
    PolicyChanged(PolicyChanged),
    /// A flag was set or taken away
    FlagChanged(FlagChanged),
    /// A lock was made, taken away or is over
    LockChanged(LockChanged),
    /// A host joined, came back, or lost its certificates
    MembershipChanged(MembershipChanged),
    /// A token with which hosts join was made, taken away or refused
    JoinTokenChanged(JoinTokenChanged),
    /// An authority that signs certificates was made, or is believed no more
    AuthorityChanged(AuthorityChanged),
    /// An operator signed in over the network, or a session was ended or refused
    SessionChanged(SessionChanged),
    /// A token for programs was made, taken away or refused
    AccessTokenChanged(AccessTokenChanged),
    /// Recorded decisions that left no event, counted
    Lost(Lost),
    /// The agent started
    AgentStarted(AgentState),
    /// The agent stopped; enforcement goes on without it
    AgentStopped(AgentState),
    /// A generation reached a phase on the host
    Enforcement(EnforcementEvent),
    /// Somebody worked on the guardrail itself
    Tamper(Tamper),
}

/// A rule within an immutable policy revision.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RuleRef {
    /// The policy
    pub policy: PolicyName,
    /// Its version
    pub revision: Revision,
    /// The rule
    pub rule: RuleId,
}

impl fmt::Display for RuleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.policy, self.rule)
    }
}

/// A recorded decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionEvent {
    /// What became of the action
    pub verdict: Verdict,
    /// Why
    pub reason: Reason,
    /// What was attempted
    pub operation: Operation,
    /// On what
    pub object: Object,
    /// Whether the object's path did not fit into the record
    pub object_cut: bool,
    /// Who
    pub subject: Subject,
    /// By which process; arguments redacted
    pub process: ProcessInfo,
    /// Arguments that redaction changed
    pub args_redacted: u32,
    /// Generation that decided
    pub generation: Generation,
    /// Rule that decided; none where no rule did
    pub rule: Option<RuleRef>,
    /// The policy's message
    pub message: Option<String>,
    /// What the rule says of how much depends on it; events from before there was such a word have none
    #[serde(default)]
    pub sensitivity: Option<Sensitivity>,
    /// Permission that would cover it, or that did
    pub permission: Option<PermissionRef>,
    /// Grant that covered it
    pub grant: Option<GrantId>,
    /// Hold that was opened or answered
    pub hold: Option<HoldRef>,
    /// Monitor mode: nothing was restricted
    pub monitor: bool,
}

impl DecisionEvent {
    /// What the rule that decided says of how much depends on it; nothing where no rule decided, whatever somebody wrote.
    pub fn rule_sensitivity(&self) -> Option<Sensitivity> {
        self.rule.as_ref().and(self.sensitivity)
    }
}

/// A hold as far as one decision is concerned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldRef {
    /// The hold
    pub id: HoldId,
    /// When it times out
    pub deadline: UnixMs,
    /// Who answered
    pub answered_by: Option<UserName>,
    /// With what reason
    pub answer_reason: Option<String>,
}
