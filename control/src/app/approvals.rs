//! Who may approve: what the rule that holds says, and who it is that answers.

use stayhand_guardrail::{
    approval::{Progress, Reviewer},
    event::RuleRef,
    hold::{self, Approval},
    policy, proposal,
    sensitivity::Sensitivity,
};

use super::{App, Error, policies::blocking};
use crate::{
    operator::Operator,
    people::{Directory, PeopleError},
};

/// What the rule that holds says of a new hold.
pub(super) struct OfRule {
    /// Who may approve
    pub(super) approval: Approval,
    /// How much depends on it
    pub(super) sensitivity: Option<Sensitivity>,
}

impl App {
    /// What a new hold takes, by the very revision of the policy that holds it: a later one changes nothing about it. It
    /// begins by our clock: a host that says that it waits for long has nobody else asked sooner. None if no such rule is
    /// known.
    pub(super) async fn of_rule(&self, by: &RuleRef) -> Result<Option<OfRule>, Error> {
        let stored = self.store().policy(&by.policy, Some(by.revision)).await?;
        let Some(stored) = stored else {
            return Ok(None);
        };
        let wanted = by.rule.clone();
        let found = blocking(move || {
            let policy = policy::parse(&stored.source).ok()?;
            let rule = policy.rules.iter().find(|rule| rule.id == wanted)?;
            Some((policy.approval(rule).cloned(), rule.sensitivity))
        });
        Ok(found.await?.map(|(plan, sensitivity)| OfRule {
            approval: plan.map_or(Approval::Operators, |plan| {
                Approval::Plan(Progress::new(plan, self.now()))
            }),
            sensitivity,
        }))
    }

    /// An operator who approves something, with all that approvals are about: asked for before a transaction begins, since
    /// the name service may take its time.
    pub(super) async fn approving(&self, operator: &Operator) -> Result<Approving, Error> {
        let user = operator.user().clone();
        let people = self.people.clone();
        let (directory, unread) = match blocking(move || people.read()).await? {
            Ok(directory) => (directory, None),
            Err(error) => (Directory::default(), Some(error)),
        };
        let reviewer = Reviewer {
            groups: self.names.groups(&user).await?,
            on_call: directory.on_call(&user),
            manages: directory.manages(&user),
            user,
        };
        Ok(Approving { reviewer, unread })
    }
}

/// Somebody who approves.
pub(super) struct Approving {
    /// Who
    pub(super) reviewer: Reviewer,
    unread: Option<PeopleError>,
}

impl Approving {
    /// Why the approval did not happen: whoever does not count might, if the directory could be read.
    pub(super) fn refusal(self, illegal: impl Into<Error>) -> Error {
        let illegal = illegal.into();
        let is_not_named = matches!(
            illegal,
            Error::HoldOver(hold::Illegal::NotCounted { .. })
                | Error::Proposal(proposal::Illegal::NotCounted { .. })
        );
        match self.unread {
            Some(error) if is_not_named => error.into(),
            _ => illegal,
        }
    }
}
