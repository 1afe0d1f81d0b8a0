//! What an event holds of one decision, for judging the same attempt once more.
//!
//! Says of everything that an event can lack whether it does. Never fills in what is missing.

use super::{DecisionEvent, Event, EventKind, RuleRef};
use crate::{
    action::{Object, Operation},
    id::{HostId, UserName},
    key::PermissionRef,
    reason::{Reason, Verdict},
    sensitivity::Sensitivity,
    time::UnixMs,
};

/// One recorded decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// When
    pub time: UnixMs,
    /// What
    pub decision: Decided,
}

/// The same without its time: equal ones are one thing that happened several times.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decided {
    /// Where
    pub host: HostId,
    /// Login uid of who acted
    pub auid: u32,
    /// Name, if the host knew one
    pub user: Option<UserName>,
    /// What the attempt was named after
    pub operation: Operation,
    /// On what; what is asked of the kernel is the operation's own
    pub object: Object,
    /// Whether the object's path did not fit
    pub object_cut: bool,
    /// Of an execution
    pub arguments: Arguments,
    /// Whether the process had a terminal, if that is known
    pub terminal: Option<bool>,
    /// What became of it
    pub verdict: Verdict,
    /// Why
    pub reason: Reason,
    /// The rule that decided
    pub rule: Option<RuleRef>,
    /// What that rule said of how much depends on it
    pub sensitivity: Option<Sensitivity>,
    /// The permission that covered it, or would have
    pub permission: Option<PermissionRef>,
}

/// Arguments of a recorded execution, `argv[0]` among them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Arguments {
    /// All of them
    Known(Vec<Vec<u8>>),
    /// Some were hidden before they left the host
    Redacted,
    /// Some are missing
    Cut,
    /// The attempt is no execution
    None,
}

impl Recorded {
    /// What an event holds; nothing of an event that is no decision.
    pub fn of(event: &Event) -> Option<Self> {
        let EventKind::Decision(decision) = &event.kind else {
            return None;
        };
        Some(Self {
            time: event.time,
            decision: Decided::of(event, decision),
        })
    }
}

#[cfg(test)]
impl Decided {
    /// Alice's, on db1, with a terminal, that an alert let through.
    pub(crate) fn of_alice(operation: Operation, object: Object) -> Self {
        Self {
            host: "db1".parse().unwrap(),
            auid: 1000,
            user: Some("alice".parse().unwrap()),
            operation,
            object,
            object_cut: false,
            arguments: Arguments::None,
            terminal: Some(true),
            verdict: Verdict::Allowed,
            reason: Reason::RuleAlert,
            rule: None,
            sensitivity: None,
            permission: None,
        }
    }

    /// An execution of these words.
    pub(crate) fn with_arguments(mut self, words: &[&str]) -> Self {
        let all = words.iter().map(|word| word.as_bytes().to_vec());
        self.arguments = Arguments::Known(all.collect());
        self
    }
}

impl Decided {
    fn of(event: &Event, decision: &DecisionEvent) -> Self {
        let process = &decision.process;
        let arguments = match decision.operation {
            Operation::Exec if process.args_cut || process.args.is_empty() => Arguments::Cut,
            Operation::Exec if decision.args_redacted != 0 => Arguments::Redacted,
            Operation::Exec => Arguments::Known(process.args.clone()),
            _ => Arguments::None,
        };
        let session = decision.subject.session;
        Self {
            host: event.host.clone(),
            auid: decision.subject.auid,
            user: decision.subject.user.clone(),
            operation: decision.operation,
            object: plain(decision.operation, &decision.object),
            object_cut: decision.object_cut,
            arguments,
            // An event has the terminal with the session only.
            terminal: session.map(|_| process.tty.is_some()),
            verdict: decision.verdict,
            reason: decision.reason,
            rule: decision.rule.clone(),
            sensitivity: decision.rule_sensitivity(),
            permission: decision.permission.clone(),
        }
    }
}

/// No rule looks at what is asked of the kernel, or at whose process it is.
fn plain(operation: Operation, object: &Object) -> Object {
    if has_object(operation) {
        object.clone()
    } else {
        Object::Request {
            words: String::new(),
        }
    }
}

/// Whether rules look at what such an operation is about.
pub(super) fn has_object(operation: Operation) -> bool {
    use crate::action::Class;
    !matches!(operation, Operation::Raw | Operation::Netlink) && operation.class() != Class::System
}
