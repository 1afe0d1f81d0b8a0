//! Approvals: who may let a held action go on, in which order, and how many of them.
//!
//! A [`Plan`] is what a policy says; a [`Progress`] is one that people work through. A plan is frozen with the hold that
//! it belongs to: no later policy changes who may answer. Knows no directory: who is in which group is an argument.

mod progress;
#[cfg(test)]
mod tests;
mod time;

pub use progress::{NotCounted, Progress, Review, Reviewer};
pub use time::Lapse;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    id::{ApprovalName, GroupName, IdError, ScheduleName, UserName},
    limits::APPROVERS_MAX,
    time::DurationMs,
};

/// Who may approve, stage after stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Its name in the policy
    pub name: ApprovalName,
    /// At least one, in order
    pub stages: Vec<Stage>,
}

/// One stage: it is complete when enough of these approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// How many
    pub quorum: Quorum,
    /// Of whom, at least one
    pub of: Vec<Approver>,
    /// Who else, once it has taken too long
    pub escalation: Option<Escalation>,
    /// How long it has from when it begins; what is not complete by then is not approved any more. None has as long as
    /// there is
    #[serde(default)]
    pub timeout: Option<DurationMs>,
}

/// How many of the named ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quorum {
    /// One of them
    Any,
    /// One for each of them, all of them different people
    All,
    /// So many different people
    Count(u32),
}

/// Who may answer, too, when a stage waits for long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escalation {
    /// How long after the stage began
    pub after: DurationMs,
    /// Whom it then may also be
    pub to: Vec<Approver>,
}

/// Whom a stage names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Approver {
    /// This person
    User(UserName),
    /// Whoever is in this group
    Group(GroupName),
    /// Whoever is on call for this
    OnCall(ScheduleName),
    /// The manager of the one who is held
    Manager,
}

const USER: &str = "user:";
const GROUP: &str = "group:";
const ON_CALL: &str = "on-call:";
const MANAGER: &str = "manager";

/// Why a text names no approver.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApproverError {
    /// No known beginning.
    #[error(
        "`{shown}` names no approver; write `user:NAME`, `group:NAME`, `on-call:NAME` or `manager`"
    )]
    Form {
        /// The text, shown safely
        shown: String,
    },
    /// The name behind it is none.
    #[error(transparent)]
    Name(#[from] IdError),
}

impl FromStr for Approver {
    type Err = ApproverError;
    fn from_str(text: &str) -> Result<Self, ApproverError> {
        if let Some(name) = text.strip_prefix(USER) {
            return Ok(Self::User(name.parse()?));
        }
        if let Some(name) = text.strip_prefix(GROUP) {
            return Ok(Self::Group(name.parse()?));
        }
        if let Some(name) = text.strip_prefix(ON_CALL) {
            return Ok(Self::OnCall(name.parse()?));
        }
        if text == MANAGER {
            return Ok(Self::Manager);
        }
        Err(ApproverError::Form {
            shown: crate::text::safe(text),
        })
    }
}

impl fmt::Display for Approver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "{USER}{name}"),
            Self::Group(name) => write!(f, "{GROUP}{name}"),
            Self::OnCall(name) => write!(f, "{ON_CALL}{name}"),
            Self::Manager => f.write_str(MANAGER),
        }
    }
}

impl TryFrom<String> for Approver {
    type Error = ApproverError;
    fn try_from(text: String) -> Result<Self, ApproverError> {
        text.parse()
    }
}

impl From<Approver> for String {
    fn from(approver: Approver) -> Self {
        approver.to_string()
    }
}

/// What a stage cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StageProblem {
    /// Nobody is named, or too many.
    #[error("a stage names 1 to {APPROVERS_MAX} approvers")]
    Names,
    /// Nobody is needed, or too many.
    #[error("a stage needs from 1 to {APPROVERS_MAX} people, not {0}")]
    Count(usize),
    /// More than are named.
    #[error("the stage needs {needed} people and names {named}: nobody can ever approve it")]
    TooFew {
        /// How many
        needed: usize,
        /// How many it names
        named: usize,
    },
}

impl Stage {
    /// How many people it takes.
    pub fn needed(&self) -> usize {
        match self.quorum {
            Quorum::Any => 1,
            Quorum::All => self.of.len(),
            Quorum::Count(count) => usize::try_from(count).unwrap_or(usize::MAX),
        }
    }

    /// Why nobody could ever approve it, or why it is more than one has.
    pub fn problem(&self) -> Option<StageProblem> {
        let escalated = self.escalation.iter().map(|one| one.to.len());
        let lists = std::iter::once(self.of.len()).chain(escalated);
        if lists.into_iter().any(|len| len == 0 || len > APPROVERS_MAX) {
            return Some(StageProblem::Names);
        }
        let needed = self.needed();
        if needed == 0 || needed > APPROVERS_MAX {
            return Some(StageProblem::Count(needed));
        }
        let named = self.named_at_most().filter(|named| *named < needed)?;
        Some(StageProblem::TooFew { needed, named })
    }

    /// The most people that it names, if that can be told: a group has as many as it has.
    pub fn named_at_most(&self) -> Option<usize> {
        let one = |approver: &Approver| matches!(approver, Approver::User(_) | Approver::Manager);
        self.of.iter().all(one).then_some(self.of.len())
    }
}

impl fmt::Display for Stage {
    /// `any of group:sre, user:bob within 15m; after 10m also manager`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.quorum, self.of.as_slice()) {
            (Quorum::Any | Quorum::All, [one]) => write!(f, "{one}")?,
            (Quorum::Any, of) => write!(f, "any of {}", Names(of))?,
            (Quorum::All, of) => write!(f, "each of {}", Names(of))?,
            (Quorum::Count(count), of) => write!(f, "{count} of {}", Names(of))?,
        }
        if let Some(timeout) = self.timeout {
            write!(f, " within {timeout}")?;
        }
        match &self.escalation {
            Some(Escalation { after, to }) => write!(f, "; after {after} also {}", Names(to)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Plan {
    /// Its stages in order: `any of group:sre, user:bob, then 2 of group:dba`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, stage) in self.stages.iter().enumerate() {
            let before = if index == 0 { "" } else { ", then " };
            write!(f, "{before}{stage}")?;
        }
        Ok(())
    }
}

struct Names<'a>(&'a [Approver]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, approver) in self.0.iter().enumerate() {
            let before = if index == 0 { "" } else { ", " };
            write!(f, "{before}{approver}")?;
        }
        Ok(())
    }
}
