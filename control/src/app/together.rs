//! Whether hosts can enforce policies together, in every way in which one can have them while revisions are rolled out.

use stayhand_guardrail::{
    id::{PolicyName, Revision},
    policy::{self, Policy, Versioned},
};
use stayhand_proto::limits::SOURCES_BYTES_MAX;

use super::{Error, policies::blocking};
use crate::store::{InForce, StoredPolicy};

/// Roll-outs that may run at once: hosts have each new revision or the one before, so that each doubles what is compiled.
pub(super) const ROLLOUTS_MAX: usize = 4;

/// A revision that is to count.
pub(super) struct Candidate {
    /// What it says
    pub(super) new: Versioned,
    /// Bytes of its source
    pub(super) bytes: usize,
    /// Whether some hosts go on with the revision before for a while
    pub(super) is_rolled_out: bool,
}

/// A policy with what it takes of a host's state.
#[derive(Clone)]
struct Sized {
    policy: Versioned,
    bytes: usize,
}

/// Compiles the new revision beside the others, so that a limit is met here and not on every host.
pub(super) async fn check(in_force: InForce, candidate: Candidate) -> Result<(), Error> {
    let name = candidate.new.policy.name.clone();
    let others = in_force.rolling.iter();
    let running = others.filter(|(rollout, _)| rollout.policy != name).count();
    if candidate.is_rolled_out && running >= ROLLOUTS_MAX {
        return Err(Error::TooManyRollouts(ROLLOUTS_MAX));
    }
    blocking(move || every_way(in_force, candidate)).await?
}

fn every_way(in_force: InForce, candidate: Candidate) -> Result<(), Error> {
    let name = candidate.new.policy.name.clone();
    let mut standing = sized(in_force.standing);
    let rolling = in_force.rolling.into_iter().map(|(_, policy)| policy);
    let mut rolling = sized(rolling.filter(|one| one.name != name).collect());
    let new = Sized {
        policy: candidate.new,
        bytes: candidate.bytes,
    };
    if candidate.is_rolled_out {
        rolling.push(new);
    } else {
        standing.retain(|one| one.policy.policy.name != name);
        standing.push(new);
    }
    for chosen in 0..1u32 << rolling.len() {
        let (mut enforced, mut watched) = (standing.clone(), Vec::new());
        for (bit, one) in rolling.iter().enumerate() {
            if chosen & 1 << bit == 0 {
                watched.push(one.clone());
            } else {
                enforced.retain(|other| other.policy.policy.name != one.policy.policy.name);
                enforced.push(one.clone());
            }
        }
        one_way(enforced, watched)?;
    }
    Ok(())
}

/// What is not enforced may be watched.
fn one_way(enforced: Vec<Sized>, watched: Vec<Sized>) -> Result<(), Error> {
    let bytes = enforced.iter().chain(&watched).map(|one| one.bytes).sum();
    if bytes > SOURCES_BYTES_MAX {
        return Err(Error::PoliciesTooLarge {
            bytes,
            max: SOURCES_BYTES_MAX,
        });
    }
    let policies = |all: Vec<Sized>| all.into_iter().map(|one| one.policy).collect::<Vec<_>>();
    policy::compile_beside(&policies(enforced), &policies(watched), None)
        .map(|_| ())
        .map_err(Error::PolicySet)
}

fn sized(stored: Vec<StoredPolicy>) -> Vec<Sized> {
    let each = stored.iter();
    let read = each.filter_map(|one| {
        let policy = read(one)?;
        Some(Sized {
            policy,
            bytes: one.source.len(),
        })
    });
    read.collect()
}

/// A stored revision; none where this version cannot read it any more, which is logged.
pub(super) fn read(stored: &StoredPolicy) -> Option<Versioned> {
    match policy::parse(&stored.source) {
        Ok(policy) => Some(Versioned {
            revision: stored.revision,
            policy,
        }),
        Err(findings) => {
            let first = findings.first();
            let first = first.map(ToString::to_string).unwrap_or_default();
            tracing::error!(policy = %stored.name, revision = %stored.revision, problem = first, "stored policy is unreadable");
            None
        }
    }
}

/// The revisions that count now, parsed.
#[derive(Debug, Default)]
pub struct PolicySet {
    standing: Vec<Versioned>,
    rolling: Vec<Versioned>,
}

impl PolicySet {
    /// Reads what is in force. One that this version cannot read any more still counts on the hosts that have it; it is
    /// named in the log and refused nowhere silently.
    pub(super) fn of(in_force: &InForce) -> Self {
        let rolling = in_force.rolling.iter().map(|(_, policy)| policy);
        Self {
            standing: in_force.standing.iter().filter_map(read).collect(),
            rolling: rolling.filter_map(read).collect(),
        }
    }

    /// Every revision that some host is to have: two of a policy that is being rolled out.
    pub fn iter(&self) -> impl Iterator<Item = &Policy> {
        self.versions().map(|one| &one.policy)
    }

    /// What hosts have where no roll-out says otherwise.
    pub(super) fn standing(&self) -> impl Iterator<Item = &Policy> {
        self.standing.iter().map(|one| &one.policy)
    }

    /// One of the revisions that count now.
    pub(super) fn find(&self, name: &PolicyName, revision: Revision) -> Option<&Policy> {
        self.versions()
            .find(|one| one.policy.name == *name && one.revision == revision)
            .map(|one| &one.policy)
    }

    fn versions(&self) -> impl Iterator<Item = &Versioned> {
        self.standing.iter().chain(&self.rolling)
    }
}
