//! What something is done to, as policies see it. Knows no store: use cases say what they have found.

use std::fmt;

use stayhand_guardrail::{
    event::{DecisionEvent, Door},
    hold::Hold,
    id::{FlagName, GrantId, HoldId, HostId, PolicyName, UserName},
    policy::HostLabels,
    sensitivity::Sensitivity,
    time::DurationMs,
};

/// One thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// The control plane as a whole
    Control,
    /// A host
    Host {
        /// Its name
        name: HostId,
        /// What it says that it is
        labels: HostLabels,
    },
    /// A policy, whichever revision
    Policy {
        /// Its name
        name: PolicyName,
        /// The highest of its rules
        sensitivity: Option<Sensitivity>,
    },
    /// A grant, or what would be one
    Grant(Box<GrantResource>),
    /// A hold
    Hold {
        /// Which
        id: HoldId,
        /// Because of what, of whom, where
        of: Box<RuleResource>,
    },
    /// A flag, set or not
    Flag {
        /// Its name
        name: FlagName,
    },
    /// A lock, or what would be one
    Lock(Box<LockResource>),
    /// Arguments of a process
    Arguments(Box<RuleResource>),
    /// A session over the network, or what would be one
    Session {
        /// Whose
        user: UserName,
        /// Through which door
        door: Door,
    },
    /// A token with which a program acts for somebody, or what would be one
    Token(Box<TokenResource>),
}

/// A lock, or what would be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockResource {
    /// About whom; empty = everybody
    pub subject: String,
    /// Where; empty = everywhere
    pub host: String,
    /// What that says that it is
    pub labels: HostLabels,
}

/// A token, or what would be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenResource {
    /// For whom it acts
    pub user: UserName,
    /// What it may do at most
    pub actions: Vec<String>,
    /// For how long in all
    pub duration: DurationMs,
}

/// A grant, or what would be one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrantResource {
    /// Which; none where it is yet to be issued
    pub id: Option<GrantId>,
    /// For whom
    pub subject: String,
    /// `POLICY/PERMISSION`, without values
    pub permissions: Vec<String>,
    /// Of which policies
    pub policies: Vec<String>,
    /// `POLICY/PROFILE`, if it was asked for by one
    pub profile: Option<String>,
    /// Where; empty = everywhere
    pub hosts: Vec<HostId>,
    /// For how long in all
    pub duration: DurationMs,
    /// The highest of the rules that ask for one of its permissions
    pub sensitivity: Option<Sensitivity>,
}

/// What a rule decided about somebody on a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleResource {
    /// The policy; empty where no rule decided
    pub policy: String,
    /// The rule; empty where none did
    pub rule: String,
    /// What it says of how much depends on it
    pub sensitivity: Option<Sensitivity>,
    /// Whom it was about
    pub subject: String,
    /// Whether that is a name, and no uid of whom the host knows none
    pub is_named: bool,
    /// Where
    pub host: HostId,
    /// What that says that it is
    pub labels: HostLabels,
}

impl RuleResource {
    /// Of a hold.
    pub fn of_hold(hold: &Hold, labels: &HostLabels) -> Self {
        Self {
            policy: hold.rule.policy.to_string(),
            rule: hold.rule.rule.to_string(),
            sensitivity: hold.sensitivity,
            subject: hold.subject.shown(),
            is_named: hold.subject.user.is_some(),
            host: hold.host.clone(),
            labels: labels.clone(),
        }
    }

    /// Of somebody about whom no rule decided.
    pub fn of_no_rule(subject: String, host: &HostId, labels: &HostLabels) -> Self {
        Self {
            policy: String::new(),
            rule: String::new(),
            sensitivity: None,
            subject,
            is_named: false,
            host: host.clone(),
            labels: labels.clone(),
        }
    }

    /// Of a recorded decision on a host.
    pub fn of_decision(decision: &DecisionEvent, host: &HostId, labels: &HostLabels) -> Self {
        let rule = decision.rule.as_ref();
        Self {
            policy: rule.map_or_else(String::new, |rule| rule.policy.to_string()),
            rule: rule.map_or_else(String::new, |rule| rule.rule.to_string()),
            sensitivity: decision.rule_sensitivity(),
            subject: decision.subject.shown(),
            is_named: decision.subject.user.is_some(),
            host: host.clone(),
            labels: labels.clone(),
        }
    }
}

impl fmt::Display for GrantResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(id) = self.id {
            return write!(f, "grant `{id}` of `{}`", self.subject);
        }
        let carried = self.permissions.join("`, `");
        write!(f, "a grant of `{carried}` to `{}`", self.subject)
    }
}

/// For people, as part of a sentence.
impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Control => f.write_str("the control plane"),
            Self::Host { name, .. } => write!(f, "host `{name}`"),
            Self::Policy { name, .. } => write!(f, "policy `{name}`"),
            Self::Grant(grant) => write!(f, "{grant}"),
            Self::Hold { id, of } => {
                write!(f, "hold `{id}` of rule `{}/{}`", of.policy, of.rule)
            }
            Self::Flag { name } => write!(f, "flag `{name}`"),
            Self::Lock(lock) => match (lock.subject.as_str(), lock.host.as_str()) {
                (user, "") => write!(f, "a lock on `{user}`"),
                ("", host) => write!(f, "a lock on host `{host}`"),
                (user, host) => write!(f, "a lock on `{user}` on host `{host}`"),
            },
            Self::Session { user, door } => {
                write!(f, "a session of `{user}` ({})", door.as_str())
            }
            Self::Token(token) => write!(f, "a token that acts for `{}`", token.user),
            Self::Arguments(of) => write!(f, "arguments of `{}` on host `{}`", of.subject, of.host),
        }
    }
}
