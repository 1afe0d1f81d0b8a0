//! One attempt as the reference evaluator takes it: the operations at each end, and what is known of the process.

use super::{Attempt, Execution};
use crate::{
    action::{Object, Operation},
    id::{FlagName, GrantId, GroupName, PolicyName, RuleId, UserName},
    key::PermissionRef,
    policy::{
        Versioned,
        args::{Arguments, Call, Programs},
        explain::{End, Explanation, Known, Question, TimedLease, explain},
    },
    time::UnixMs,
};

/// What counts at the moment of an attempt.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beside<'a> {
    /// What live grants carry
    pub grants: &'a [PermissionRef],
    /// Rules whose rates are used up
    pub used_up: &'a [(PolicyName, RuleId)],
    /// The time, if it is known
    pub time: Option<UnixMs>,
    /// Flags that are set, if that is known
    pub flags: Option<&'a [FlagName]>,
}

/// What becomes of an attempt.
pub fn ask(
    policies: &[Versioned],
    user: &UserName,
    groups: &[GroupName],
    attempt: &Attempt,
    beside: Beside<'_>,
) -> Explanation {
    let lineage = Lineage::of(attempt);
    ask_of(
        policies,
        (user, groups),
        &attempt.ends(),
        lineage.call(),
        beside,
    )
}

/// What becomes of an attempt of these operations at each end, by such a process.
pub(in crate::policy) fn ask_of(
    policies: &[Versioned],
    (user, groups): (&UserName, &[GroupName]),
    ends: &[(u32, Object)],
    call: Call<'_>,
    beside: Beside<'_>,
) -> Explanation {
    let leases = leases(user, beside.grants);
    let ends: Vec<(u32, [Known; 1])> = ends
        .iter()
        .map(|(operations, object)| (*operations, [Known::from(object.clone())]))
        .collect();
    let ends: Vec<End<'_>> = ends
        .iter()
        .map(|(operations, objects)| End {
            operations: *operations,
            objects,
            call,
        })
        .collect();
    explain(&Question {
        policies,
        leases: &leases,
        user,
        groups,
        ends: &ends,
        boot_ns: 0,
        tai_ns: 0,
        unix: beside.time.map(|time| [time; 2]),
        used_up: beside.used_up,
        flags: beside.flags,
    })
}

/// One grant of these permissions that does not end; none of no permissions.
pub(in crate::policy) fn leases(user: &UserName, grants: &[PermissionRef]) -> Vec<TimedLease> {
    let lease = GrantId::from_halves([0, 1]).map(|grant| TimedLease {
        grant,
        user: user.clone(),
        permissions: grants.to_vec(),
        boot_deadline_ns: u64::MAX,
        tai_deadline_ns: u64::MAX,
    });
    lease.into_iter().filter(|_| !grants.is_empty()).collect()
}

impl Attempt {
    /// Operations and object at each end, as the kernel judges them: a rename takes a name away and makes one.
    pub(in crate::policy) fn ends(&self) -> Vec<(u32, Object)> {
        let bits = |operations: &[Operation]| operations.iter().fold(0, |all, one| all | one.bit());
        let path = |path: &str| Object::Path {
            bytes: path.as_bytes().to_vec(),
        };
        match self {
            Self::Exec { path: program, .. } => vec![(Operation::Exec.bit(), path(program))],
            Self::Ends {
                operation,
                from,
                to,
            } => {
                let there = bits(&[*operation, Operation::Create]);
                let here = match operation {
                    Operation::Rename => bits(&[*operation, Operation::Delete]),
                    other => other.bit(),
                };
                vec![(there, path(to)), (here, path(from))]
            }
            Self::One { operations, object } => vec![(bits(operations), object.clone())],
        }
    }
}

/// What an execution descends from, in the form in which the evaluator takes it.
pub(in crate::policy) struct Lineage<'a> {
    execution: Option<&'a Execution>,
    ancestors: Vec<String>,
}

impl<'a> Lineage<'a> {
    pub(in crate::policy) fn of(attempt: &'a Attempt) -> Self {
        let execution = match attempt {
            Attempt::Exec { execution, .. } => Some(execution),
            Attempt::Ends { .. } | Attempt::One { .. } => None,
        };
        let ancestors = execution.map_or_else(Vec::new, |known| {
            let others = known.ancestors.iter().flatten();
            known.parents.iter().chain(others).cloned().collect()
        });
        Self {
            execution,
            ancestors,
        }
    }

    pub(in crate::policy) fn call(&'a self) -> Call<'a> {
        let Some(known) = self.execution else {
            return Call::UNKNOWN;
        };
        let parents = self.ancestors.get(..known.parents.len().max(1));
        let parents = Programs {
            paths: parents.unwrap_or_default(),
            // What descends from nothing was started by nothing.
            all: parents.is_some() || known.ancestors.is_some(),
        };
        Call {
            arguments: Arguments::Known(&known.arguments),
            sha256: known.sha256,
            terminal: known.terminal,
            parents,
            ancestors: Programs {
                paths: &self.ancestors,
                all: known.ancestors.is_some(),
            },
        }
    }
}
