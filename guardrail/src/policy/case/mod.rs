//! Tests of a policy: what somebody attempts, and what has to become of it.
//!
//! Asks no host and knows no identities: paths are judged by name, as they are written.

mod account;
mod ask;
mod judge;
#[cfg(test)]
mod tests;

pub use account::{Account, Meeting, Situation, Way};
pub(super) use ask::ask_of;
pub use ask::{Beside, ask};
#[cfg(any(test, feature = "fuzz"))]
pub(super) use ask::{Lineage, leases};
pub use judge::{Judged, alone, failures, judge, on_host, problems, uncovered, unreached};

use std::fmt;

use super::{HostLabels, Place, args::Sha256};
use crate::{
    action::{Object, Operation},
    id::{FlagName, GroupName, PermissionName, RuleId, UserName},
    text::{Safe, safe_args},
    time::UnixMs,
    values::Values,
};

/// One test of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// What people call it
    pub name: Option<String>,
    /// Who acts
    pub user: UserName,
    /// Groups of the user on the host
    pub groups: Vec<GroupName>,
    /// What is attempted
    pub attempt: Attempt,
    /// What of this policy live grants carry
    pub grants: Vec<Carried>,
    /// Rules of this policy whose rates are used up
    pub used_up: Vec<RuleId>,
    /// Labels of the host, if they are known; else every policy counts there
    pub host: Option<HostLabels>,
    /// Flags that are set; a rule that counts while one is may count if nothing is said
    pub flags: Option<Vec<FlagName>>,
    /// When; a rule that does not always count may count if nothing is said
    pub time: Option<UnixMs>,
    /// What has to become of it
    pub expect: Outcome,
    /// The rule of this policy that has to decide
    pub rule: Option<RuleId>,
    /// Where it is written
    pub at: Place,
}

/// A permission of the policy that a live grant carries, with values where it has parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Its name
    pub permission: PermissionName,
    /// A value for each parameter that it uses
    pub values: Values,
}

/// `vault`, `restart(service=nginx)`.
impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.permission, self.values)
    }
}

/// What becomes of an attempt, as tests say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The call fails: by a `deny`, or by a `require-grant` that no grant covers
    Deny,
    /// The process stops until somebody answers
    Hold,
    /// It goes on and is counted, by a rule of effect `throttle` whose rate is not used up
    Throttle,
    /// It goes on, and a rule of effect `alert` decides that it is recorded
    Alert,
    /// It goes on by itself, by an `allow`, or because a grant covers it
    Allow,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Deny,
        Self::Hold,
        Self::Throttle,
        Self::Alert,
        Self::Allow,
    ];

    /// As policies write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Hold => "hold",
            Self::Throttle => "throttle",
            Self::Alert => "alert",
            Self::Allow => "allow",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One attempt, with all that is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Run a program
    Exec {
        /// The program
        path: String,
        /// What is known beside it
        execution: Execution,
    },
    /// Rename or link, from what is there to what is not there yet
    Ends {
        /// Which of the two
        operation: Operation,
        /// What is there
        from: String,
        /// What it will be
        to: String,
    },
    /// Everything else
    One {
        /// What the attempt comprises, at least one
        operations: Vec<Operation>,
        /// On what
        object: Object,
    },
}

/// What is known of an execution. What is left out is not known: it restricts and never permits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Execution {
    /// Behind `argv[0]`
    pub arguments: Vec<Vec<u8>>,
    /// Hash of the program
    pub sha256: Option<Sha256>,
    /// Whether the process has a terminal
    pub terminal: Option<bool>,
    /// What starts the program: makes the call, or forked the process that does; empty if nothing is said
    pub parents: Vec<String>,
    /// All that the process descends from, the nearest first; without `parents` the first of them starts the program
    pub ancestors: Option<Vec<String>>,
}

/// `exec /usr/bin/nc -h`, `create, write /etc/x`, `rename /a -> /b`, `connect 10.0.0.1:5432`, `ptrace`; safe to show.
impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exec { path, execution } => {
                write!(f, "exec {}", Safe(path.as_bytes()))?;
                if execution.arguments.is_empty() {
                    return Ok(());
                }
                write!(f, " {}", safe_args(&execution.arguments))
            }
            Self::Ends {
                operation,
                from,
                to,
            } => {
                let (from, to) = (Safe(from.as_bytes()), Safe(to.as_bytes()));
                write!(f, "{operation} {from} -> {to}")
            }
            Self::One { operations, object } => {
                let words: Vec<&str> = operations.iter().map(|one| one.as_str()).collect();
                f.write_str(&words.join(", "))?;
                match object.to_string() {
                    nothing if nothing.is_empty() => Ok(()),
                    object => write!(f, " {object}"),
                }
            }
        }
    }
}

impl Case {
    /// Its name, or what it attempts; safe to show.
    pub fn shown(&self) -> String {
        match &self.name {
            Some(name) => crate::text::safe(name),
            None => self.attempt.to_string(),
        }
    }
}
