//! One recorded decision, asked of the reference evaluator in every way in which it can have been.

use super::{
    Answer, Told, Why,
    reading::{Reading, readings},
};
use crate::{
    event::{Arguments, Decided, Recorded},
    id::{GroupName, UserName},
    key::PermissionRef,
    policy::{
        ArgCondition, Outcome, Policy, Rule, Scope, Target, Versioned,
        args::{self, Call, Clause, Fact, Met},
        case::{Beside, ask_of},
        explain::Explanation,
    },
    reason::Reason,
};

/// Things of one attempt that are not known and matter, each tried both ways: 64 answers, and more would say little.
const UNKNOWN_MAX: usize = 6;

/// Something that counts or does not.
enum Unknown {
    /// A policy, by its place
    Policy(usize, Why),
    /// A rule of the policy at that place, by its own
    Rule(usize, usize, Why),
}

impl Unknown {
    fn why(&self) -> &Why {
        match self {
            Self::Policy(_, why) | Self::Rule(_, _, why) => why,
        }
    }
}

/// One attempt, and what is known of it.
struct Attempt<'a> {
    decision: &'a Decided,
    user: &'a UserName,
    readings: Vec<Reading>,
    call: Call<'a>,
    /// Permissions of these policies that covered it
    grants: Vec<PermissionRef>,
    beside: Beside<'a>,
}

pub(super) fn judge(
    policies: &[Versioned],
    told: &Told,
    recorded: &Recorded,
) -> Result<Answer, Why> {
    let attempt = Attempt::of(policies, recorded)?;
    let (met, unknown) = attempt.met(policies, told)?;
    let answers = attempt.in_each_world(&met, &unknown)?;
    let first = answers.first().and_then(|world| world.first());
    let first = first.ok_or(Why::TooMuch)?;
    let outcome = Outcome::of(first);
    if answers
        .iter()
        .flatten()
        .any(|answer| Outcome::of(answer) != outcome)
    {
        return Err(dependence(&answers, &unknown));
    }
    let stops = matches!(outcome, Outcome::Deny | Outcome::Hold);
    let grantable = first
        .effect
        .is_some_and(crate::reason::Effect::is_grantable);
    if stops && grantable && recorded.decision.reason == Reason::Grant {
        return Err(Why::Grant);
    }
    Ok(Answer {
        outcome,
        reason: first.reason,
        rule: first.rule.as_ref().map(ToString::to_string),
    })
}

/// What the outcome depends on: the first unknown that makes a difference, or else what the call comprised.
fn dependence(answers: &[Vec<Explanation>], unknown: &[Unknown]) -> Why {
    let outcomes = |world: &Vec<Explanation>| world.iter().map(Outcome::of).collect::<Vec<_>>();
    let all: Vec<Vec<Outcome>> = answers.iter().map(outcomes).collect();
    let matters = |place: usize| {
        let other = |world: usize| all.get(world ^ (1 << place));
        let mut each = all.iter().enumerate();
        each.any(|(world, one)| other(world) != Some(one))
    };
    let mut each = unknown.iter().enumerate();
    each.find(|(place, _)| matters(*place))
        .map_or(Why::Operations, |(_, one)| one.why().clone())
}

impl<'a> Attempt<'a> {
    fn of(policies: &[Versioned], recorded: &'a Recorded) -> Result<Self, Why> {
        let decision = &recorded.decision;
        if is_no_policys(decision.reason) {
            return Err(Why::NoPolicy(decision.reason));
        }
        let user = decision.user.as_ref().ok_or(Why::Nameless)?;
        let known = |permission: &&PermissionRef| {
            let mut own = policies.iter().map(|one| &one.policy);
            own.any(|policy| {
                policy.name == permission.policy
                    && policy.permission(&permission.permission).is_some()
            })
        };
        let granted = decision.reason == Reason::Grant;
        let grants = decision.permission.iter().filter(|_| granted);
        Ok(Self {
            decision,
            user,
            readings: readings(decision)?,
            call: call(decision),
            grants: grants.filter(known).cloned().collect(),
            beside: Beside {
                time: Some(recorded.time),
                ..Beside::default()
            },
        })
    }

