//! Actions that two versions suggest, and what becomes of them in each.

mod witness;

use std::collections::{BTreeMap, BTreeSet};

use stayhand_agent_ebpf::abi::schedule::SCHEDULES_PER_SLOT;

use super::super::{
    Attempt, Outcome, Policy, Subjects, Versioned, When,
    case::{Beside, ask},
    explain::Explanation,
};
use crate::{
    id::{FlagName, GroupName, PolicyName, Revision, RuleId, UserName},
    key::PermissionRef,
    limits::{SAMPLES_MAX, TIMES_MAX},
    reason::Reason,
    time::UnixMs,
};
pub(in crate::policy) use witness::witnesses;

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
    /// Whether all rates of the policy are used up
    pub used_up: bool,
    /// When; nothing if it is the same at every time
    pub time: Option<UnixMs>,
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

/// Judges samples of both versions by both, with exactly these flags set; with none given, rules with flags may count.
pub fn samples(old: &Policy, new: &Policy, flags: Option<&[FlagName]>) -> Outcomes {
    let (mut attempts, mut without) = witnesses([old, new]);
    let (before, after) = (Side::of(old, flags), Side::of(new, flags));
    let counts = !before.used_up.is_empty() || !after.used_up.is_empty();
    let mut changed = Vec::new();
    let (times, left_out) = times([old, new]);
    without.extend(left_out);
    // Each is judged at each time.
    let most = SAMPLES_MAX / times.len().max(1);
    if attempts.len() > most {
        without.insert(format!("{} more actions", attempts.len() - most));
        attempts.truncate(most);
    }
    for kin in kin(&old.subjects, &new.subjects) {
        for attempt in &attempts {
            let differ = |with: With| {
                let each = times
                    .iter()
                    .map(|time| differs(&before, &after, &kin, attempt, with, *time));
                at_fewest(each.collect())
            };
            let plain = differ(With::Nothing);
            // A grant, or a rate, that changes nothing of it is no news.
            let is_news = |one: &Sample| {
                let same = |plain: &Sample| {
                    let outcomes = |sample: &Sample| (sample.before.0, sample.after.0);
                    outcomes(plain) == outcomes(one)
                };
                !plain.iter().any(same)
            };
            let others = [With::Grants, With::UsedUpRates].into_iter();
            let others = others.filter(|with| *with == With::Grants || counts);
            let others: Vec<Sample> = others.flat_map(differ).filter(is_news).collect();
            changed.extend(plain.into_iter().chain(others));
        }
    }
    Outcomes {
        changed,
        judged: attempts.len(),
        without,
    }
}

/// What counts beside the policy itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum With {
    Nothing,
    /// A grant of each permission
    Grants,
    /// Each rate is used up
    UsedUpRates,
}

/// One version as a host that has no other policy.
struct Side<'f> {
    host: [Versioned; 1],
    flags: Option<&'f [FlagName]>,
    grants: Vec<PermissionRef>,
    used_up: Vec<(PolicyName, RuleId)>,
}

impl<'f> Side<'f> {
    fn of(policy: &Policy, flags: Option<&'f [FlagName]>) -> Self {
        let plain = policy
            .permissions
            .iter()
            .map(|one| PermissionRef::plain(policy.name.clone(), one.name.clone()));
        // With values that some profile gives, those of the samples.
        let grants = plain.chain(policy.examples());
        let throttles = policy.rules.iter().filter(|rule| rule.rate.is_some());
        Self {
            grants: grants.collect(),
            flags,
            used_up: throttles
                .map(|rule| (policy.name.clone(), rule.id.clone()))
                .collect(),
            host: [Versioned {
                revision: Revision(0),
                policy: policy.clone(),
            }],
        }
    }

    fn judge(
        &self,
        kin: &Kin,
        attempt: &Attempt,
        with: With,
        time: Option<UnixMs>,
    ) -> (Outcome, Option<String>) {
        let (user, groups) = (&kin.user, &kin.groups);
        let mut beside = Beside {
            time,
            flags: self.flags,
            ..Beside::default()
        };
        match with {
            With::Nothing => {}
            With::Grants => beside.grants = &self.grants,
            With::UsedUpRates => beside.used_up = &self.used_up,
        }
        let answer = ask(&self.host, user, groups, attempt, beside);
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
    before: &Side<'_>,
    after: &Side<'_>,
    kin: &Kin,
    attempt: &Attempt,
    with: With,
    time: Option<UnixMs>,
) -> Option<Sample> {
    let before = before.judge(kin, attempt, with, time);
    let after = after.judge(kin, attempt, with, time);
    (before.0 != after.0).then(|| Sample {
        who: kin.who.clone(),
        others: kin.others,
        granted: with == With::Grants,
        used_up: with == With::UsedUpRates,
        action: attempt.to_string(),
        time,
        before,
        after,
    })
}

/// Times at which rules of either version count and do not; one of which nothing is said if all of them always count. And how
/// many were left out, in words.
fn times(versions: [&Policy; 2]) -> (Vec<Option<UnixMs>>, Option<String>) {
    let rules = versions.iter().flat_map(|policy| &policy.rules);
    let whens = rules.filter_map(|rule| rule.when.as_ref());
    let mut different: Vec<&When> = Vec::new();
    for when in whens {
        // A host has room for no more.
        if different.len() < SCHEDULES_PER_SLOT as usize && !different.contains(&when) {
            different.push(when);
        }
    }
    let mut times: BTreeSet<UnixMs> = different.into_iter().flat_map(When::examples).collect();
    if times.is_empty() {
        return (vec![None], None);
    }
    let all = times.len();
    while times.len() > TIMES_MAX {
        times.pop_last();
    }
    let left_out = all - times.len();
    let words =
        (left_out > 0).then(|| format!("{left_out} more times at which rules count or not"));
    (times.into_iter().map(Some).collect(), words)
}

/// One sample where it is the same at every time; else the first one of each kind, with its time.
fn at_fewest(each: Vec<Option<Sample>>) -> Vec<Sample> {
    let count = each.len();
    let mut kinds: Vec<(Sample, usize)> = Vec::new();
    for sample in each.into_iter().flatten() {
        let same = |(one, _): &&mut (Sample, usize)| {
            (&one.before, &one.after) == (&sample.before, &sample.after)
        };
        match kinds.iter_mut().find(same) {
            Some((_, times)) => *times += 1,
            None => kinds.push((sample, 1)),
        }
    }
    let all = |(sample, times): (Sample, usize)| Sample {
        time: if times == count { None } else { sample.time },
        ..sample
    };
    kinds.into_iter().map(all).collect()
}

/// Rules do not ask who acts, so that everybody whom the same versions guard meets the same.
fn kin(old: &Subjects, new: &Subjects) -> Vec<Kin> {
    let mut classes: BTreeMap<(bool, bool), Vec<Person>> = BTreeMap::new();
    let users = old.users.iter().chain(&new.users);
    let users = users.map(|user| (user.to_string(), user.clone(), vec![]));
    let services = old.services.iter().chain(&new.services);
    let services = services.map(|user| (format!("service {user}"), user.clone(), vec![]));
    let mut all: Vec<Person> = users.chain(services).collect();
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
