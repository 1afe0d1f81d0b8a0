//! Holds: the life of one paused action.
//!
//! A state machine that consumes its state. The kernel's word is the truth: a host's fact (consumed, timed out)
//! can overtake an answer that did not arrive in time.

mod fact;
mod step;
#[cfg(test)]
mod tests;

pub use fact::{Effect, Fact, Illegal, Step};

use serde::{Deserialize, Serialize};

use crate::{
    action::{Object, Operation, ProcessInfo},
    approval::Progress,
    event::RuleRef,
    id::{HoldId, HostId, UserName},
    key::PermissionRef,
    sensitivity::Sensitivity,
    subject::Subject,
    time::UnixMs,
};

/// One paused action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Its id
    pub id: HoldId,
    /// Where
    pub host: HostId,
    /// Who is held
    pub subject: Subject,
    /// Which process
    pub process: ProcessInfo,
    /// What it attempts
    pub operation: Operation,
    /// On what
    pub object: Object,
    /// The rule that holds it
    pub rule: RuleRef,
    /// The policy's message
    pub message: Option<String>,
    /// What the rule says of how much depends on it; holds from before there was such a word have none
    #[serde(default)]
    pub sensitivity: Option<Sensitivity>,
    /// Permission that would cover it
    pub permission: Option<PermissionRef>,
    /// Who may approve it, and how far that is
    pub approval: Approval,
    /// When it was opened
    pub create_time: UnixMs,
    /// When it times out
    pub expire_time: UnixMs,
    /// Where it is in its life
    pub state: HoldState,
}

/// Who may approve a hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Approval {
    /// Every operator; also what hosts say, which know of no plans
    #[default]
    Operators,
    /// Those whom the policy named when the hold was opened
    Plan(Progress),
    /// Nobody: the rule that holds it is not known, and so is not who may
    Unknown,
}

/// Somebody's decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// Who
    pub by: UserName,
    /// Why
    pub reason: String,
    /// When
    pub at: UnixMs,
}

/// Why a hold was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cancel {
    /// The process is gone
    ProcessGone,
    /// A fatal signal waits for it
    FatalSignal,
}

/// Where a hold is in its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldState {
    /// The process is stopped and waits
    Pending,
    /// Somebody approved
    Approved {
        /// Who, why, when
        decided: Decided,
        /// When the very same call went on; none until the host says so
        released: Option<UnixMs>,
    },
    /// Somebody refused
    Refused {
        /// Who, why, when
        decided: Decided,
    },
    /// A stage of its approval was not complete in its time: nobody's refusal
    Lapsed {
        /// Which stage, and who was missing
        why: String,
        /// When that was found out
        at: UnixMs,
    },
    /// Nobody answered in time, or the answer came too late for the kernel
    TimedOut {
        /// When
        at: UnixMs,
    },
    /// The process is gone or about to go
    Cancelled {
        /// Which of the two
        cause: Cancel,
        /// When
        at: UnixMs,
    },
    /// The call never restarted; a late restart finds no approval
    Void {
        /// When that was found out
        at: UnixMs,
    },
}

/// The word for a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldPhase {
    /// See [`HoldState::Pending`]
    Pending,
    /// See [`HoldState::Approved`]
    Approved,
    /// See [`HoldState::Refused`]
    Refused,
    /// See [`HoldState::Lapsed`]
    Lapsed,
    /// See [`HoldState::TimedOut`]
    TimedOut,
    /// See [`HoldState::Cancelled`]
    Cancelled,
    /// See [`HoldState::Void`]
    Void,
}

impl HoldPhase {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Approved,
        Self::Refused,
        Self::Lapsed,
        Self::TimedOut,
        Self::Cancelled,
        Self::Void,
    ];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Refused => "refused",
            Self::Lapsed => "lapsed",
            Self::TimedOut => "timed-out",
            Self::Cancelled => "cancelled",
            Self::Void => "void",
        }
    }
}

impl std::fmt::Display for HoldPhase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl HoldState {
    /// The word.
    pub fn phase(&self) -> HoldPhase {
        match self {
            Self::Pending => HoldPhase::Pending,
            Self::Approved { .. } => HoldPhase::Approved,
            Self::Refused { .. } => HoldPhase::Refused,
            Self::Lapsed { .. } => HoldPhase::Lapsed,
            Self::TimedOut { .. } => HoldPhase::TimedOut,
            Self::Cancelled { .. } => HoldPhase::Cancelled,
            Self::Void { .. } => HoldPhase::Void,
        }
    }

    /// Why it is as it is, where somebody or a stage's time said so.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Lapsed { why, .. } => Some(why),
            _ => self.decided().map(|decided| decided.reason.as_str()),
        }
    }

    /// Whoever decided, if somebody did.
    pub fn decided(&self) -> Option<&Decided> {
        match self {
            Self::Approved { decided, .. } | Self::Refused { decided } => Some(decided),
            _ => None,
        }
    }

    /// Whether the approved call went on.
    pub fn is_released(&self) -> bool {
        matches!(
            self,
            Self::Approved {
                released: Some(_),
                ..
            }
        )
    }

    /// Whether nothing can happen to it any more.
    pub fn is_over(&self) -> bool {
        !matches!(self, Self::Pending | Self::Approved { released: None, .. })
    }
}
