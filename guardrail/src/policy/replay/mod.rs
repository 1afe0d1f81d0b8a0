//! What policies would have done to recorded decisions.
//!
//! Every answer is the reference evaluator's. An event does not hold everything that it judges: what is not known is
//! tried in every way in which it can have been, and where the outcome depends on it there is none, with the reason.
//! Never guesses, and says nothing of what was not recorded.

mod judge;
mod reading;
mod report;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

pub(super) use reading::{at_two_ends, sets};
pub use report::{Before, Change, Group, Report};

use super::{HostLabels, Mode, Outcome, Policy, Versioned};
use crate::{
    event::{Decided, Recorded},
    id::{FlagName, GroupName, HostId, Revision, UserName},
    reason::Reason,
};

/// Different decisions whose answer is kept: those beyond it are judged each time, which is slower and the same.
const ANSWERS_MAX: usize = 100_000;

/// What is known beside the events.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// All groups of these users
    pub groups: BTreeMap<UserName, Vec<GroupName>>,
    /// Labels of these hosts
    pub labels: BTreeMap<HostId, HostLabels>,
    /// Labels of all others
    pub everywhere: Option<HostLabels>,
}

/// What would have become of one recorded attempt.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Answer {
    /// In the words of tests
    pub outcome: Outcome,
    /// Why
    pub reason: Reason,
    /// The rule that decides, as `policy/rule`
    pub rule: Option<String>,
}

/// Why an attempt cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// No policy decided it, and none will
    NoPolicy(Reason),
    /// Policies name people
    Nameless,
    /// Whether a policy guards the user
    Groups(UserName),
    /// Whether a policy counts on the host
    Labels(HostId),
    /// The path is not whole
    ObjectCut,
    /// The path is none that a rule can be compared with
    Pathless,
    /// Arguments were hidden
    Redacted,
    /// Arguments are missing
    ArgumentsCut,
    /// A rule asks for the hash of the program
    Hash,
    /// A rule asks for a terminal
    Terminal,
    /// A rule asks what started the process
    Lineage,
    /// A rule asks for more of what is mapped than its path
    Mapped,
    /// Whether a flag was set
    Flags(FlagName),
    /// An event names one operation of a call
    Operations,
    /// An event names one permission of a grant
    Grant,
    /// More is unknown at once than is tried
    TooMuch,
}

/// Safe to show: what it is that an event does not hold.
impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoPolicy(reason) => write!(f, "no policy decided it ({reason})"),
            Self::Nameless => f.write_str("its host knew no name for the subject"),
            Self::Groups(user) => write!(f, "the groups of {user} are not known"),
            Self::Labels(host) => write!(f, "the labels of {host} are not known"),
            Self::ObjectCut => f.write_str("its path was too long for the record"),
            Self::Pathless => f.write_str("it has no path below the root"),
            Self::Redacted => f.write_str("its arguments were redacted"),
            Self::ArgumentsCut => f.write_str("not all of its arguments were recorded"),
            Self::Hash => f.write_str("the hash of the program is not recorded"),
            Self::Terminal => f.write_str("whether it had a terminal is not recorded"),
            Self::Lineage => f.write_str("what the process descends from is not recorded"),
            Self::Mapped => f.write_str("of what is mapped only the path is recorded"),
            Self::Flags(flag) => write!(f, "whether flag `{flag}` was set is not recorded"),
            Self::Operations => {
                f.write_str("whether the same call also read, wrote or replaced it is not recorded")
            }
            Self::Grant => f.write_str("what else the grant permitted is not recorded"),
            Self::TooMuch => f.write_str("too much of it is not known"),
        }
    }
}

impl Why {
    /// What would make it known, if something does.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Groups(user) => Some(format!("--groups {user}=GROUP,GROUP")),
            Self::Labels(_) => Some("--on NAME=VALUE".to_owned()),
            _ => None,
        }
    }
}

/// Recorded decisions, judged again one after the other.
#[derive(Debug)]
pub struct Replay {
    policies: Vec<Versioned>,
    told: Told,
    /// Whether a rule asks for the time
    timed: bool,
    answers: HashMap<Decided, Result<Answer, Why>>,
    report: Report,
}

impl Replay {
    /// Judges by these policies, as one host would have them. Each counts as if it enforced, as in its tests.
    pub fn new(policies: impl IntoIterator<Item = Policy>, told: Told) -> Self {
        let enforced = |policy: Policy| Versioned {
            revision: Revision(0),
            policy: Policy {
                mode: Mode::Enforce,
                ..policy
            },
        };
        let policies: Vec<Versioned> = policies.into_iter().map(enforced).collect();
        let mut rules = policies.iter().flat_map(|one| &one.policy.rules);
        Self {
            timed: rules.any(|rule| rule.when.is_some()),
            policies,
            told,
            answers: HashMap::new(),
            report: Report::default(),
        }
    }

    /// Judges one, and counts it.
    pub fn add(&mut self, recorded: &Recorded) -> &mut Self {
        let answer = self.answer(recorded);
        self.report.add(recorded, answer);
        self
    }

    /// Judges one.
    pub fn answer(&mut self, recorded: &Recorded) -> Result<Answer, Why> {
        let judged = || judge::judge(&self.policies, &self.told, recorded);
        if self.timed {
            return judged();
        }
        if let Some(known) = self.answers.get(&recorded.decision) {
            return known.clone();
        }
        let answer = judged();
        if self.answers.len() < ANSWERS_MAX {
            self.answers
                .insert(recorded.decision.clone(), answer.clone());
        }
        answer
    }

    /// Counts decisions that were not recorded; 0 is an unknown number.
    pub fn lost(&mut self, count: u64) {
        self.report.lose(count);
    }

    /// What came out.
    pub fn report(&self) -> &Report {
        &self.report
    }
}
