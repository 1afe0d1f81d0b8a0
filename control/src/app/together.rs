//! Whether hosts can enforce policies together, in every way in which one can have them while revisions are rolled out.

use std::collections::BTreeSet;

use stayhand_guardrail::{
    id::{PolicyName, Revision},
    key::PermissionRef,
    policy::{self, Policy, Versioned, compile::CompileError, compile_beside},
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
pub(super) async fn check(
    in_force: InForce,
    candidate: Candidate,
    granted: BTreeSet<PermissionRef>,
) -> Result<(), Error> {
    let name = candidate.new.policy.name.clone();
    let others = in_force.rolling.iter();
    let running = others.filter(|(rollout, _)| rollout.policy != name).count();
    if candidate.is_rolled_out && running >= ROLLOUTS_MAX {
        return Err(Error::TooManyRollouts(ROLLOUTS_MAX));
    }
    blocking(move || every_way(&in_force, candidate, &granted)).await?
}

fn every_way(
    in_force: &InForce,
    candidate: Candidate,
    granted: &BTreeSet<PermissionRef>,
) -> Result<(), Error> {
    let name = candidate.new.policy.name.clone();
    let mut standing = sized(&in_force.standing);
    let rolling = in_force.rolling.iter().map(|(_, policy)| policy);
    let mut rolling = sized(rolling.filter(|one| one.name != name));
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
    for (enforced, watched) in ways(&standing, &rolling, |one| &one.policy.policy.name) {
        one_way(enforced, watched, granted)?;
    }
    Ok(())
}

/// What a host can have: of each revision that is rolled out either it or the one before, and then it may be watched.
fn ways<'w, T: Clone>(
    standing: &'w [T],
    rolling: &'w [T],
    name: impl Fn(&T) -> &PolicyName + 'w,
) -> impl Iterator<Item = (Vec<T>, Vec<T>)> + 'w {
    (0..1u32 << rolling.len()).map(move |chosen| {
        let (mut enforced, mut watched) = (standing.to_vec(), Vec::new());
        for (bit, one) in rolling.iter().enumerate() {
            if chosen & 1 << bit == 0 {
                watched.push(one.clone());
            } else {
                enforced.retain(|other| name(other) != name(one));
                enforced.push(one.clone());
            }
        }
        (enforced, watched)
    })
}

/// What is not enforced may be watched.
fn one_way(
    enforced: Vec<Sized>,
    watched: Vec<Sized>,
    granted: &BTreeSet<PermissionRef>,
) -> Result<(), Error> {
    let bytes = enforced.iter().chain(&watched).map(|one| one.bytes).sum();
    if bytes > SOURCES_BYTES_MAX {
        return Err(Error::PoliciesTooLarge {
            bytes,
            max: SOURCES_BYTES_MAX,
        });
    }
    let policies = |all: Vec<Sized>| all.into_iter().map(|one| one.policy).collect::<Vec<_>>();
    compile_beside(&policies(enforced), &policies(watched), None, granted)
        .map(|_| ())
        .map_err(Error::PolicySet)
}

fn sized<'s>(stored: impl IntoIterator<Item = &'s StoredPolicy>) -> Vec<Sized> {
    let read = stored.into_iter().filter_map(|one| {
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

    /// Each policy once: as hosts have it that no roll-out has reached, or as one brings it that is new.
    pub(super) fn each(&self) -> impl Iterator<Item = &Policy> {
        let is_new = |one: &&Policy| self.standing().all(|other| other.name != one.name);
        let new = self.rolling.iter().map(|one| &one.policy).filter(is_new);
        self.standing().chain(new)
    }

    /// Whether hosts can enforce all of it with what grants carry, whichever revisions they have.
    pub(super) fn has_room_for(
        &self,
        granted: &BTreeSet<PermissionRef>,
    ) -> Result<(), Vec<CompileError>> {
        for (enforced, watched) in ways(&self.standing, &self.rolling, |one| &one.policy.name) {
            compile_beside(&enforced, &watched, None, granted)?;
        }
        Ok(())
    }

    /// Whether it is what is in force.
    pub(super) fn is_of(&self, in_force: &InForce) -> bool {
        let same = |set: &[Versioned], stored: &[&StoredPolicy]| {
            let is = |(one, stored): (&Versioned, &&StoredPolicy)| {
                one.policy.name == stored.name && one.revision == stored.revision
            };
            set.len() == stored.len() && set.iter().zip(stored).all(is)
        };
        let standing: Vec<_> = in_force.standing.iter().collect();
        let rolling: Vec<_> = in_force.rolling.iter().map(|(_, one)| one).collect();
        same(&self.standing, &standing) && same(&self.rolling, &rolling)
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
