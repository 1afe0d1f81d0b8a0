//! The event model: typed, redacted, numbered. Encoders read it; nothing here knows a wire format.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    action::{Object, Operation, ProcessInfo},
    grant::GrantChange,
    hold::HoldPhase,
    host::Phase,
    id::{EventSeq, Generation, GrantId, HoldId, HostId, PolicyName, Revision, RuleId, UserName},
    key::PermissionRef,
    reason::{Reason, Verdict},
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
    /// Permission that would cover it, or that did
    pub permission: Option<PermissionRef>,
    /// Grant that covered it
    pub grant: Option<GrantId>,
    /// Hold that was opened or answered
    pub hold: Option<HoldRef>,
    /// Monitor mode: nothing was restricted
    pub monitor: bool,
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

/// A hold moved on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldChanged {
    /// The hold
    pub hold: HoldId,
    /// From where
    pub from: HoldPhase,
    /// To where
    pub to: HoldPhase,
    /// Whether the approved call went on
    pub released: bool,
    /// Who decided; none where nobody did
    pub by: Option<UserName>,
    /// Why
    pub reason: Option<String>,
}

/// A grant changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantChanged {
    /// The grant
    pub grant: GrantId,
    /// What happened to it
    pub change: GrantChange,
    /// Whose it is
    pub user: UserName,
    /// What it permits
    pub permissions: Vec<PermissionRef>,
    /// Who did it; none where time did
    pub by: Option<UserName>,
    /// Why
    pub reason: Option<String>,
    /// When it ends or would have ended
    pub expire_time: UnixMs,
}

/// A policy revision was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyChanged {
    /// The policy
    pub policy: PolicyName,
    /// The new version
    pub revision: Revision,
    /// By whom
    pub by: UserName,
}

/// Event class, which is also the ring that carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EventClass {
    /// Holds, their outcomes, tamper, grant-covered allows
    A,
    /// Denials
    B,
    /// Alerts and would-have
    C,
}

impl EventClass {
    /// The letter.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
        }
    }

    /// Reads the kernel's number.
    pub fn from_code(raw: u16) -> Option<Self> {
        [Self::A, Self::B, Self::C].get(usize::from(raw)).copied()
    }
}

/// Where events got lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LossStage {
    /// The ring was full
    Ring,
    /// The kernel or the machine went down
    Crash,
    /// The spool could not take it
    Spool,
    /// The record could not be read
    Decode,
}

impl LossStage {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ring, Self::Crash, Self::Spool, Self::Decode];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Crash => "crash",
            Self::Spool => "spool",
            Self::Decode => "decode",
        }
    }
}

/// A word that is no class or stage of a loss.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a class or stage of a loss")]
pub struct NotALoss(String);

impl FromStr for EventClass {
    type Err = NotALoss;
    fn from_str(text: &str) -> Result<Self, NotALoss> {
        let found = [Self::A, Self::B, Self::C]
            .into_iter()
            .find(|class| class.as_str() == text);
        found.ok_or_else(|| NotALoss(crate::text::safe(text)))
    }
}

impl FromStr for LossStage {
    type Err = NotALoss;
    fn from_str(text: &str) -> Result<Self, NotALoss> {
        let found = Self::ALL.into_iter().find(|stage| stage.as_str() == text);
        found.ok_or_else(|| NotALoss(crate::text::safe(text)))
    }
}

/// Recorded decisions that left no event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// Of which class
    pub class: EventClass,
    /// How many; 0 = not known, the only uncounted loss is a crash
    pub count: u64,
    /// Where
    pub stage: LossStage,
    /// Since when
    pub since: UnixMs,
}

/// The agent at its start or stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentState {
    /// Its version
    pub version: String,
    /// Whether the kernel enforces
    pub enforced: bool,
    /// Hooks, problems, anything to add
    pub detail: String,
}

/// A generation reached a phase on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnforcementEvent {
    /// The generation
    pub generation: Generation,
    /// How far it is
    pub phase: Phase,
}

/// Somebody worked on the guardrail itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tamper {
    /// What was seen
    pub what: String,
    /// Who, where known
    pub subject: Option<Subject>,
    /// By which process, where known
    pub process: Option<ProcessInfo>,
}
