//! Rules for what the defaults of policies in monitor mode would have stopped: a proposal for a person to read, and never
//! more.
//!
//! What was seen is allowed by its name; names become a directory only where many were seen in it, and never where a
//! stranger's name would be worth more than those. Whatever cannot be written, or would allow more than was seen, is left
//! out with its reason.

mod action;
mod directory;
mod rule;
#[cfg(test)]
mod tests;
mod write;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

pub use write::Proposal;

use self::action::{Action, actions};
use crate::{
    event::Recorded,
    id::{HostId, PolicyName, UserName},
    limits::LIST_MAX,
    policy::language::CLASSES,
    reason::Reason,
    time::UnixMs,
};

/// Distinct names in one directory from which on the directory is proposed: fewer can be read one by one, and a program
/// that makes up names has shown that it does.
pub const NAMES_MIN_DEFAULT: usize = 10;
/// Rules of one proposal: the first performance bar is set at so many, and nobody reads more.
const RULES_MAX: usize = 1_000;
/// Different actions that are kept while events are read; some 100 MiB of the longest paths there are.
const ACTIONS_MAX: usize = 20_000;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Name of the proposed policy
    pub name: PolicyName,
    /// Only from what this policy would have stopped
    pub from: Option<PolicyName>,
    /// Distinct names in one directory from which on it is proposed
    pub names_min: usize,
    /// Whether a program is allowed with its first argument only
    pub subcommands: bool,
}

/// Why something that was recorded is not proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Left {
    /// Its author wrote a rule against it
    Rule,
    /// A rule would allow it on whatever
    NoObject,
    /// The path is not whole, or is none
    Path,
    /// The language has no name for it
    Unnameable,
    /// What has headers of its own has no port, and some ports cannot be named
    Port,
    /// Only asked with subcommands
    Arguments,
    /// Only asked with subcommands: an option comes first
    OptionFirst,
    /// A policy names people
    Nameless,
    /// A policy names no more people
    Users,
    /// Beyond the bound
    TooMany,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rule => "a rule and no default would have stopped it, which no `allow` changes",
            Self::NoObject => "a rule on it would allow it on whatever object",
            Self::Path => "its path is not whole, or it has none",
            Self::Unnameable => "no rule can name it: it is no text, or too long",
            Self::Port => "it has no port that a rule can name",
            Self::Arguments => "its arguments were redacted or cut",
            Self::OptionFirst => "its arguments begin with an option, or with no word that a rule can name",
            Self::Nameless => "its host knew no name for the subject",
            Self::Users => "there are more users than one policy names; learn with --user",
            Self::TooMany => "there are more different actions than one proposal has; learn with --user or --host",
        })
    }
}

/// How often something was seen, by whom, where and when last.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Evidence {
    times: usize,
    last: UnixMs,
    users: BTreeSet<UserName>,
    hosts: BTreeSet<HostId>,
}

impl Evidence {
    fn none() -> Self {
        Self {
            times: 0,
            last: UnixMs(0),
            users: BTreeSet::new(),
            hosts: BTreeSet::new(),
        }
    }

    fn join(&mut self, other: &Self) {
        self.times = self.times.saturating_add(other.times);
        self.last = self.last.max(other.last);
        self.users.extend(other.users.iter().cloned());
        self.hosts.extend(other.hosts.iter().cloned());
    }
}

/// Reads events and keeps what is to be allowed.
#[derive(Clone, Debug)]
pub struct Learner {
    options: Options,
    seen: BTreeMap<Action, Evidence>,
    users: BTreeSet<UserName>,
    policies: BTreeSet<PolicyName>,
    learned: usize,
    left: BTreeMap<Left, usize>,
}

impl Learner {
    /// Begins with nothing.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            seen: BTreeMap::new(),
            users: BTreeSet::new(),
            policies: BTreeSet::new(),
            learned: 0,
            left: BTreeMap::new(),
        }
    }

    /// Learns from one decision; says whether it is among what will be allowed.
    pub fn add(&mut self, recorded: &Recorded) -> bool {
        let decision = &recorded.decision;
        let rule = decision.rule.as_ref();
        let wanted = self.options.from.as_ref();
        let meant = wanted.is_none() || rule.map(|rule| &rule.policy) == wanted;
        if decision.reason != Reason::WouldHave || !meant {
            return false;
        }
        match self.learn(recorded) {
            Ok(()) => {
                self.policies.extend(rule.map(|rule| rule.policy.clone()));
                self.learned = self.learned.saturating_add(1);
                true
            }
            Err(left) => {
                let count = self.left.entry(left).or_default();
                *count = count.saturating_add(1);
                false
            }
        }
    }

    /// What cannot be learned so far, and why.
    pub fn left(&self) -> &BTreeMap<Left, usize> {
        &self.left
    }

    fn learn(&mut self, recorded: &Recorded) -> Result<(), Left> {
        let decision = &recorded.decision;
        let rule = decision.rule.as_ref().map(|rule| rule.rule.as_str());
        if !rule.is_some_and(is_of_default) {
            return Err(Left::Rule);
        }
        let user = decision.user.as_ref().ok_or(Left::Nameless)?;
        let actions = actions(decision, self.options.subcommands)?;
        for action in &actions {
            if self.seen.contains_key(action) {
                continue;
            }
            if self.seen.len() >= ACTIONS_MAX {
                return Err(Left::TooMany);
            }
            // The language itself says what it can name.
            if !rule::can_be_written(action) {
                return Err(Left::Unnameable);
            }
        }
        if !self.users.contains(user) && self.users.len() >= LIST_MAX {
            return Err(Left::Users);
        }
        self.users.insert(user.clone());
        let evidence = Evidence {
            times: 1,
            last: recorded.time,
            users: BTreeSet::from([user.clone()]),
            hosts: BTreeSet::from([decision.host.clone()]),
        };
        for action in actions {
            let kept = self.seen.entry(action).or_insert_with(Evidence::none);
            kept.join(&evidence);
        }
        Ok(())
    }
}

/// What a default is called in events; no rule of such a policy has that id.
fn is_of_default(rule: &str) -> bool {
    let class = rule.strip_prefix("default-");
    class.is_some_and(|class| CLASSES.contains(&class))
}
