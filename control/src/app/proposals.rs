//! Changes of policies that take more people than the one who wants them. The last approval applies the change, in one
//! transaction with it, and only if the policy is still the one that was read.

use stayhand_guardrail::{
    approval::Progress,
    event::PolicyChange,
    id::{ProposalId, Revision},
    policy::{self, Policy, Versioned},
    proposal::{Proposal, ProposalState},
    time::DurationMs,
};

use super::{
    App, Error, cases,
    policies::{blocking, takes_nothing_in_use},
    removal,
    together::{self, Candidate},
};
use crate::{
    authz::{Action, Resource},
    operator::Operator,
    store::{Cause, StoredPolicy, Write},
};

/// Until when a proposal can be approved: over a long week-end, and not after everybody has forgotten it.
const LIFETIME: DurationMs = DurationMs::from_secs(7 * 86_400);
/// Proposals that may wait at once: each has a whole document.
const WAITING_MAX: u64 = 100;

impl App {
    /// Makes a checked change wait for approval.
    pub(super) async fn propose(
        &self,
        mut write: Write<'_>,
        stored: StoredPolicy,
        cause: Cause,
        approval: Progress,
    ) -> Result<Proposal, Error> {
        let now = stored.create_time;
        let waiting = write.waiting_proposals(now).await?;
        if waiting >= WAITING_MAX {
            return Err(Error::TooManyProposals(WAITING_MAX));
        }
        let base = Revision(stored.revision.0.saturating_sub(1));
        let proposal = Proposal {
            id: ProposalId(1),
            removes: stored.is_removed(),
            reason: cause.reason,
            policy: stored.name,
            base,
            source: stored.source,
            rollout: cause.rollout,
            by: stored.applied_by,
            create_time: now,
            expire_time: now.plus(LIFETIME),
            approval,
            state: ProposalState::Pending,
        };
        let proposal = write.insert_proposal(proposal).await?;
        let reason = proposal.reason.as_deref().unwrap_or_default();
        let record = proposal.record(PolicyChange::Proposed, &proposal.by, reason);
        write.audit_policy(record, now).await?;
        write.commit().await?;
        // A roll-out may have been stopped in the same transaction.
        self.reload_policies().await?;
        tracing::info!(proposal = %proposal.id, policy = %proposal.policy, by = %proposal.by, "change proposed");
        Ok(proposal)
    }

    /// Approves a proposal; the last approval that is needed applies it.
    pub async fn approve_proposal(
        &self,
        operator: &Operator,
        id: ProposalId,
        reason: String,
    ) -> Result<Proposal, Error> {
        let approving = self.approving(operator).await?;
        // Before anything is locked, as when it was proposed; the others may have changed since.
        let waiting = found(self.store().proposal(id).await?, id)?;
        let wanted = wanted(&waiting).await?;
        // Whoever may not has no tests run. Whose own it is hears of that from its life cycle, before the rules.
        if waiting.by != *operator.user() {
            self.allows_answer(operator, Action::PolicyApprove, &waiting, wanted.as_ref())?;
        }
        let policy = if waiting.removes {
            None
        } else {
            Some(self.fit(&waiting.source).await?)
        };
        let mut write = self.store().begin().await?;
        let proposal = found(write.proposal(id).await?, id)?;
        let now = self.now();
        let step = proposal.approve(&approving.reviewer, &reason, now);
        let step = step.map_err(|illegal| approving.refusal(illegal))?;
        self.allows_answer(operator, Action::PolicyApprove, &waiting, wanted.as_ref())?;
        write.audit_policy(step.record, now).await?;
        if !step.is_complete {
            write.update_proposal(&step.proposal).await?;
            write.commit().await?;
            return Ok(step.proposal);
        }
        let newest = write.policies().await?;
        let standing = newest.iter().find(|one| one.name == waiting.policy);
        let standing = standing.map_or(Revision(0), |one| one.revision);
        let proposal = step.proposal.settled(standing, now);
        write.update_proposal(&proposal).await?;
        let ProposalState::Applied { revision, .. } = proposal.state else {
            write.commit().await?;
            return Ok(proposal);
        };
        if let Some(open) = write.open_rollout(&proposal.policy).await? {
            self.may_replace(&open, false)?;
        }
        let plan = proposal.rollout.clone();
        if let Some(policy) = policy {
            let granted = takes_nothing_in_use(&mut write, &policy, now).await?;
            let candidate = Candidate {
                new: Versioned { revision, policy },
                bytes: proposal.source.len(),
                is_rolled_out: plan.is_some(),
            };
            together::check(write.in_force().await?, candidate, granted).await?;
        } else {
            removal::takes_nothing_in_use(&mut write, &proposal.policy, now).await?;
        }
        let stored = StoredPolicy {
            name: proposal.policy.clone(),
            revision,
            source: proposal.source.clone(),
            applied_by: proposal.by.clone(),
            create_time: now,
            generation: write.generation().await?.next(),
        };
        let cause = Cause {
            proposal: Some(id),
            rollout: plan,
            reason: proposal.reason.clone(),
        };
        self.insert(write, stored, cause).await?;
        Ok(proposal)
    }

