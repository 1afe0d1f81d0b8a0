//! What can happen to a hold, what follows from it, and why it cannot.

use super::{Hold, HoldPhase};
use crate::{
    approval::{NotCounted, Reviewer},
    event::HoldChanged,
    host::HoldAnswer,
    id::{HoldId, UserName},
    limits::REASON_BYTES_MAX,
    time::UnixMs,
};

/// What can happen to a hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Somebody approves
    Approve {
        /// Who, with what approvals are about
        by: Reviewer,
        /// Why
        reason: String,
    },
    /// Somebody refuses
    Refuse {
        /// Who
        by: UserName,
        /// Why
        reason: String,
    },
    /// A stage of its approval has had its time, by the plan and the caller's clock
    StageOver,
    /// A host is told that: it knows of no plan
    Lapsed {
        /// Which stage, and who was missing
        why: String,
    },
    /// The deadline passed: by the caller's clock for a hold that is still pending, or by the kernel's word, for
    /// which the caller passes at least `expire_time` because its own clock may lag
    Deadline,
    /// The process is gone
    ProcessGone,
    /// A fatal signal waits for the process
    FatalSignal,
    /// The approved call went on
    Consumed,
    /// The call never restarted
    NeverRestarted,
}

/// What the caller does after it persisted the hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Append this audit record
    Record(HoldChanged),
    /// Make the answer part of the host's desired state
    Answer(HoldAnswer),
    /// Take the answer out of the host's desired state
    DropAnswer(HoldId),
}

/// A hold after a step, and what is to be done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Step {
    /// The hold now
    pub hold: Hold,
    /// In this order
    pub effects: Vec<Effect>,
}

/// A fact that cannot happen in this state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Illegal {
    /// Somebody already decided.
    #[error("hold `{hold}` was already {phase} by {by} at {at}: {}", crate::text::safe(.reason))]
    AlreadyDecided {
        /// The hold
        hold: HoldId,
        /// Approved or refused
        phase: HoldPhase,
        /// By whom
        by: UserName,
        /// When
        at: UnixMs,
        /// With what reason
        reason: String,
    },
    /// It ended without anybody's decision.
    #[error("hold `{hold}` is over: it {} at {at}; the program has to be started again", over(*.phase))]
    Over {
        /// The hold
        hold: HoldId,
        /// Timed out, cancelled or void
        phase: HoldPhase,
        /// When
        at: UnixMs,
    },
    /// Its deadline passed, though no host has said so yet.
    #[error("hold `{hold}` timed out at {at}; the program has to be started again")]
    PastDeadline {
        /// The hold
        hold: HoldId,
        /// The deadline
        at: UnixMs,
    },
    /// A stage of its approval was not complete in its time.
    #[error("hold `{hold}` is over since {at}: {}; the program has to be started again", crate::text::safe(.why))]
    Lapsed {
        /// The hold
        hold: HoldId,
        /// Which stage
        why: String,
        /// When
        at: UnixMs,
    },
    /// No stage of its approval has had its time.
    #[error("no stage of the approval of hold `{hold}` has had its time")]
    NoStageOver {
        /// The hold
        hold: HoldId,
    },
    /// Its deadline has not come.
    #[error("hold `{hold}` times out at {at}, which has not come")]
    NotYet {
        /// The hold
        hold: HoldId,
        /// The deadline
        at: UnixMs,
    },
    /// A call cannot go on that nobody approved.
    #[error("hold `{hold}` is {phase}: nobody approved what its host says went on")]
    NotApproved {
        /// The hold
        hold: HoldId,
        /// Its state
        phase: HoldPhase,
    },
    /// It is not for this person to approve.
    #[error("hold `{hold}` is not approved by this: {why}")]
    NotCounted {
        /// The hold
        hold: HoldId,
        /// Why
        why: NotCounted,
    },
    /// The rule is not known.
    #[error(
        "hold `{hold}` cannot be approved: its rule is in no policy revision that is known here, so nobody can tell who may; \
         refuse it, apply the policy again and have the program started again"
    )]
    UnknownRule {
        /// The hold
        hold: HoldId,
    },
    /// A decision without a reason.
    #[error(
        "a decision on a hold needs a reason of at most {REASON_BYTES_MAX} bytes; give one with --reason"
    )]
    Reason,
}

fn over(phase: HoldPhase) -> &'static str {
    match phase {
        HoldPhase::TimedOut => "timed out",
        HoldPhase::Cancelled => "was cancelled because its process went away",
        HoldPhase::Void => "became void because its call never restarted",
        HoldPhase::Lapsed => "lapsed",
        HoldPhase::Pending | HoldPhase::Approved | HoldPhase::Refused => "was answered",
    }
}
