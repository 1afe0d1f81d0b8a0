//! Proposals: a change of a policy that takes more people than the one who wants it.
//!
//! A state machine that consumes its state. What was proposed never changes, so that what is approved is what was read;
//! whether it may still count is for whoever applies it to check again.

#[cfg(test)]
mod tests;

use crate::{
    approval::{NotCounted, Progress, Reviewer},
    event::{PolicyChange, PolicyChanged},
    id::{PolicyName, ProposalId, Revision, UserName},
    limits::REASON_BYTES_MAX,
    rollout,
    time::UnixMs,
};

/// One proposed revision of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Its id
    pub id: ProposalId,
    /// Which policy
    pub policy: PolicyName,
    /// The revision that it replaces; 0 for a new policy
    pub base: Revision,
    /// The document, byte for byte
    pub source: String,
    /// The policy is to be removed; there is no document then
    pub removes: bool,
    /// Why, where somebody had to say: of a removal
    pub reason: Option<String>,
    /// How it comes to the hosts; none where all get it at once
    pub rollout: Option<rollout::Plan>,
    /// Who proposed it
    pub by: UserName,
    /// When
    pub create_time: UnixMs,
    /// Until when it can be approved
    pub expire_time: UnixMs,
    /// Who may approve, and how far that is
    pub approval: Progress,
    /// Where it is in its life
    pub state: ProposalState,
}

/// Where a proposal is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProposalState {
    /// It waits
    Pending,
    /// It is a revision now
    Applied {
        /// Which
        revision: Revision,
        /// When
        at: UnixMs,
    },
    /// Somebody refused it, or whoever proposed it took it back
    Refused {
        /// Who
        by: UserName,
        /// Why
        reason: String,
        /// When
        at: UnixMs,
    },
    /// Another revision was applied meanwhile: what was read is not what would change
    Outdated {
        /// When
        at: UnixMs,
    },
    /// Nobody approved it in time
    Expired {
        /// When
        at: UnixMs,
    },
}

impl ProposalState {
    /// The word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Applied { .. } => "applied",
            Self::Refused { .. } => "refused",
            Self::Outdated { .. } => "outdated",
            Self::Expired { .. } => "expired",
        }
    }
}

/// What cannot happen to a proposal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Illegal {
    /// It is over.
    #[error("proposal {id} is {state} and cannot be answered any more; propose the change again")]
    Over {
        /// The proposal
        id: ProposalId,
        /// Its state
        state: &'static str,
    },
    /// Nobody approves what they propose.
    #[error("`{by}` proposed {id} and cannot approve it; ask another person")]
    Own {
        /// The proposal
        id: ProposalId,
        /// Who
        by: UserName,
    },
    /// It is not for this person to approve.
    #[error("proposal {id} is not approved by this: {why}")]
    NotCounted {
        /// The proposal
        id: ProposalId,
        /// Why
        why: NotCounted,
    },
    /// A decision without a reason.
    #[error(
        "a decision on a proposal needs a reason of at most {REASON_BYTES_MAX} bytes; give one with --reason"
    )]
    Reason,
}

/// A proposal after a step.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Step {
    /// The proposal now
    pub proposal: Proposal,
    /// What is to be recorded
    pub record: PolicyChanged,
    /// Whether nothing is missing any more: apply it in the same transaction
    pub is_complete: bool,
}

impl Proposal {
    /// Counts an approval.
    pub fn approve(mut self, by: &Reviewer, reason: &str, now: UnixMs) -> Result<Step, Illegal> {
        self.may_be_answered(reason, now)?;
        if by.user == self.by {
            return Err(Illegal::Own {
                id: self.id,
                by: self.by,
            });
        }
        let id = self.id;
        let counted = self.approval.approve(by, Some(&self.by), reason, now);
        let is_complete = counted.map_err(|why| Illegal::NotCounted { id, why })?;
        let record = self.record(PolicyChange::Approved, &by.user, reason);
        Ok(Step {
            proposal: self,
            record,
            is_complete,
        })
    }

    /// Refuses it, or takes it back.
    pub fn refuse(mut self, by: &UserName, reason: &str, now: UnixMs) -> Result<Step, Illegal> {
        self.may_be_answered(reason, now)?;
        self.state = ProposalState::Refused {
            by: by.clone(),
            reason: reason.to_owned(),
            at: now,
        };
        let record = self.record(PolicyChange::Refused, by, reason);
        Ok(Step {
            proposal: self,
            record,
            is_complete: false,
        })
    }

    /// What becomes of one that nobody has to approve any more, while the policy is at this revision: what was read would
    /// change something else by now, or it counts.
    #[must_use]
    pub fn settled(mut self, standing: Revision, now: UnixMs) -> Self {
        self.state = if standing == self.base {
            ProposalState::Applied {
                revision: self.base.next(),
                at: now,
            }
        } else {
            ProposalState::Outdated { at: now }
        };
        self
    }

    /// As it is at `now`: what nobody approved in time is over, whether somebody looked or not.
    #[must_use]
    pub fn at(mut self, now: UnixMs) -> Self {
        if self.state == ProposalState::Pending && now >= self.expire_time {
            self.state = ProposalState::Expired {
                at: self.expire_time,
            };
        }
        self
    }

    /// What is recorded of something that happens to it.
    pub fn record(&self, change: PolicyChange, by: &UserName, reason: &str) -> PolicyChanged {
        PolicyChanged {
            policy: self.policy.clone(),
            revision: self.base.next(),
            by: Some(by.clone()),
            change,
            proposal: Some(self.id),
            reason: Some(reason.to_owned()).filter(|reason| !reason.is_empty()),
        }
    }

    fn may_be_answered(&self, reason: &str, now: UnixMs) -> Result<(), Illegal> {
        if reason.trim().is_empty() || reason.len() > REASON_BYTES_MAX {
            return Err(Illegal::Reason);
        }
        match self.clone().at(now).state {
            ProposalState::Pending => Ok(()),
            over => Err(Illegal::Over {
                id: self.id,
                state: over.as_str(),
            }),
        }
    }
}