    /// Refuses a proposal, or takes it back.
    pub async fn refuse_proposal(
        &self,
        operator: &Operator,
        id: ProposalId,
        reason: String,
    ) -> Result<Proposal, Error> {
        // Before anything is locked; what it wants never changes.
        let waiting = found(self.store().proposal(id).await?, id)?;
        let wanted = wanted(&waiting).await?;
        self.allows_answer(operator, Action::PolicyRefuse, &waiting, wanted.as_ref())?;
        let mut write = self.store().begin().await?;
        let proposal = found(write.proposal(id).await?, id)?;
        let now = self.now();
        let step = proposal.refuse(operator.user(), &reason, now)?;
        write.audit_policy(step.record, now).await?;
        write.update_proposal(&step.proposal).await?;
        write.commit().await?;
        Ok(step.proposal)
    }

    /// A proposal as it is now.
    pub async fn proposal(&self, operator: &Operator, id: ProposalId) -> Result<Proposal, Error> {
        let proposal = found(self.store().proposal(id).await?, id)?;
        let wanted = wanted(&proposal).await?;
        self.allows_answer(operator, Action::PolicyRead, &proposal, wanted.as_ref())?;
        Ok(proposal.at(self.now()))
    }

    /// Whether rules let somebody do this to a proposal, which may be their own.
    fn allows_answer(
        &self,
        operator: &Operator,
        action: Action,
        proposal: &Proposal,
        wanted: Option<&Policy>,
    ) -> Result<(), Error> {
        let resource = self.policy_resource(&proposal.policy, wanted);
        let own = proposal.by == *operator.user();
        self.allows_of(operator, action, &resource, own)
    }

    /// Proposals before a number, the newest first, without their documents; of those that somebody does not get to see only the
    /// number.
    pub async fn proposal_list(
        &self,
        operator: &Operator,
        show_ended: bool,
        before: u64,
        max: u32,
    ) -> Result<Vec<(ProposalId, Option<Proposal>)>, Error> {
        self.allows(operator, Action::PolicyList, &Resource::Control)?;
        let now = self.now();
        let found = self.store().proposals(show_ended, before, now, max).await?;
        let short = found.into_iter().map(|one| {
            let short = self.shows_policy(operator, &one.policy).then(|| Proposal {
                source: String::new(),
                ..one.clone().at(now)
            });
            (one.id, short)
        });
        Ok(short.collect())
    }

    /// What was fit to be applied when it was proposed may not be beside the policies of today.
    async fn fit(&self, source: &str) -> Result<Policy, Error> {
        let (text, set) = (source.to_owned(), self.policies());
        let parsed = blocking(move || {
            let parsed = policy::parse(&text).map_err(Error::Policy)?;
            if policy::floor::is_floor(&parsed.name) {
                return Err(Error::FloorName(parsed.name));
            }
            cases::check(&parsed, &set)?;
            Ok(parsed)
        });
        parsed.await?
    }
}

/// The policy that a proposal wants; none of one that removes, or that this version cannot read any more.
async fn wanted(proposal: &Proposal) -> Result<Option<Policy>, Error> {
    let source = proposal.source.clone();
    blocking(move || policy::parse(&source).ok()).await
}

fn found(proposal: Option<Proposal>, id: ProposalId) -> Result<Proposal, Error> {
    proposal.ok_or(Error::UnknownProposal(id))
}