    /// The policies with what the attempt meets of them, and what is not known of that.
    fn met(
        &self,
        policies: &[Versioned],
        told: &Told,
    ) -> Result<(Vec<Versioned>, Vec<Unknown>), Why> {
        let (mut met, mut unknown) = (Vec::new(), Vec::new());
        for one in policies {
            let counts = self.counts(&one.policy, told);
            let narrowed = self.narrowed(&one.policy);
            let nothing = narrowed.rules.is_empty() && self.grants.is_empty();
            if counts == Counts::No || nothing {
                continue;
            }
            let place = met.len();
            for (index, rule) in narrowed.rules.iter().enumerate() {
                let why = self.unsure(narrowed.targets(rule));
                if let Some(why) = why.or_else(|| self.flagged(rule)) {
                    unknown.push(Unknown::Rule(place, index, why));
                }
            }
            // What a grant may have covered is not tried both ways.
            let with_values = self
                .grants
                .iter()
                .filter_map(|grant| narrowed.instance(grant));
            let plain = narrowed.permissions.iter().map(|one| one.targets.clone());
            for targets in plain.chain(with_values) {
                if let Some(why) = self.unsure(&targets) {
                    return Err(why);
                }
            }
            if let Counts::Perhaps(why) = counts {
                unknown.push(Unknown::Policy(place, why));
            }
            met.push(Versioned {
                revision: one.revision,
                policy: narrowed,
            });
        }
        Ok((met, unknown))
    }

    /// Without the rules that no reading can meet: they take no part, and the worlds stay small.
    fn narrowed(&self, policy: &Policy) -> Policy {
        let met = |rule: &&Rule| policy.targets(rule).iter().any(|one| self.is_on(one));
        let granted = |name: &crate::id::PermissionName| {
            let is = |one: &PermissionRef| one.policy == policy.name && one.permission == *name;
            self.grants.iter().any(is)
        };
        let rules = policy.rules.iter().filter(met).map(|rule| Rule {
            scope: Scope::All(policy.targets(rule).to_vec()),
            ..rule.clone()
        });
        let permissions = policy.permissions.iter();
        Policy {
            name: policy.name.clone(),
            mode: policy.mode,
            hosts: policy.hosts.clone(),
            subjects: policy.subjects.clone(),
            on_loss: policy.on_loss,
            // What has parameters is read with them.
            sets: policy.sets.clone(),
            profiles: policy.profiles.clone(),
            calendar: vec![],
            approvals: policy.approvals.clone(),
            permissions: permissions
                .filter(|one| granted(&one.name))
                .cloned()
                .collect(),
            rules: rules.collect(),
            tests: vec![],
        }
    }

    /// Whether some reading is an action of this set, if its conditions are met.
    fn is_on(&self, target: &Target) -> bool {
        let mut ends = self.readings.iter().flatten();
        ends.any(|(operations, object)| target.matches(*operations, object, 0) != Met::No)
    }

    /// What is not known of a set of actions that the attempt may be in.
    fn unsure(&self, targets: &[Target]) -> Option<Why> {
        let on_it = || targets.iter().filter(|target| self.is_on(target));
        let surest = on_it().map(|target| target.met(self.call)).max();
        if surest != Some(Met::Maybe) {
            return None;
        }
        let mut unsure = on_it().filter(|target| target.met(self.call) == Met::Maybe);
        unsure.find_map(|target| match target {
            Target::Exec { args, .. } => self.missing(args),
            _ => None,
        })
    }

    /// No event tells which flags were set; where a window counts they make no difference.
    fn flagged(&self, rule: &Rule) -> Option<Why> {
        let when = rule.when.as_ref()?;
        let unix = self.beside.time.map(|time| [time; 2]);
        let counts = when.met(unix, Some(&[])) == Met::Yes;
        when.flags
            .first()
            .filter(|_| !counts)
            .cloned()
            .map(Why::Flags)
    }

    /// What a condition asks for that is not known; nothing if it is *perhaps* for the kernel, too.
    fn missing(&self, args: &ArgCondition) -> Option<Why> {
        if self.decision.arguments == Arguments::None {
            return Some(Why::Mapped);
        }
        let missing = |clause: &Clause| {
            let why = match clause {
                Clause::Terminal(_) => Why::Terminal,
                Clause::Parent(_) | Clause::Ancestor(_) => Why::Lineage,
                Clause::Fact {
                    fact: Fact::Sha256(_),
                    ..
                } => Why::Hash,
                _ if self.decision.arguments == Arguments::Redacted => Why::Redacted,
                _ if self.decision.arguments == Arguments::Cut => Why::ArgumentsCut,
                _ => return None,
            };
            let alone = ArgCondition {
                clauses: vec![clause.clone()],
            };
            (alone.met(self.call) == Met::Maybe).then_some(why)
        };
        args.clauses.iter().find_map(missing)
    }

