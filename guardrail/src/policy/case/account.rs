//! What is around an answer: which other rules an attempt meets and why they do not decide, and what would let it go on.
//!
//! Every answer in it is the reference evaluator's; this only asks it more often.

use super::{Attempt, Beside, Outcome, ask, ask::Lineage};
use crate::{
    action::Object,
    id::{FlagName, GroupName, PolicyName, RuleId, UserName},
    key::PermissionRef,
    policy::{
        Mode, Policy, Rule, Target, Versioned,
        args::{Clause, Met},
        explain::{Explanation, Known},
        floor,
    },
    reason::{Effect, Reason},
    time::UnixMs,
};

/// Who attempts what, with which grants, on a host with which policies.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// Every policy of the host
    pub policies: &'a [Versioned],
    /// Who acts
    pub user: &'a UserName,
    /// Groups of the user on the host
    pub groups: &'a [GroupName],
    /// What is attempted
    pub attempt: &'a Attempt,
    /// What live grants carry
    pub grants: &'a [PermissionRef],
    /// Rules whose rates are used up
    pub used_up: &'a [(PolicyName, RuleId)],
    /// When, if it is known
    pub time: Option<UnixMs>,
    /// Flags that are set, if that is known
    pub flags: Option<&'a [FlagName]>,
}

/// The account of one decision.
#[derive(Clone, Debug)]
#[must_use]
pub struct Account<'a> {
    /// The answer
    pub explanation: Explanation,
    /// In the words of tests
    pub outcome: Outcome,
    /// Whether some policy guards the user
    pub guarded: bool,
    /// The rule that decides
    pub by: Option<Meeting<'a>>,
    /// Other rules that the attempt meets, strictest first
    pub others: Vec<Meeting<'a>>,
    /// Whether the kernel has to ask the agent for a fact
    pub asks: bool,
    /// What would let it go on
    pub way: Way,
}

/// A rule that an attempt meets.
#[derive(Clone, Copy, Debug)]
pub struct Meeting<'a> {
    /// Its policy
    pub policy: &'a Policy,
    /// The rule
    pub rule: &'a Rule,
    /// False if it is met perhaps
    pub surely: bool,
}

/// What would let an attempt go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// It does
    Open,
    /// A grant of any one of these
    Any(Vec<PermissionRef>),
    /// Grants of all of these, and not of fewer
    All(Vec<PermissionRef>),
    /// No grant
    None,
}

impl<'a> Situation<'a> {
    /// Gives the account.
    pub fn account(&self) -> Account<'a> {
        let explanation = self.with(self.grants);
        let mut meetings = self.meetings();
        let decides = |one: &Meeting<'_>| {
            let by = explanation.rule.as_ref();
            by.is_some_and(|by| by.policy == one.policy.name && by.rule == one.rule.id)
        };
        let by = meetings.iter().position(decides);
        Account {
            outcome: Outcome::of(&explanation),
            guarded: self.guarding().next().is_some(),
            by: by.map(|index| meetings.remove(index)),
            others: meetings,
            asks: self.asks(),
            way: self.way(&explanation),
            explanation,
        }
    }

    fn with(&self, grants: &[PermissionRef]) -> Explanation {
        let (user, groups) = (self.user, self.groups);
        let beside = Beside {
            grants,
            used_up: self.used_up,
            time: self.time,
            flags: self.flags,
        };
        ask(self.policies, user, groups, self.attempt, beside)
    }

    fn guarding(&self) -> impl Iterator<Item = &'a Policy> {
        let (user, groups) = (self.user, self.groups);
        let policies = self.policies.iter().map(|one| &one.policy);
        policies.filter(move |policy| policy.subjects.include(user, groups))
    }

    /// In the order in which rules are looked at.
    fn meetings(&self) -> Vec<Meeting<'a>> {
        let mut found = Vec::new();
        for policy in self.guarding() {
            for rule in &policy.rules {
                let unix = self.time.map(|time| [time; 2]);
                let counts = rule
                    .when
                    .as_ref()
                    .map_or(Met::Yes, |when| when.met(unix, self.flags));
                let met = self.meets(policy.targets(rule)).min(counts);
                if met != Met::No {
                    found.push(Meeting {
                        policy,
                        rule,
                        surely: met == Met::Yes,
                    });
                }
            }
        }
        found.sort_by_key(|one| (rank(one.rule.effect), floor::order(one.policy)));
        found
    }

    fn meets(&self, targets: &[Target]) -> Met {
        let lineage = Lineage::of(self.attempt);
        let call = lineage.call();
        let ends = self.attempt.ends();
        let each = ends.into_iter().flat_map(|(operations, object)| {
            let Known { object, anchor } = object.into();
            targets.iter().map(move |target| {
                target
                    .matches(operations, &object, anchor)
                    .min(target.met(call))
            })
        });
        each.max().unwrap_or(Met::No)
    }

    /// Whether a rule or a permission on the program has a condition that only the agent can tell.
    fn asks(&self) -> bool {
        let asks = |target: &Target| match target {
            Target::Exec { args, .. } => {
                let fact = |clause: &Clause| matches!(clause, Clause::Fact { .. });
                args.clauses.iter().any(fact)
            }
            _ => false,
        };
        let on_it = |target: &Target| {
            let mut ends = self.attempt.ends().into_iter();
            ends.any(|(operations, object)| target.matches(operations, &object, 0) != Met::No)
        };
        let of_policy = |policy: &'a Policy| {
            let rules = policy.rules.iter().flat_map(|rule| policy.targets(rule));
            let permissions = policy.permissions.iter().flat_map(|one| &one.targets);
            rules.chain(permissions)
        };
        let mut targets = self.guarding().flat_map(of_policy);
        targets.any(|target| asks(target) && on_it(target))
    }

    fn way(&self, explanation: &Explanation) -> Way {
        if goes_on(explanation) {
            return Way::Open;
        }
        let covering: Vec<PermissionRef> = self
            .guarding()
            .flat_map(|policy| self.covering(policy))
            .collect();
        let lets = |more: &[PermissionRef]| goes_on(&self.with(&[self.grants, more].concat()));
        let any: Vec<PermissionRef> = covering
            .iter()
            .filter(|one| lets(std::slice::from_ref(one)))
            .cloned()
            .collect();
        if !any.is_empty() {
            Way::Any(any)
        } else if !covering.is_empty() && lets(&covering) {
            Way::All(needed(covering, lets))
        } else {
            Way::None
        }
    }
}

