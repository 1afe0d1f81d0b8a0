//! How far an approval has come.

use serde::{Deserialize, Serialize};

use super::{Approver, Lapse, Plan, Quorum, Stage};
use crate::{
    id::{GroupName, ScheduleName, UserName},
    time::UnixMs,
};

/// Somebody who answers, and everything that approvals are about: who that is, the caller says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reviewer {
    /// The person
    pub user: UserName,
    /// Whose member they are
    pub groups: Vec<GroupName>,
    /// For what they are on call now
    pub on_call: Vec<ScheduleName>,
    /// Whose manager they are
    pub manages: Vec<UserName>,
}

impl Reviewer {
    /// Somebody of whom nothing but the name is known.
    pub fn named(user: UserName) -> Self {
        Self {
            user,
            groups: vec![],
            on_call: vec![],
            manages: vec![],
        }
    }

    fn is(&self, approver: &Approver, held: Option<&UserName>) -> bool {
        match approver {
            Approver::User(name) => *name == self.user,
            Approver::Group(name) => self.groups.contains(name),
            Approver::OnCall(name) => self.on_call.contains(name),
            Approver::Manager => held.is_some_and(|held| self.manages.contains(held)),
        }
    }
}

/// One approval that counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// Who
    pub by: UserName,
    /// In which stage, from 0
    pub stage: u32,
    /// For which of the stage's approvers, by position: as it was then, whatever groups say since
    pub counts_as: Vec<u32>,
    /// Why
    pub reason: String,
    /// When
    pub at: UnixMs,
}

/// A plan that people work through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What it takes
    pub plan: Plan,
    /// The stage that waits, from 0; as many as there are when all are over
    pub stage: u32,
    /// When that stage began
    pub since: UnixMs,
    /// What counted so far, in order
    pub reviews: Vec<Review>,
}

/// Why somebody's approval does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotCounted {
    /// The stage names others.
    #[error("`{user}` is none of those who may approve now: {stage}")]
    NotNamed {
        /// Who
        user: UserName,
        /// Who may
        stage: String,
    },
    /// One person counts once.
    #[error("`{user}` has approved already, in stage {stage}; somebody else has to: {waiting}")]
    Twice {
        /// Who
        user: UserName,
        /// Where, from 1
        stage: u32,
        /// Who may
        waiting: String,
    },
    /// The stage that waits has had its time.
    #[error("{0}")]
    Lapsed(Lapse),
    /// Nothing waits any more.
    #[error("every stage is over")]
    Over,
}

impl Progress {
    /// Nobody has approved yet.
    pub fn new(plan: Plan, now: UnixMs) -> Self {
        Self {
            plan,
            stage: 0,
            since: now,
            reviews: vec![],
        }
    }

    /// The stage that waits.
    pub fn waiting(&self) -> Option<&Stage> {
        self.plan.stages.get(usize::try_from(self.stage).ok()?)
    }

    /// Whether nothing more is needed.
    pub fn is_complete(&self) -> bool {
        self.waiting().is_none()
    }

    /// Counts somebody's approval of what `held` wants to do. Whether it was the last that was needed.
    pub fn approve(
        &mut self,
        reviewer: &Reviewer,
        held: Option<&UserName>,
        reason: &str,
        now: UnixMs,
    ) -> Result<bool, NotCounted> {
        let stage = self.waiting().ok_or(NotCounted::Over)?;
        // Before who it is: nobody opens again what is over.
        if let Some(lapse) = self.lapse(now) {
            return Err(NotCounted::Lapsed(lapse));
        }
        let user = &reviewer.user;
        if let Some(earlier) = self.reviews.iter().find(|review| review.by == *user) {
            return Err(NotCounted::Twice {
                user: user.clone(),
                stage: earlier.stage.saturating_add(1),
                waiting: stage.to_string(),
            });
        }
        let counts_as = counts_as(stage, reviewer, held, self.since, now);
        if counts_as.is_empty() {
            return Err(NotCounted::NotNamed {
                user: user.clone(),
                stage: stage.to_string(),
            });
        }
        self.reviews.push(Review {
            by: user.clone(),
            stage: self.stage,
            counts_as,
            reason: reason.to_owned(),
            at: now,
        });
        if self.missing() == 0 {
            self.stage = self.stage.saturating_add(1);
            self.since = now;
        }
        Ok(self.is_complete())
    }

    /// How many more the waiting stage needs.
    pub fn missing(&self) -> usize {
        let Some(stage) = self.waiting() else {
            return 0;
        };
        let given: Vec<&Review> = self
            .reviews
            .iter()
            .filter(|review| review.stage == self.stage)
            .collect();
        let counted = match stage.quorum {
            Quorum::Any | Quorum::Count(_) => given.len(),
            Quorum::All => paired(&given),
        };
        stage.needed().saturating_sub(counted)
    }
}

/// Whoever answers after an escalation stands for whomever is missing.
fn counts_as(
    stage: &Stage,
    reviewer: &Reviewer,
    held: Option<&UserName>,
    since: UnixMs,
    now: UnixMs,
) -> Vec<u32> {
    let all = || 0..u32::try_from(stage.of.len()).unwrap_or(u32::MAX);
    let escalated = stage.escalation.as_ref().is_some_and(|escalation| {
        now.since(since) >= escalation.after
            && escalation.to.iter().any(|one| reviewer.is(one, held))
    });
    if escalated {
        return all().collect();
    }
    all()
        .zip(&stage.of)
        .filter(|(_, approver)| reviewer.is(approver, held))
        .map(|(position, _)| position)
        .collect()
}

/// For how many approvers somebody of his own answered: the largest matching, since one person may be meant by several.
fn paired(given: &[&Review]) -> usize {
    let mut taken: Vec<(u32, usize)> = Vec::new();
    (0..given.len())
        .filter(|person| place(given, *person, &mut taken, &mut vec![]))
        .count()
}

/// Finds an approver for a person, having others make room where they can (an augmenting path).
fn place(
    given: &[&Review],
    person: usize,
    taken: &mut Vec<(u32, usize)>,
    tried: &mut Vec<u32>,
) -> bool {
    let meant = given
        .get(person)
        .map_or(&[][..], |review| &review.counts_as);
    for approver in meant {
        if tried.contains(approver) {
            continue;
        }
        tried.push(*approver);
        let held_by = taken.iter().position(|(one, _)| one == approver);
        let Some(held_by) = held_by else {
            taken.push((*approver, person));
            return true;
        };
        let (_, other) = taken.swap_remove(held_by);
        if place(given, other, taken, tried) {
            taken.push((*approver, person));
            return true;
        }
        taken.push((*approver, other));
    }
    false
}
