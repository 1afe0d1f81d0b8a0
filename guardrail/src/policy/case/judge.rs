//! Whether a policy does what its tests say, and which of its rules they show.

use std::collections::BTreeSet;

use super::{Beside, Case, Outcome, ask};
use crate::{
    id::{PolicyName, Revision, RuleId},
    key::PermissionRef,
    limits::{DIAGNOSTICS_MAX, EXCERPT_BYTES_MAX},
    policy::{
        Diagnostic, HostLabels, Mode, Policy, Rule, Severity, Versioned, explain::Explanation,
    },
    reason::{Effect, Reason, Verdict},
    text::cut,
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

/// How many of a policy's tests fail where there is no other policy, and what is wrong with them.
pub fn alone(policy: &Policy) -> (usize, Vec<Diagnostic>) {
    let only = [Versioned {
        revision: Revision(0),
        policy: policy.clone(),
    }];
    let judged = judge(&only, 0);
    (failures(&judged), problems(&judged))
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
            .map(|one| PermissionRef {
                policy: policy.name.clone(),
                permission: one.permission.clone(),
                values: one.values.clone(),
            })
            .collect();
        let (user, groups) = (&case.user, &case.groups);
        let used_up: Vec<(PolicyName, RuleId)> = case
            .used_up
            .iter()
            .map(|rule| (policy.name.clone(), rule.clone()))
            .collect();
        let beside = Beside {
            grants: &grants,
            used_up: &used_up,
            time: case.time,
            flags: case.flags.as_deref(),
        };
        let of_host = case.host.as_ref().map(|labels| on_host(&host, labels));
        let there = of_host.as_deref().unwrap_or(&host);
        let explanation = ask(there, user, groups, &case.attempt, beside);
        Judged {
            case,
            outcome: Outcome::of(&explanation),
            explanation,
            policy,
            guarded: there
                .iter()
                .any(|one| one.policy.subjects.include(&case.user, &case.groups)),
        }
    });
    judged.collect()
}

/// Those of these policies that count on a host with these labels.
pub fn on_host(policies: &[Versioned], labels: &HostLabels) -> Vec<Versioned> {
    let counts = |one: &&Versioned| one.policy.hosts.selects(labels);
    policies.iter().filter(counts).cloned().collect()
}

impl Outcome {
    /// What an answer of the evaluator is in the words of tests.
    pub fn of(explanation: &Explanation) -> Self {
        match explanation.verdict {
            Verdict::Denied => Self::Deny,
            Verdict::Held => Self::Hold,
            Verdict::Allowed if explanation.reason == Reason::RuleAlert => Self::Alert,
            Verdict::Allowed if explanation.reason == Reason::WithinRate => Self::Throttle,
            Verdict::Allowed => Self::Allow,
        }
    }

    /// Whether a rule of this effect can decide so.
    pub(in crate::policy) fn can_come_of(self, effect: Effect) -> bool {
        match self {
            Self::Deny => matches!(
                effect,
                Effect::Deny | Effect::RequireGrant | Effect::DefaultDeny | Effect::Throttle
            ),
            Self::Hold => matches!(
                effect,
                Effect::Hold | Effect::DefaultHold | Effect::Throttle
            ),
            Self::Throttle => effect == Effect::Throttle,
            Self::Alert => effect == Effect::Alert,
            Self::Allow => effect.is_grantable() || effect == Effect::Allow,
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
            Reason::RateExceeded => format!("{rule}, whose rate is used up"),
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
        let name = cut(case.shown(), EXCERPT_BYTES_MAX);
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

/// What is wrong with these tests, as far as people read it.
pub fn problems(judged: &[Judged<'_>]) -> Vec<Diagnostic> {
    let problems = judged.iter().filter_map(Judged::problem);
    problems.take(DIAGNOSTICS_MAX).collect()
}

/// How many of these tests fail.
pub fn failures(judged: &[Judged<'_>]) -> usize {
    judged.iter().filter(|one| !one.passes()).count()
}

/// The rules that a policy says itself and that decide none of its tests.
pub fn unreached<'p>(policy: &'p Policy, judged: &[Judged<'_>]) -> Vec<&'p Rule> {
    let reached: BTreeSet<&RuleId> = judged.iter().filter_map(Judged::own_rule).collect();
    // What a preset says its own tests show.
    let own = policy.rules.iter().filter(|rule| !rule.included);
    own.filter(|rule| !reached.contains(&rule.id)).collect()
}

/// The same at their places; a policy without any test is one finding.
pub fn uncovered(policy: &Policy, judged: &[Judged<'_>], severity: Severity) -> Vec<Diagnostic> {
    let unreached = unreached(policy, judged);
    let finding = |rule: &Rule, message: String, remedy: &str| Diagnostic {
        severity,
        ..Diagnostic::warning(rule.at, rule.id.as_str(), message).suggest(remedy)
    };
    match unreached.first() {
        Some(first) if judged.is_empty() => {
            let count = unreached.len();
            let plural = if count == 1 { "" } else { "s" };
            let message =
                format!("the policy has no tests: nothing shows its {count} rule{plural}");
            vec![finding(first, message, "write some under `tests`")]
        }
        _ => {
            let each = unreached.into_iter().map(|rule| {
                let message = format!("rule `{}` decides no test", rule.id);
                finding(rule, message, "add a test of an action that it decides")
            });
            each.take(DIAGNOSTICS_MAX).collect()
        }
    }
}
