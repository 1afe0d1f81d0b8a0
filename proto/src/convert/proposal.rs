//! Proposed changes of policies.

use stayhand_guardrail::{
    hold::Approval,
    id::Revision,
    proposal::{Proposal, ProposalState},
};

use super::{
    Invalid, approval,
    invalid::{message, optional},
    name,
    policy::source as document,
    scalar::{id, text, time, timestamp},
};
use crate::{v1, v1::policy_proposal::State};

/// The state's own fields as they travel.
#[derive(Default)]
struct Parts {
    state: State,
    refused_by: String,
    refuse_reason: String,
    end_time: Option<prost_types::Timestamp>,
    revision: u64,
}

fn parts(state: ProposalState) -> Parts {
    match state {
        ProposalState::Pending => Parts {
            state: State::Pending,
            ..Parts::default()
        },
        ProposalState::Applied { revision, at } => Parts {
            state: State::Applied,
            end_time: Some(timestamp(at)),
            revision: revision.0,
            ..Parts::default()
        },
        ProposalState::Refused { by, reason, at } => Parts {
            state: State::Refused,
            refused_by: by.into(),
            refuse_reason: reason,
            end_time: Some(timestamp(at)),
            ..Parts::default()
        },
        ProposalState::Outdated { at } => Parts {
            state: State::Outdated,
            end_time: Some(timestamp(at)),
            ..Parts::default()
        },
        ProposalState::Expired { at } => Parts {
            state: State::Expired,
            end_time: Some(timestamp(at)),
            ..Parts::default()
        },
    }
}

impl From<Proposal> for v1::PolicyProposal {
    fn from(proposal: Proposal) -> Self {
        let Proposal {
            id,
            policy,
            base,
            source,
            removes,
            reason,
            rollout,
            by,
            create_time,
            expire_time,
            approval,
            state,
        } = proposal;
        let Parts {
            state,
            refused_by,
            refuse_reason,
            end_time,
            revision,
        } = parts(state);
        Self {
            name: name::proposal(id),
            policy: name::policy(&policy),
            base_revision: base.0,
            source,
            proposed_by: by.into(),
            create_time: Some(timestamp(create_time)),
            expire_time: Some(timestamp(expire_time)),
            approval: approval::sent(Approval::Plan(approval)),
            state: state.into(),
            refused_by,
            refuse_reason,
            end_time,
            revision,
            rollout: rollout.map(Into::into),
            removes,
            reason: reason.unwrap_or_default(),
        }
    }
}

impl TryFrom<v1::PolicyProposal> for Proposal {
    type Error = Invalid;
    fn try_from(wire: v1::PolicyProposal) -> Result<Self, Invalid> {
        let v1::PolicyProposal {
            name: wire_name,
            policy,
            base_revision,
            source,
            proposed_by,
            create_time,
            expire_time,
            approval,
            state,
            refused_by,
            refuse_reason,
            end_time,
            revision,
            rollout,
            removes,
            reason,
        } = wire;
        let Approval::Plan(approval) = message("approval", approval)? else {
            return Err(Invalid::new("approval", "has no stages"));
        };
        let at = || time("end_time", end_time);
        let state = match State::try_from(state) {
            Ok(State::Pending) => ProposalState::Pending,
            Ok(State::Applied) => ProposalState::Applied {
                revision: Revision(revision),
                at: at()?,
            },
            Ok(State::Refused) => ProposalState::Refused {
                by: id("refused_by", &refused_by)?,
                reason: text("refuse_reason", refuse_reason)?,
                at: at()?,
            },
            Ok(State::Outdated) => ProposalState::Outdated { at: at()? },
            Ok(State::Expired) => ProposalState::Expired { at: at()? },
            Ok(State::Unspecified) | Err(_) => {
                let problem = format!("{state} is no state of a proposal");
                return Err(Invalid::new("state", problem));
            }
        };
        Ok(Self {
            id: name::parse("name", name::PROPOSALS, &wire_name)?,
            policy: name::parse("policy", name::POLICIES, &policy)?,
            base: Revision(base_revision),
            source: document(source)?,
            removes,
            reason: Some(text("reason", reason)?).filter(|reason| !reason.is_empty()),
            rollout: optional("rollout", rollout)?,
            by: id("proposed_by", &proposed_by)?,
            create_time: time("create_time", create_time)?,
            expire_time: time("expire_time", expire_time)?,
            approval,
            state,
        })
    }
}
