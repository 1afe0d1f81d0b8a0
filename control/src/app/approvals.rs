//! Who may approve: what the rule that holds says, and who it is that answers.

use stayhand_guardrail::{
    approval::Progress,
    event::RuleRef,
    hold::{Approval, Fact, Hold, Illegal, Step},
    host::Answer,
    policy,
    time::UnixMs,
};

use super::{App, Error, policies::blocking};
use crate::{operator::Operator, people::PeopleError};

impl App {
    /// What a new hold takes, by the very revision of the policy that holds it: a later one changes nothing about it.
    pub(super) async fn approval_of(&self, by: &RuleRef, now: UnixMs) -> Result<Approval, Error> {
        let stored = self.store().policy(&by.policy, Some(by.revision)).await?;
        let Some(stored) = stored else {
            return Ok(Approval::Unknown);
        };
        let wanted = by.rule.clone();
        let found = blocking(move || {
            let policy = policy::parse(&stored.source).ok()?;
            let rule = policy.rules.iter().find(|rule| rule.id == wanted)?;
            Some(policy.approval(rule).cloned())
        });
        Ok(match found.await? {
            None => Approval::Unknown,
            Some(None) => Approval::Operators,
            Some(Some(plan)) => Approval::Plan(Progress::new(plan, now)),
        })
    }

    /// What an operator's answer is, with all that approvals are about: asked for before a transaction begins, since the
    /// name service may take its time.
    pub(super) async fn answer_of(
        &self,
        operator: &Operator,
        answer: Answer,
        reason: String,
    ) -> Result<Answered, Error> {
        if answer == Answer::Refused {
            let by = operator.user().clone();
            let fact = Fact::Refuse { by, reason };
            return Ok(Answered { fact, unread: None });
        }
        let (by, unread) = self.reviewer(operator).await?;
        let fact = Fact::Approve { by, reason };
        Ok(Answered { fact, unread })
    }
}

/// An operator's answer.
pub(super) struct Answered {
    fact: Fact,
    /// Why nobody can tell who is on call, if that is so
    unread: Option<PeopleError>,
}

impl Answered {
    /// Lets it happen to a hold.
    pub(super) fn happen(self, hold: Hold, now: UnixMs) -> Result<Step, Error> {
        match (hold.step(self.fact, now), self.unread) {
            // Who does not count without the directory might with it.
            (Err(Illegal::NotCounted { .. }), Some(error)) => Err(error.into()),
            (step, _) => Ok(step?),
        }
    }
}