impl Situation<'_> {
    /// Permissions of a policy that contain something of the attempt; of those with parameters, with which values.
    fn covering(&self, policy: &Policy) -> Vec<PermissionRef> {
        let ends = self.attempt.ends();
        let objects: Vec<&Object> = ends.iter().map(|(_, object)| object).collect();
        let arguments = match self.attempt {
            Attempt::Exec { execution, .. } => execution.arguments.as_slice(),
            Attempt::Ends { .. } | Attempt::One { .. } => &[],
        };
        let each = policy.permissions.iter().flat_map(|permission| {
            if permission.template.is_some() {
                policy.guesses(permission, &objects, arguments)
            } else {
                vec![PermissionRef::plain(
                    policy.name.clone(),
                    permission.name.clone(),
                )]
            }
        });
        let covers = |reference: &PermissionRef| {
            let plain = policy.permission(&reference.permission);
            let targets = match policy.instance(reference) {
                Some(targets) => targets,
                None => plain.map_or(vec![], |one| one.targets.clone()),
            };
            self.meets(&targets) == Met::Yes
        };
        each.filter(covers).collect()
    }
}

/// Takes out what is not needed, the last first.
fn needed(
    mut all: Vec<PermissionRef>,
    lets: impl Fn(&[PermissionRef]) -> bool,
) -> Vec<PermissionRef> {
    for index in (0..all.len()).rev() {
        let mut fewer = all.clone();
        fewer.remove(index);
        if lets(&fewer) {
            all = fewer;
        }
    }
    all
}

fn goes_on(explanation: &Explanation) -> bool {
    !matches!(Outcome::of(explanation), Outcome::Deny | Outcome::Hold)
}

/// Strictest first.
fn rank(effect: Effect) -> usize {
    let place = Effect::ALL.iter().position(|one| *one == effect);
    place.unwrap_or(Effect::ALL.len())
}

impl Account<'_> {
    /// Why a rule that is met does not decide, in words.
    pub fn why_not(&self, other: &Meeting<'_>) -> String {
        let effect = other.rule.effect;
        if effect == Effect::Allow && !other.surely {
            return "it is met perhaps, and what may be met permits nothing".to_owned();
        }
        let monitors = other.policy.mode == Mode::Monitor && effect.restricts();
        if monitors && self.explanation.reason != Reason::WouldHave {
            return "its policy is in monitor mode".to_owned();
        }
        let Some(by) = &self.by else {
            return "it restricts nothing here".to_owned();
        };
        if effect.is_default()
            && !by.rule.effect.is_default()
            && self.explanation.reason != Reason::Grant
        {
            return "a rule says what becomes of it".to_owned();
        }
        let grantable = effect.is_grantable();
        let passed = self.explanation.reason == Reason::Grant || effect_before(effect, by);
        if grantable && passed {
            return "a grant covers it".to_owned();
        }
        if effect == by.rule.effect {
            "a rule of the same effect comes first".to_owned()
        } else {
            let first = by.rule.effect;
            format!("`{first}` comes before `{effect}`")
        }
    }
}

fn effect_before(effect: Effect, by: &Meeting<'_>) -> bool {
    rank(effect) < rank(by.rule.effect)
}
