//! What becomes of attempts, by the reference evaluator, and what that says of a policy's tests.

use std::collections::BTreeSet;

use super::{Attempt, Case, Execution, Outcome};
use crate::{
    action::{Object, Operation},
    id::{GrantId, GroupName, RuleId, UserName},
    key::PermissionRef,
    policy::{
        Diagnostic, Mode, Policy, Versioned,
        args::{Arguments, Call, Programs},
        explain::{End, Explanation, Known, Question, TimedLease, explain},
    },
    reason::{Effect, Reason, Verdict},
};

/// A test and what became of it.
#[derive(Clone, Debug)]
#[must_use]
pub struct Judged<'p> {
    /// The test
    pub case: &'p Case,
    /// What became of it
    pub outcome: Outcome,
    /// Why
    pub explanation: Explanation,
    /// The policy that the test is in
    policy: &'p Policy,
    /// Whether some policy guards the user
    guarded: bool,
}

/// Judges the tests of one of these policies, as a host that has all of them decides.
///
/// The policy itself counts as if it enforced: what its tests say does not change on the day when `mode: monitor` goes.
pub fn judge(policies: &[Versioned], own: usize) -> Vec<Judged<'_>> {
    let mut host = policies.to_vec();
    let (Some(Versioned { policy, .. }), Some(enforced)) = (policies.get(own), host.get_mut(own))
    else {
        return vec![];
    };
    enforced.policy.mode = Mode::Enforce;
    let judged = policy.tests.iter().map(|case| {
        let grants: Vec<PermissionRef> = case
            .grants
            .iter()
            .map(|permission| PermissionRef {
                policy: policy.name.clone(),
                permission: permission.clone(),
            })
            .collect();
        let explanation = ask(&host, &case.user, &case.groups, &case.attempt, &grants);
        Judged {
            case,
            outcome: Outcome::of(&explanation),
            explanation,
            policy,
            guarded: host
                .iter()
                .any(|one| one.policy.subjects.include(&case.user, &case.groups)),
        }
    });
    judged.collect()
}

/// What becomes of an attempt while these permissions are granted.
pub fn ask(
    policies: &[Versioned],
    user: &UserName,
    groups: &[GroupName],
    attempt: &Attempt,
    grants: &[PermissionRef],
) -> Explanation {
    let lease = GrantId::from_halves([0, 1]).map(|grant| TimedLease {
        grant,
        user: user.clone(),
        permissions: grants.to_vec(),
        boot_deadline_ns: u64::MAX,
        tai_deadline_ns: u64::MAX,
    });
    let leases: Vec<TimedLease> = lease.into_iter().filter(|_| !grants.is_empty()).collect();
    let ends: Vec<(u32, [Known; 1])> = attempt
        .ends()
        .into_iter()
        .map(|(operations, object)| (operations, [Known::from(object)]))
        .collect();
    let lineage = Lineage::of(attempt);
    let call = lineage.call();
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
    })
}

impl Outcome {
    /// What an answer of the evaluator is in the words of tests.
    pub fn of(explanation: &Explanation) -> Self {
        match explanation.verdict {
            Verdict::Denied => Self::Deny,
            Verdict::Held => Self::Hold,
            Verdict::Allowed if explanation.reason == Reason::RuleAlert => Self::Alert,
            Verdict::Allowed => Self::Allow,
        }
    }

    /// Whether a rule of this effect can decide so.
    pub(in crate::policy) fn can_come_of(self, effect: Effect) -> bool {
        match self {
            Self::Deny => matches!(effect, Effect::Deny | Effect::RequireGrant),
            Self::Hold => effect == Effect::Hold,
            Self::Alert => effect == Effect::Alert,
            // A grant passes the two in the middle.
            Self::Allow => matches!(effect, Effect::RequireGrant | Effect::Hold | Effect::Allow),
        }
    }
}

impl Attempt {
    /// Operations and object at each end, as the kernel judges them: a rename takes a name away and makes one.
    fn ends(&self) -> Vec<(u32, Object)> {
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
struct Lineage<'a> {
    execution: Option<&'a Execution>,
    ancestors: Vec<String>,
}

impl<'a> Lineage<'a> {
    fn of(attempt: &'a Attempt) -> Self {
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

    fn call(&'a self) -> Call<'a> {
        let Some(known) = self.execution else {
            return Call::UNKNOWN;
        };
        let parents = self.ancestors.get(..known.parents.len().max(1));
        let parents = parents.map_or(Programs::UNKNOWN, |paths| Programs { paths, all: true });
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

impl Judged<'_> {
    /// Whether it is what the test expects.
    pub fn passes(&self) -> bool {
        self.outcome == self.case.expect && self.by_the_right_rule()
    }

    fn by_the_right_rule(&self) -> bool {
        let Some(wanted) = &self.case.rule else {
            return true;
        };
        self.own_rule() == Some(wanted)
    }

    /// The rule that decided, if it is one of the policy that the test is in.
    fn own_rule(&self) -> Option<&RuleId> {
        let by = self.explanation.rule.as_ref()?;
        (by.policy == self.policy.name).then_some(&by.rule)
    }

    /// Who decided, in words; safe to show.
    pub fn decided(&self) -> String {
        let explanation = &self.explanation;
        let Some(by) = &explanation.rule else {
            return if self.guarded {
                "no rule".to_owned()
            } else {
                format!("no policy guards {}", self.case.user)
            };
        };
        let rule = format!("{}/{}", by.policy, by.rule);
        match explanation.reason {
            Reason::NoGrant => format!("{rule}, without a grant"),
            Reason::WouldHave => format!("{rule}, in monitor mode"),
            Reason::Grant => match explanation.covering.first() {
                Some((_, permission)) => format!("{rule}, with a grant of {permission}"),
                None => rule,
            },
            _ => rule,
        }
    }

    /// What is wrong; nothing where the test passes.
    pub fn problem(&self) -> Option<Diagnostic> {
        if self.passes() {
            return None;
        }
        let case = self.case;
        let name = case.shown();
        let wanted = match &case.rule {
            Some(rule) => format!("{} ({}/{rule})", case.expect, self.policy.name),
            None => case.expect.to_string(),
        };
        let got = format!("{} ({})", self.outcome, self.decided());
        let message = format!("test `{name}` fails: expected {wanted}, got {got}");
        let error = Diagnostic::error(case.at, &name, message);
        Some(match self.remedy() {
            Some(remedy) => error.suggest(remedy),
            None => error,
        })
    }

    fn remedy(&self) -> Option<String> {
        if !self.guarded {
            return Some(
                "name one of the user's groups that a policy guards: `groups: [dev]`".into(),
            );
        }
        let by = self.explanation.rule.as_ref()?;
        if by.policy != self.policy.name {
            return Some(format!("policy `{}` comes first here", by.policy));
        }
        let rule = self.policy.rules.iter().find(|rule| rule.id == by.rule)?;
        Some(format!("rule `{}` is in line {}", rule.id, rule.at.line))
    }
}

/// The rules of a policy that decide none of its tests, as warnings at their places.
pub fn unreached(policy: &Policy, judged: &[Judged<'_>]) -> Vec<Diagnostic> {
    let reached: BTreeSet<&RuleId> = judged.iter().filter_map(Judged::own_rule).collect();
    let rules = policy.rules.iter();
    let warnings = rules
        .filter(|rule| !reached.contains(&rule.id))
        .map(|rule| {
            let message = format!("rule `{}` decides no test", rule.id);
            let warning = Diagnostic::warning(rule.at, rule.id.as_str(), message);
            warning.suggest("add a test of an action that it decides")
        });
    warnings.collect()
}
