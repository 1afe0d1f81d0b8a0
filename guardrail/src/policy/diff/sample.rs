//! Actions that two versions suggest, and what becomes of them in each.

mod witness;

use std::collections::{BTreeMap, BTreeSet};

use super::super::{
    Attempt, Outcome, Policy, Subjects, Versioned, case::ask, explain::Explanation,
};
use crate::{
    id::{GroupName, Revision, UserName},
    key::PermissionRef,
    reason::Reason,
};
use witness::witnesses;

/// What becomes of all samples.
#[derive(Clone, Debug)]
pub struct Outcomes {
    /// Those that change
    pub changed: Vec<Sample>,
    /// How many actions were judged
    pub judged: usize,
    /// What no action was made of, in words: expressions that are no plain text, and what is beyond the bound
    pub without: BTreeSet<String>,
}

/// An action whose outcome changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Who acts: a user, or somebody in a group
    pub who: String,
    /// How many other users and groups it is the same for
    pub others: usize,
    /// Whether all permissions of the policy are granted
    pub granted: bool,
    /// What is attempted; safe to show
    pub action: String,
    /// What became of it, and by which rule
    pub before: (Outcome, Option<String>),
    /// What becomes of it, and by which rule
    pub after: (Outcome, Option<String>),
}

/// What people call it, and who it is.
type Person = (String, UserName, Vec<GroupName>);

/// People whom the two versions guard alike.
struct Kin {
    who: String,
    others: usize,
    user: UserName,
    groups: Vec<GroupName>,
}

/// Judges samples of both versions by both.
pub fn samples(old: &Policy, new: &Policy) -> Outcomes {
    let (attempts, without) = witnesses([old, new]);
    let (before, after) = (Side::of(old), Side::of(new));
    let mut changed = Vec::new();
    for kin in kin(&old.subjects, &new.subjects) {
        for attempt in &attempts {
            let plain = differs(&before, &after, &kin, attempt, false);
            let granted = differs(&before, &after, &kin, attempt, true);
            // A grant that changes nothing of it is no news.
            let same = |one: &Sample| {
                plain.as_ref().is_some_and(|plain| {
                    (plain.before.0, plain.after.0) == (one.before.0, one.after.0)
                })
            };
            let granted = granted.filter(|one| !same(one));
            changed.extend(plain.clone().into_iter().chain(granted));
        }
    }
    Outcomes {
        changed,
        judged: attempts.len(),
        without,
    }
}

/// One version as a host that has no other policy.
struct Side {
    host: [Versioned; 1],
    grants: Vec<PermissionRef>,
}

impl Side {
    fn of(policy: &Policy) -> Self {
        let grants = policy.permissions.iter().map(|one| PermissionRef {
            policy: policy.name.clone(),
            permission: one.name.clone(),
        });
        Self {
            grants: grants.collect(),
            host: [Versioned {
                revision: Revision(0),
                policy: policy.clone(),
            }],
        }
    }

    fn judge(&self, kin: &Kin, attempt: &Attempt, granted: bool) -> (Outcome, Option<String>) {
        let grants = if granted { self.grants.as_slice() } else { &[] };
        let answer = ask(&self.host, &kin.user, &kin.groups, attempt, grants);
        (Outcome::of(&answer), by(&answer))
    }
}

fn by(answer: &Explanation) -> Option<String> {
    let rule = answer.rule.as_ref()?.rule.to_string();
    Some(match answer.reason {
        Reason::WouldHave => format!("{rule}, in monitor mode"),
        _ => rule,
    })
}

fn differs(
    before: &Side,
    after: &Side,
    kin: &Kin,
    attempt: &Attempt,
    granted: bool,
) -> Option<Sample> {
    let before = before.judge(kin, attempt, granted);
    let after = after.judge(kin, attempt, granted);
    (before.0 != after.0).then(|| Sample {
        who: kin.who.clone(),
        others: kin.others,
        granted,
        action: attempt.to_string(),
        before,
        after,
    })
}

/// Rules do not ask who acts, so that everybody whom the same versions guard meets the same.
fn kin(old: &Subjects, new: &Subjects) -> Vec<Kin> {
    let mut classes: BTreeMap<(bool, bool), Vec<Person>> = BTreeMap::new();
    let users = old.users.iter().chain(&new.users);
    let mut all: Vec<Person> = users
        .map(|user| (user.to_string(), user.clone(), vec![]))
        .collect();
    // Nobody's name: it only has to be none that a version names.
    let free = (0..=all.len()).map(|number| format!("somebody{number}"));
    let mut free = free.filter_map(|name| UserName::new(name).ok());
    let somebody = free.find(|name| all.iter().all(|(_, user, _)| user != name));
    let groups = old.groups.iter().chain(&new.groups);
    let members = groups.filter_map(|group| {
        let user = somebody.clone()?;
        Some((format!("group {group}"), user, vec![group.clone()]))
    });
    all.extend(members);
    for one in all {
        let (_, user, groups) = &one;
        let class = (old.include(user, groups), new.include(user, groups));
        let members = classes.entry(class).or_default();
        if members.iter().all(|(who, _, _)| *who != one.0) {
            members.push(one);
        }
    }
    let kin = classes.into_values().filter_map(|members| {
        let others = members.len().saturating_sub(1);
        let (who, user, groups) = members.into_iter().next()?;
        Some(Kin {
            who,
            others,
            user,
            groups,
        })
    });
    kin.collect()
}
