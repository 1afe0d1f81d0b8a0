//! What a host has to do to get from what it enforces to what it is to enforce, as data that can be printed.
//!
//! Order is part of the plan: privilege goes before the new policies come, and comes after them.

use std::{collections::BTreeSet, fmt};

use crate::{
    host::{HoldAnswer, HostState, Lease},
    id::{Generation, GrantId, HoldId, PolicyName, Revision},
};

/// What the kernel of a host has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Installed {
    /// Generation that was enforced last; 0 for none
    pub generation: Generation,
    /// Policies in the image
    pub policies: Vec<(PolicyName, Revision)>,
    /// Leases in the image
    pub leases: Vec<Lease>,
    /// Holds whose answer was carried out
    pub answered: BTreeSet<HoldId>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Take a lease out
    DropLease(GrantId),
    /// Build an image of these policies and flip to it
    SwapImage(Vec<(PolicyName, Revision)>),
    /// Put a lease in, or change its end
    PutLease(Lease),
    /// Carry out the answer to a hold
    Answer(HoldAnswer),
}

/// Every step, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Plan {
    /// The generation that is enforced once every step is done
    pub generation: Generation,
    /// The steps
    pub steps: Vec<Step>,
}

/// A state that must not be gone to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("generation {desired} is older than the enforced generation {installed}")]
pub struct Stale {
    /// What was sent
    pub desired: Generation,
    /// What is enforced
    pub installed: Generation,
}

/// Plans the way from `installed` to `desired`. The same state again is an empty plan.
pub fn plan(desired: &HostState, installed: &Installed) -> Result<Plan, Stale> {
    if desired.generation < installed.generation {
        return Err(Stale {
            desired: desired.generation,
            installed: installed.generation,
        });
    }
    let mut steps = Vec::new();
    let wanted = |grant: GrantId| desired.leases.iter().find(|lease| lease.grant == grant);
    steps.extend(
        installed
            .leases
            .iter()
            .filter(|lease| wanted(lease.grant).is_none())
            .map(|lease| Step::DropLease(lease.grant)),
    );
    let mut policies: Vec<(PolicyName, Revision)> = desired
        .policies
        .iter()
        .map(|policy| (policy.name.clone(), policy.revision))
        .collect();
    policies.sort();
    let mut present = installed.policies.clone();
    present.sort();
    // Generation 0 means that there is no image, not even an empty one.
    if policies != present || installed.generation == Generation(0) {
        steps.push(Step::SwapImage(policies));
    }
    let unchanged = |lease: &Lease| installed.leases.iter().any(|present| same(present, lease));
    steps.extend(
        desired
            .leases
            .iter()
            .filter(|lease| !unchanged(lease))
            .cloned()
            .map(Step::PutLease),
    );
    let open = desired
        .answers
        .iter()
        .filter(|answer| !installed.answered.contains(&answer.hold));
    steps.extend(open.cloned().map(Step::Answer));
    Ok(Plan {
        generation: desired.generation,
        steps,
    })
}

/// Whether two leases permit the same until the same time; when they were sent does not matter.
fn same(a: &Lease, b: &Lease) -> bool {
    let Lease {
        grant,
        user,
        permissions,
        expire_time,
        server_time: _,
    } = a;
    *grant == b.grant
        && *user == b.user
        && *permissions == b.permissions
        && *expire_time == b.expire_time
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DropLease(grant) => write!(f, "drop lease {grant}"),
            Self::SwapImage(policies) => {
                let names: Vec<String> = policies
                    .iter()
                    .map(|(name, revision)| format!("{name}@{revision}"))
                    .collect();
                write!(
                    f,
                    "swap image: {}",
                    if names.is_empty() {
                        "no policy".to_owned()
                    } else {
                        names.join(", ")
                    }
                )
            }
            Self::PutLease(lease) => {
                let permissions: Vec<String> =
                    lease.permissions.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "put lease {}: {} {} until {}",
                    lease.grant,
                    lease.user,
                    permissions.join(", "),
                    lease.expire_time
                )
            }
            Self::Answer(answer) => write!(
                f,
                "answer hold {}: {:?} by {}",
                answer.hold, answer.answer, answer.by
            ),
        }
    }
}

/// One step per line.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "generation {}", self.generation)?;
        self.steps
            .iter()
            .try_for_each(|step| writeln!(f, "  {step}"))
    }
}

#[cfg(test)]
mod tests;
