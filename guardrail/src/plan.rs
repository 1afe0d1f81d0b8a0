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
mod tests {
    use super::*;
    use crate::{
        host::{Answer, PolicyRevision},
        time::UnixMs,
    };

    fn lease(id: u128, expire_time: u64) -> Lease {
        Lease {
            grant: GrantId(uuid::Uuid::from_u128(id)),
            user: "alice".parse().unwrap(),
            permissions: vec!["demo/vault".parse().unwrap()],
            expire_time: UnixMs(expire_time),
            server_time: UnixMs(1),
        }
    }

    fn desired() -> HostState {
        HostState {
            generation: Generation(3),
            policies: vec![PolicyRevision {
                name: "demo".parse().unwrap(),
                revision: Revision(2),
                source: String::new(),
            }],
            leases: vec![lease(1, 50), lease(2, 60)],
            answers: vec![HoldAnswer {
                hold: HoldId(9),
                answer: Answer::Refused,
                by: "bob".parse().unwrap(),
                reason: "no".to_owned(),
            }],
        }
    }

    fn installed() -> Installed {
        Installed {
            generation: Generation(2),
            policies: vec![("demo".parse().unwrap(), Revision(1))],
            leases: vec![lease(1, 40), lease(3, 60)],
            answered: BTreeSet::new(),
        }
    }

    #[test]
    fn privilege_goes_first_and_comes_last() {
        let text = plan(&desired(), &installed()).unwrap().to_string();
        let wanted = "generation 3
  drop lease 00000000-0000-0000-0000-000000000003
  swap image: demo@2
  put lease 00000000-0000-0000-0000-000000000001: alice demo/vault until 1970-01-01T00:00:00.050Z
  put lease 00000000-0000-0000-0000-000000000002: alice demo/vault until 1970-01-01T00:00:00.060Z
  answer hold 0000000000000009: Refused by bob
";
        assert_eq!(text, wanted);
    }

    #[test]
    fn an_older_generation_is_refused() {
        let mut installed = installed();
        installed.generation = Generation(4);
        assert!(plan(&desired(), &installed).is_err());
    }

    #[test]
    fn the_same_state_again_is_an_empty_plan_but_the_first_one_always_swaps() {
        let mut again = desired();
        again
            .leases
            .iter_mut()
            .for_each(|lease| lease.server_time = UnixMs(2));
        let there = Installed {
            generation: Generation(3),
            policies: vec![("demo".parse().unwrap(), Revision(2))],
            leases: desired().leases,
            answered: [HoldId(9)].into(),
        };
        assert_eq!(plan(&again, &there).unwrap().steps, []);
        let first = plan(&HostState::default(), &Installed::default()).unwrap();
        assert_eq!(first.steps, [Step::SwapImage(vec![])]);
    }
}
