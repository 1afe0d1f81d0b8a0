//! What changes from one version of a policy to another: what it says, in words of actions, and what becomes of actions.
//!
//! The second is tried and not proven: the evaluator judges samples that both versions suggest, and what no sample stands for
//! is not seen. What no sample could be made of is named.

mod sample;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeSet;

#[cfg(any(test, feature = "fuzz"))]
pub(super) use sample::witnesses;
pub use sample::{Outcomes, Sample, samples};

use super::{Approval, Mode, Permission, Policy, Profile, Rule, Subjects};
pub(super) use words::atoms;
use words::{rule_words, stages};

/// One difference in what is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it is about: `rule no-netcat`
    pub subject: String,
    /// Whether it is new, gone or another
    pub kind: Kind,
    /// In words, each beginning with `+`, `-` or a name; safe to show
    pub lines: Vec<String>,
}

/// What became of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is new
    Added,
    /// It is gone
    Removed,
    /// It says something else
    Changed,
}

/// Everything that the two say differently: mode, subjects, permissions, profiles, approvals, rules.
pub fn changes(old: &Policy, new: &Policy) -> Vec<Change> {
    let mut changes = Vec::new();
    let guarded = set_lines(&subjects(&old.subjects), &subjects(&new.subjects));
    let of_policy = [
        ("name", turned("", old.name.as_str(), new.name.as_str())),
        ("mode", turned("", mode(old.mode), mode(new.mode))),
        (
            "hosts",
            turned("", &old.hosts.to_string(), &new.hosts.to_string()),
        ),
        ("subjects", guarded),
        (
            "on loss",
            turned("", &old.on_loss.to_string(), &new.on_loss.to_string()),
        ),
    ];
    for (subject, lines) in of_policy.into_iter().filter(|(_, lines)| !lines.is_empty()) {
        changes.push(Change {
            subject: subject.to_owned(),
            kind: Kind::Changed,
            lines,
        });
    }
    let name = |one: &Permission| format!("permission {}", one.name);
    let says = |_: &Policy, one: &Permission| match &one.template {
        Some(template) => template.words(),
        None => one.targets.iter().flat_map(atoms).collect(),
    };
    let same = |_: &Permission, _: &Permission| vec![];
    let permissions = (old.permissions.as_slice(), new.permissions.as_slice());
    changes.extend(compared((old, new), permissions, name, says, same));
    let name = |one: &Profile| format!("profile {}", one.name);
    let says = |_: &Policy, one: &Profile| one.words().into_iter().collect();
    let same = |_: &Profile, _: &Profile| vec![];
    let profiles = (old.profiles.as_slice(), new.profiles.as_slice());
    changes.extend(compared((old, new), profiles, name, says, same));
    let name = |one: &Approval| format!("approval {}", one.plan.name);
    let says = |_: &Policy, one: &Approval| stages(one);
    let same = |_: &Approval, _: &Approval| vec![];
    let approvals = (old.approvals.as_slice(), new.approvals.as_slice());
    changes.extend(compared((old, new), approvals, name, says, same));
    let name = |one: &Rule| format!("rule {}", one.id);
    let says = |policy: &Policy, one: &Rule| policy.targets(one).iter().flat_map(atoms).collect();
    let rules = (old.rules.as_slice(), new.rules.as_slice());
    changes.extend(compared((old, new), rules, name, says, rule_changes));
    changes
}

/// What two lists of named things say differently.
fn compared<T>(
    (old, new): (&Policy, &Policy),
    (before, after): (&[T], &[T]),
    name: impl Fn(&T) -> String,
    says: impl Fn(&Policy, &T) -> BTreeSet<String>,
    beside: impl Fn(&T, &T) -> Vec<String>,
) -> Vec<Change>
where
    T: Described,
{
    let mut changes = Vec::new();
    let find = |list: &'_ [T], wanted: &str| list.iter().position(|one| name(one) == wanted);
    for one in before {
        let subject = name(one);
        let Some(other) = find(after, &subject).and_then(|index| after.get(index)) else {
            changes.push(Change {
                subject,
                kind: Kind::Removed,
                lines: [one.described(), signed('-', &says(old, one))].concat(),
            });
            continue;
        };
        let actions = set_lines(&says(old, one), &says(new, other));
        let lines = [beside(one, other), actions].concat();
        if !lines.is_empty() {
            changes.push(Change {
                subject,
                kind: Kind::Changed,
                lines,
            });
        }
    }
    for one in after {
        let subject = name(one);
        if find(before, &subject).is_none() {
            changes.push(Change {
                subject,
                kind: Kind::Added,
                lines: [one.described(), signed('+', &says(new, one))].concat(),
            });
        }
    }
    changes
}

/// What is said of it beside its actions.
trait Described {
    fn described(&self) -> Vec<String>;
}

impl Described for Permission {
    fn described(&self) -> Vec<String> {
        vec![]
    }
}

impl Described for Profile {
    fn described(&self) -> Vec<String> {
        vec![]
    }
}

impl Described for Approval {
    fn described(&self) -> Vec<String> {
        vec![]
    }
}

impl Described for Rule {
    fn described(&self) -> Vec<String> {
        rule_words(self)
            .into_iter()
            .filter(|(_, says)| !says.is_empty())
            .map(|(what, says)| format!("{what}: {says}"))
            .collect()
    }
}

fn rule_changes(old: &Rule, new: &Rule) -> Vec<String> {
    let pairs = rule_words(old).into_iter().zip(rule_words(new));
    pairs
        .flat_map(|((what, before), (_, after))| turned(what, &before, &after))
        .collect()
}

fn turned(what: &str, before: &str, after: &str) -> Vec<String> {
    if before == after {
        return vec![];
    }
    let shown = |text: &str| {
        if text.is_empty() {
            "none".to_owned()
        } else {
            text.to_owned()
        }
    };
    let label = if what.is_empty() {
        String::new()
    } else {
        format!("{what}: ")
    };
    vec![format!("{label}{} -> {}", shown(before), shown(after))]
}

fn signed(sign: char, lines: &BTreeSet<String>) -> Vec<String> {
    lines.iter().map(|line| format!("{sign} {line}")).collect()
}

fn set_lines(before: &BTreeSet<String>, after: &BTreeSet<String>) -> Vec<String> {
    let gone = before.difference(after).cloned().collect();
    let come = after.difference(before).cloned().collect();
    [signed('-', &gone), signed('+', &come)].concat()
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "enforce",
        Mode::Monitor => "monitor",
    }
}

fn subjects(subjects: &Subjects) -> BTreeSet<String> {
    let groups = subjects.groups.iter().map(|one| format!("group {one}"));
    let users = subjects.users.iter().map(|one| format!("user {one}"));
    let services = subjects.services.iter().map(|one| format!("service {one}"));
    groups.chain(users).chain(services).collect()
}