    fn counts(&self, policy: &Policy, told: &Told) -> Counts {
        let host = &self.decision.host;
        let labels = told.labels.get(host).or(told.everywhere.as_ref());
        let there = match labels {
            Some(labels) if policy.hosts.selects(labels) => Counts::Yes,
            Some(_) => Counts::No,
            None if policy.hosts.0.is_empty() => Counts::Yes,
            None => Counts::Perhaps(Why::Labels(host.clone())),
        };
        let subjects = &policy.subjects;
        let guarded = match told.groups.get(self.user) {
            groups if subjects.include(self.user, groups.into_iter().flatten()) => Counts::Yes,
            None if !subjects.groups.is_empty() => Counts::Perhaps(Why::Groups(self.user.clone())),
            _ => Counts::No,
        };
        match (guarded, there) {
            (Counts::No, _) | (_, Counts::No) => Counts::No,
            (Counts::Yes, there) => there,
            (guarded, _) => guarded,
        }
    }

    /// For each set of the unknown things that count, by its number in binary, what becomes of each reading.
    fn in_each_world(
        &self,
        met: &[Versioned],
        unknown: &[Unknown],
    ) -> Result<Vec<Vec<Explanation>>, Why> {
        if unknown.len() > UNKNOWN_MAX {
            let first = unknown.first().map(|one| one.why().clone());
            return Err(first.unwrap_or(Why::TooMuch));
        }
        let worlds = (0..1_usize << unknown.len()).map(|world| {
            let there = of_world(met, unknown, world);
            let groups: Vec<GroupName> = there
                .iter()
                .flat_map(|one| one.policy.subjects.groups.clone())
                .collect();
            let each = self.readings.iter();
            let ask = |reading: &Reading| {
                let beside = Beside {
                    grants: &self.grants,
                    ..self.beside
                };
                ask_of(&there, (self.user, &groups), reading, self.call, beside)
            };
            each.map(ask).collect()
        });
        Ok(worlds.collect())
    }
}

#[derive(PartialEq, Eq)]
enum Counts {
    Yes,
    No,
    Perhaps(Why),
}

/// The policies of one world: each guards the user there, and an unknown condition is met or its rule is not there.
fn of_world(met: &[Versioned], unknown: &[Unknown], world: usize) -> Vec<Versioned> {
    let mut there: Vec<Option<Versioned>> = met.iter().cloned().map(Some).collect();
    // From the last on, so that places stay what they are.
    for (place, one) in unknown.iter().enumerate().rev() {
        let counts = world & (1 << place) != 0;
        match one {
            Unknown::Policy(policy, _) if !counts => {
                if let Some(slot) = there.get_mut(*policy) {
                    *slot = None;
                }
            }
            Unknown::Policy(..) => {}
            Unknown::Rule(policy, rule, _) => {
                let Some(Some(one)) = there.get_mut(*policy) else {
                    continue;
                };
                if !counts {
                    one.policy.rules.remove(*rule);
                } else if let Some(rule) = one.policy.rules.get_mut(*rule) {
                    unconditional(rule);
                }
            }
        }
    }
    there.into_iter().flatten().collect()
}

fn unconditional(rule: &mut Rule) {
    if rule
        .when
        .as_ref()
        .is_some_and(|when| !when.flags.is_empty())
    {
        rule.when = None;
    }
    if let Scope::All(targets) = &mut rule.scope {
        for target in targets {
            if let Target::Exec { args, .. } = target {
                args.clauses.clear();
            }
        }
    }
}

/// What an event holds of the process.
fn call(decision: &Decided) -> Call<'_> {
    let arguments = match &decision.arguments {
        Arguments::Known(all) => args::Arguments::Known(all.get(1..).unwrap_or_default()),
        Arguments::Redacted | Arguments::Cut | Arguments::None => args::Arguments::Unknown,
    };
    Call {
        arguments,
        terminal: decision
            .terminal
            .filter(|_| decision.arguments != Arguments::None),
        ..Call::UNKNOWN
    }
}

/// What is denied whatever policies say.
fn is_no_policys(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::NoRecord
            | Reason::WalkFailed
            | Reason::ImageChanged
            | Reason::CapAuditControl
            | Reason::ArgsChanged
            | Reason::Unknown
    )
}
