//! The reference evaluator: what a set of policies means, said as simply as possible.
//!
//! It is the specification. It never shares code with the compiler or with `decide()`, so that their agreement
//! means something.

use stayhand_agent_ebpf::abi::code::op;

use super::{Mode, Rule, Versioned};
use crate::{
    action::Object,
    event::RuleRef,
    id::{GrantId, GroupName, UserName},
    key::PermissionRef,
    reason::{Effect, Reason, Verdict},
    time::DurationMs,
};

/// A lease with its deadlines on both clocks: it is over as soon as either has passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimedLease {
    /// The grant
    pub grant: GrantId,
    /// Whose it is
    pub user: UserName,
    /// What it permits
    pub permissions: Vec<PermissionRef>,
    /// Deadline on `CLOCK_BOOTTIME`
    pub boot_deadline_ns: u64,
    /// Deadline on `CLOCK_TAI`
    pub tai_deadline_ns: u64,
}

/// A name by which an object counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The object under that name
    pub object: Object,
    /// Components at the start of the path that a moved object or directory has from its label. Rules on
    /// directories above the label are those of the old place, and do not follow.
    pub anchor: usize,
}

impl From<Object> for Known {
    fn from(object: Object) -> Self {
        Self { object, anchor: 0 }
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Every policy of the host
    pub policies: &'a [Versioned],
    /// Every lease of the host
    pub leases: &'a [TimedLease],
    /// Who acts
    pub user: &'a UserName,
    /// Groups of the user on the host
    pub groups: &'a [GroupName],
    /// Operations of the attempt, as bits of `abi::code::op`
    pub operations: u32,
    /// The object, under every name by which it counts: what it is called now, and what it or a directory above
    /// it was called when the policies were installed
    pub objects: &'a [Known],
    /// `CLOCK_BOOTTIME`
    pub boot_ns: u64,
    /// `CLOCK_TAI`
    pub tai_ns: u64,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Explanation {
    /// What becomes of it; `Held` where it can be held
    pub verdict: Verdict,
    /// Why
    pub reason: Reason,
    /// Effect of the rule that decided
    pub effect: Option<Effect>,
    /// The rule that decided
    pub rule: Option<RuleRef>,
    /// What its policy tells the person
    pub message: Option<String>,
    /// How long a hold waits
    pub timeout: DurationMs,
    /// The permission of that rule
    pub permission: Option<PermissionRef>,
    /// Every live lease that covers the action, and through which permission; any of them may be named
    pub covering: Vec<(GrantId, PermissionRef)>,
    /// Whether it yields an event
    pub recorded: bool,
}

/// Answers a question.
pub fn explain(question: &Question<'_>) -> Explanation {
    let mut policies: Vec<&Versioned> = question
        .policies
        .iter()
        .filter(|one| guards(one, question))
        .collect();
    policies.sort_by(|a, b| a.policy.name.cmp(&b.policy.name));
    let matching: Vec<(&Versioned, &Rule)> = policies
        .iter()
        .flat_map(|one| one.policy.rules.iter().map(move |rule| (*one, rule)))
        .filter(|(one, rule)| {
            one.policy
                .targets(rule)
                .iter()
                .any(|target| meets(target, question))
        })
        .collect();
    let first = |effect: Effect, mode: Mode| {
        matching.iter().copied().find(|(one, rule)| {
            rule.effect == effect && (!effect.restricts() || one.policy.mode == mode)
        })
    };
    let covering = covering(&policies, question);
    let is_covered = !covering.is_empty();
    let enforced = |effect| first(effect, Mode::Enforce);
    let monitored = |effect| first(effect, Mode::Monitor);

    if let Some(by) = enforced(Effect::Deny) {
        return answer(Verdict::Denied, Reason::RuleDeny, Some(by), vec![]);
    }
    if let Some(by) = enforced(Effect::RequireGrant).or_else(|| enforced(Effect::Hold))
        && is_covered
    {
        return answer(Verdict::Allowed, Reason::Grant, Some(by), covering);
    }
    if let Some(by) = enforced(Effect::RequireGrant) {
        return answer(Verdict::Denied, Reason::NoGrant, Some(by), vec![]);
    }
    if let Some(by) = enforced(Effect::Hold) {
        return answer(Verdict::Held, Reason::HoldPending, Some(by), vec![]);
    }
    let would_have = monitored(Effect::Deny).or_else(|| {
        let unless_covered = monitored(Effect::RequireGrant).or_else(|| monitored(Effect::Hold));
        unless_covered.filter(|_| !is_covered)
    });
    if would_have.is_some() {
        return answer(Verdict::Allowed, Reason::WouldHave, would_have, vec![]);
    }
    if let Some(by) = first(Effect::Alert, Mode::Enforce) {
        return answer(Verdict::Allowed, Reason::RuleAlert, Some(by), vec![]);
    }
    let by = first(Effect::Allow, Mode::Enforce);
    let reason = if by.is_some() {
        Reason::RuleAllow
    } else {
        Reason::Default
    };
    answer(Verdict::Allowed, reason, by, vec![])
}

fn guards(one: &Versioned, question: &Question<'_>) -> bool {
    one.policy.subjects.include(question.user, question.groups)
}

fn meets(target: &super::Target, question: &Question<'_>) -> bool {
    question
        .objects
        .iter()
        .any(|known| target.matches(question.operations, &known.object, known.anchor))
}

/// A permission that does not name `create` permits no creation, although the open that comes with it is a write.
fn permits(target: &super::Target, operations: u32) -> bool {
    operations & op::CREATE == 0 || target.operations() & op::CREATE != 0
}

/// Live leases of the user on a permission to which the action belongs, of a policy that guards the user.
fn covering(policies: &[&Versioned], question: &Question<'_>) -> Vec<(GrantId, PermissionRef)> {
    let mut covering = Vec::new();
    for one in policies {
        for permission in &one.policy.permissions {
            if !permission
                .targets
                .iter()
                .any(|target| meets(target, question) && permits(target, question.operations))
            {
                continue;
            }
            let reference = PermissionRef {
                policy: one.policy.name.clone(),
                permission: permission.name.clone(),
            };
            let live = question.leases.iter().filter(|lease| {
                lease.user == *question.user
                    && lease.permissions.contains(&reference)
                    && question.boot_ns < lease.boot_deadline_ns
                    && question.tai_ns < lease.tai_deadline_ns
            });
            covering.extend(live.map(|lease| (lease.grant, reference.clone())));
        }
    }
    covering
}

fn answer(
    verdict: Verdict,
    reason: Reason,
    by: Option<(&Versioned, &Rule)>,
    covering: Vec<(GrantId, PermissionRef)>,
) -> Explanation {
    let rule = by.map(|(_, rule)| rule);
    let silent = matches!(reason, Reason::Default | Reason::RuleAllow)
        && !rule.is_some_and(|rule| rule.record);
    Explanation {
        verdict,
        reason,
        effect: rule.map(|rule| rule.effect),
        rule: by.map(|(one, rule)| RuleRef {
            policy: one.policy.name.clone(),
            revision: one.revision,
            rule: rule.id.clone(),
        }),
        message: rule.and_then(|rule| rule.message.clone()),
        timeout: rule.map_or(DurationMs(0), |rule| rule.timeout),
        permission: by.and_then(|(one, rule)| {
            let permission = rule.permission()?.clone();
            Some(PermissionRef {
                policy: one.policy.name.clone(),
                permission,
            })
        }),
        covering,
        recorded: !silent,
    }
}
