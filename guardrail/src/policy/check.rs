//! Warnings: what a policy says that its author probably did not mean. Never refuses anything.

use super::{
    Approval, Cidr, Diagnostic, NamedSet, PathPattern, Periods, Permission, Policy, PortRange,
    Profile, Ranges, Rule, Scope, Target,
    args::{ArgCondition, Clause},
    profile::Parameter,
};
use crate::{
    action::Operation,
    approval::{Approver, Stage},
    reason::Effect,
};

/// Comparisons of two paths or ranges that the search for shadowed rules makes; bounds it to some 100 ms. A
/// policy beyond that gets the warnings found so far.
const COMPARISONS_MAX: usize = 2_000_000;

/// Warnings about a policy, in document order.
pub fn check(policy: &Policy) -> Vec<Diagnostic> {
    let mut warnings: Vec<Diagnostic> = Vec::new();
    // What is included has been looked at where it was written.
    let own = || policy.rules.iter().filter(|rule| !rule.included);
    for rule in own() {
        warnings.extend(denies_identity(policy, rule));
        warnings.extend(cannot_be_granted(policy, rule));
        warnings.extend(cannot_be_held(policy, rule));
        warnings.extend(escalates_too_late(policy, rule));
        warnings.extend(stops_libraries(policy, rule));
        warnings.extend(lets_nothing_start(policy, rule));
        warnings.extend(sensitive_and_unseen(rule));
    }
    warnings.extend(
        own()
            .flat_map(|rule| [slipped_past(policy, rule), started_in_between(policy, rule)])
            .flatten(),
    );
    warnings.extend(policy.permissions.iter().filter_map(given_by_an_argument));
    warnings.extend(policy.sets.iter().filter_map(unused));
    warnings.extend(policy.calendar.iter().filter_map(unused_period));
    warnings.extend(policy.approvals.iter().filter_map(unused_approval));
    warnings.extend(
        policy
            .approvals
            .iter()
            .filter_map(|one| given_by_nobody(policy, one)),
    );
    warnings.extend(policy.approvals.iter().filter_map(escalates_when_over));
    warnings.extend(has_time_for_nothing(policy));
    warnings.extend(
        policy
            .profiles
            .iter()
            .flat_map(|one| for_nothing(policy, one)),
    );
    if policy.profiles.is_empty() {
        warnings.extend(policy.permissions.iter().filter_map(only_text));
    }
    warnings.extend(shadowed(policy));
    warnings.sort_by_key(|warning| warning.at);
    warnings
}

/// An `allow` that is not recorded yields nothing that its sensitivity could be said of.
fn sensitive_and_unseen(rule: &Rule) -> Option<Diagnostic> {
    let unseen = rule.effect == Effect::Allow && !rule.record;
    rule.sensitivity.filter(|_| unseen).map(|sensitivity| {
        let message = format!(
            "rule `{}` is of sensitivity `{sensitivity}`, and nobody ever sees it: an `allow` yields no event",
            rule.id
        );
        let warning = Diagnostic::warning(rule.at, rule.id.as_str(), message);
        warning.suggest("have it recorded (`record: true`), or take `sensitivity` out")
    })
}

/// Denying an executable stops that object, not the program in it.
fn denies_identity(policy: &Policy, rule: &Rule) -> Option<Diagnostic> {
    let by_identity = |target: &Target| match target {
        Target::Exec { paths, .. } => paths.iter().any(|path| !path.is_below()),
        _ => false,
    };
    let denied = rule.effect == Effect::Deny && policy.targets(rule).iter().any(by_identity);
    denied.then(|| {
        let message = format!(
            "rule `{}` denies a program by where it is: a copy elsewhere runs",
            rule.id
        );
        let warning = Diagnostic::warning(rule.at, rule.id.as_str(), message);
        warning.suggest("put a rule on the file or the address that the program is wanted for, too")
    })
}

/// Directories from which loaders of ordinary distributions map libraries.
pub(super) const LIBRARIES: [&str; 5] =
    ["/usr/lib", "/lib", "/usr/lib64", "/lib64", "/usr/local/lib"];

/// Whether a library right in one of these directories is meant.
fn is_with_libraries(path: &PathPattern) -> bool {
    let library = |directory: &&str| path.matches(format!("{directory}/l.so").as_bytes(), 0);
    LIBRARIES.iter().any(library)
}

/// Whether only what is below one of these directories is meant.
fn is_among_libraries(path: &PathPattern) -> bool {
    let all = LIBRARIES.iter();
    let mut below = all.filter_map(|directory| PathPattern::parse(&format!("{directory}/**")).ok());
    below.any(|below| below.covers(path))
}

/// Whoever maps a library executable runs it, and nobody knows with which arguments and for whom, which restricts; its
/// hash can be known.
fn stops_libraries(policy: &Policy, rule: &Rule) -> Option<Diagnostic> {
    let stops = |target: &Target| match target {
        Target::Exec { paths, args, .. } => {
            unknown_of_a_mapping(args) && paths.iter().any(is_with_libraries)
        }
        _ => false,
    };
    let stopped = rule.effect.restricts() && policy.targets(rule).iter().any(stops);
    stopped.then(|| {
        let message = format!(
            "rule `{}` restricts every program that maps a library there: of a mapping neither arguments nor \
             process are known",
            rule.id
        );
        let warning = Diagnostic::warning(rule.at, rule.id.as_str(), message);
        warning.suggest("name the programs, or their directory, without the libraries")
    })
}

/// Programs read their libraries and map them; what no rule allows is not to be forgotten there, of all places.
fn lets_nothing_start(policy: &Policy, rule: &Rule) -> Option<Diagnostic> {
    if !rule.effect.is_default() {
        return None;
    }
    let operations = policy.targets(rule).iter();
    let operations = operations.fold(0, |bits, target| bits | target.operations());
    let needed = operations & (Operation::MapExec.bit() | Operation::Read.bit());
    let permits = |rule: &&Rule| matches!(rule.effect, Effect::Allow | Effect::Alert);
    let mut permitted = 0;
    for target in policy
        .rules
        .iter()
        .filter(permits)
        .flat_map(|rule| policy.targets(rule))
    {
        if let Target::Exec { paths, .. } | Target::File { paths, .. } = target
            && paths
                .iter()
                .any(|path| is_with_libraries(path) || is_among_libraries(path))
        {
            permitted |= target.operations();
        }
    }
    let missing = [Operation::MapExec, Operation::Read]
        .into_iter()
        .find(|operation| needed & operation.bit() & !permitted != 0)?;
    let message = format!(
        "no rule allows to `{missing}` libraries: with `{}` no dynamically linked program starts",
        rule.id
    );
    let warning = Diagnostic::warning(rule.at, rule.id.as_str(), message);
    Some(warning.suggest(
        "allow `file: { ops: [read, map-exec], path: [/usr/lib/**, /usr/lib64/**] }`, and what else they need",
    ))
}

fn unknown_of_a_mapping(args: &ArgCondition) -> bool {
    let of_file =
        |clause: &Clause| matches!(clause, Clause::Fact { fact, .. } if fact.is_of_file());
    // One that is surely not met restricts nothing, whatever the others are.
    !args.clauses.is_empty() && !args.clauses.iter().any(of_file)
}

/// Whether a rule restricts executions by such a demand.
fn restricts_by(policy: &Policy, rule: &Rule, such: impl Fn(&Clause) -> bool) -> bool {
    let demands = |target: &Target| match target {
        Target::Exec { args, .. } => args.clauses.iter().any(&such),
        _ => false,
    };
    rule.effect.restricts() && policy.targets(rule).iter().any(demands)
}

/// An option more, and the list is another one.
fn slipped_past(policy: &Policy, rule: &Rule) -> Option<Diagnostic> {
    let lists = |clause: &Clause| matches!(clause, Clause::Exact { .. });
    restricts_by(policy, rule, lists).then(|| {
        let message = format!(
            "rule `{}` restricts exactly these arguments: one option more and it does not apply",
            rule.id
        );
        let warning = Diagnostic::warning(rule.at, rule.id.as_str(), message);
        warning.suggest("use `subcommand`, `anyArg` or `option`; `args` is for permissions")
    })
}

/// With a shell in between, it is the shell that starts the program.
fn started_in_between(policy: &Policy, rule: &Rule) -> Option<Diagnostic> {
    let parents = |clause: &Clause| matches!(clause, Clause::Parent(_));
    restricts_by(policy, rule, parents).then(|| {
        let message = format!(
            "rule `{}` restricts what these programs start themselves: with a shell in between it does not apply",
            rule.id
        );
        let warning = Diagnostic::warning(rule.at, rule.id.as_str(), message);
        warning.suggest("use `ancestor`; `parent` is for permissions")
    })
}

/// Whoever may choose the arguments chooses to have a permission that asks for one of them.
fn given_by_an_argument(permission: &Permission) -> Option<Diagnostic> {
    let asks = |target: &Target| match target {
        Target::Exec { args, .. } => {
            args.clauses.iter().any(Clause::is_on_arguments)
                && !args
                    .clauses
                    .iter()
                    .any(|clause| matches!(clause, Clause::Subcommand(_) | Clause::Exact { .. }))
        }
        _ => false,
    };
    permission.sampled().iter().any(asks).then(|| {
        let message = format!(
            "permission `{}` covers every command that has one of its arguments anywhere",
            permission.name
        );
        let warning = Diagnostic::warning(permission.at, permission.name.as_str(), message);
        warning.suggest("name the `subcommand` that may be run, too")
    })
}

/// Whoever asks for it gives a value that changes nothing.
fn for_nothing(policy: &Policy, profile: &Profile) -> Vec<Diagnostic> {
    let allowed = || {
        let all = policy.permissions.iter();
        all.filter(|one| profile.allow.contains(&one.name))
    };
    let unused = profile
        .parameters
        .iter()
        .filter(|parameter| !allowed().any(|one| one.uses().any(|name| *name == parameter.name)));
    let warning = |parameter: &Parameter| {
        let name = &parameter.name;
        let message = format!(
            "parameter `{name}` of profile `{}` is used by no permission that it allows",
            profile.name
        );
        let warning = Diagnostic::warning(parameter.at, name.as_str(), message);
        warning.suggest(format!("use it: `${{{name}}}`, or take it out"))
    };
    unused.map(warning).collect()
}

/// Looks like a parameter, and nobody can give it a value.
fn only_text(permission: &Permission) -> Option<Diagnostic> {
    let texts = permission.targets.iter().flat_map(super::diff::atoms);
    let mut texts = texts.filter(|text| text.contains("${"));
    texts.next().map(|_| {
        let message = format!(
            "permission `{}` has `${{`, which is text: the policy has no profiles",
            permission.name
        );
        let warning = Diagnostic::warning(permission.at, permission.name.as_str(), message);
        warning.suggest("define a profile that allows it and has the parameter, or take it out")
    })
}

/// A set that is named nowhere cuts nobody off.
fn unused(set: &NamedSet) -> Option<Diagnostic> {
    (!set.used).then(|| {
        let message = format!("no rule and no permission names set `{}`", set.name);
        let warning = Diagnostic::warning(set.at, set.name.as_str(), message);
        warning.suggest(format!("name it: `to: [{}]`, or take it out", set.name))
    })
}

/// A period that is named nowhere freezes nothing.
fn unused_period(periods: &Periods) -> Option<Diagnostic> {
    (!periods.used).then(|| {
        let message = format!("no rule names period `{}`", periods.name);
        let warning = Diagnostic::warning(periods.at, periods.name.as_str(), message);
        warning.suggest(format!(
            "name it: `when: {{ windows: [{}] }}`, or take it out",
            periods.name
        ))
    })
}

/// An approval that is named nowhere asks nobody.
fn unused_approval(approval: &Approval) -> Option<Diagnostic> {
    let name = &approval.plan.name;
    (!approval.used).then(|| {
        let message = format!("no rule names approval `{name}`");
        let warning = Diagnostic::warning(approval.at, name.as_str(), message);
        warning.suggest(format!("name it: `approval: {name}`, or take it out"))
    })
}

/// Whom a policy guards is no operator on that host, and nobody approves for himself.
fn given_by_nobody(policy: &Policy, approval: &Approval) -> Option<Diagnostic> {
    let guarded = |approver: &Approver| match approver {
        Approver::User(user) => policy.subjects.include(user, []),
        Approver::Group(group) => policy.subjects.groups.contains(group),
        Approver::OnCall(_) | Approver::Manager => false,
    };
    let asks_the_guarded = |stage: &&Stage| {
        let escalated = stage.escalation.iter().flat_map(|one| &one.to);
        stage.of.iter().chain(escalated).all(guarded)
    };
    let mut numbered = approval.plan.stages.iter().zip(1..);
    let (stage, number): (_, u32) = numbered.find(|(stage, _)| asks_the_guarded(stage))?;
    let name = &approval.plan.name;
    let message = format!(
        "stage {number} of approval `{name}` asks only whom the policy guards ({stage}): they cannot approve on a host \
         where they are guarded, and nobody approves for himself"
    );
    let warning = Diagnostic::warning(approval.at, name.as_str(), message);
    Some(warning.suggest("name somebody else, too"))
}

/// What is over before it escalates never does.
fn escalates_too_late(policy: &Policy, rule: &Rule) -> Option<Diagnostic> {
    let plan = policy.approval(rule)?;
    let late = |stage: &&Stage| {
        let escalation = stage.escalation.as_ref();
        escalation.is_some_and(|one| one.after >= rule.timeout)
    };
    let stage = plan.stages.iter().find(late)?;
    let after = stage.escalation.as_ref()?.after;
    let message = format!(
        "rule `{}` waits {} and approval `{}` escalates after {after}: nobody is ever asked in addition",
        rule.id, rule.timeout, plan.name
    );
    let warning = Diagnostic::warning(rule.at, rule.id.as_str(), message);
    Some(warning.suggest("give the rule a longer `timeout`, or have it escalate sooner"))
}

/// What is over by the rule's time is never over by its own. One warning for each place: `default` and what a preset holds
/// are several rules, and whoever includes it says who approves.
fn has_time_for_nothing(policy: &Policy) -> Vec<Diagnostic> {
    let rules = policy.rules.iter();
    let mut warnings: Vec<Diagnostic> = rules
        .filter_map(|rule| is_over_first(policy, rule))
        .collect();
    warnings.sort_by_key(|warning| warning.at);
    warnings.dedup_by_key(|warning| warning.at);
    warnings
}

fn is_over_first(policy: &Policy, rule: &Rule) -> Option<Diagnostic> {
    let plan = policy.approval(rule)?;
    let mut numbered = plan.stages.iter().zip(1..);
    let (timeout, number): (_, u32) = numbered.find_map(|(stage, number)| {
        let timeout = stage.timeout.filter(|one| *one >= rule.timeout)?;
        Some((timeout, number))
    })?;
    let message = format!(
        "rule `{}` waits {} for all stages together and stage {number} of approval `{}` has {timeout}: the rule's time is over \
         first, and the stage's counts for nothing",
        rule.id, rule.timeout, plan.name
    );
    let warning = Diagnostic::warning(rule.at, rule.id.as_str(), message);
    Some(warning.suggest("give the rule a longer `timeout`, or the stage a shorter one"))
}

/// What is refused when it escalates never does.
fn escalates_when_over(approval: &Approval) -> Option<Diagnostic> {
    let name = &approval.plan.name;
    let mut numbered = approval.plan.stages.iter().zip(1..);
    let (after, timeout, number): (_, _, u32) = numbered.find_map(|(stage, number)| {
        let (after, timeout) = (stage.escalation.as_ref()?.after, stage.timeout?);
        (after >= timeout).then_some((after, timeout, number))
    })?;
    let message = format!(
        "stage {number} of approval `{name}` has {timeout} and escalates after {after}: nobody is ever asked in addition"
    );
    let warning = Diagnostic::warning(approval.at, name.as_str(), message);
    Some(warning.suggest("give the stage a longer `timeout`, or have it escalate sooner"))
}

fn cannot_be_granted(policy: &Policy, rule: &Rule) -> Option<Diagnostic> {
    let Scope::Inline(target) = &rule.scope else {
        return None;
    };
    if rule.effect != Effect::RequireGrant {
        return None;
    }
    let permitted: u32 = policy
        .permissions
        .iter()
        .flat_map(Permission::sampled)
        .filter(|other| overlaps(other, target))
        .fold(0, |operations, other| operations | other.operations());
    if target.operations() & !permitted == 0 {
        return None;
    }
    let message = format!(
        "rule `{}` requires a grant, but no permission of this policy covers its actions",
        rule.id
    );
    let warning = Diagnostic::warning(rule.at, rule.id.as_str(), message);
    Some(
        warning
            .suggest("define the actions under `permissions` and name the permission in the rule"),
    )
}

/// Operations for which no call can be stopped and issued again with an approval that is bound to it.
pub const NEVER_HELD: [Operation; 6] = [
    Operation::Bpf,
    Operation::PerfEvent,
    Operation::Firmware,
    Operation::Kexec,
    Operation::Swap,
    Operation::Reboot,
];

/// What is held and cannot be is denied.
fn cannot_be_held(policy: &Policy, rule: &Rule) -> Option<Diagnostic> {
    if !rule.holds() {
        return None;
    }
    let held = policy
        .targets(rule)
        .iter()
        .fold(0, |bits, target| bits | target.operations());
    let never: Vec<String> = NEVER_HELD
        .into_iter()
        .filter(|operation| held & operation.bit() != 0)
        .map(|operation| format!("`{operation}`"))
        .collect();
    if never.is_empty() {
        return None;
    }
    let message = format!(
        "rule `{}` holds {}, which no call can wait for: it is denied unless a grant covers it",
        rule.id,
        never.join(", ")
    );
    let warning = Diagnostic::warning(rule.at, rule.id.as_str(), message);
    Some(warning.suggest("use `require-grant` for it"))
}

fn overlaps(a: &Target, b: &Target) -> bool {
    if a.operations() & b.operations() == 0 {
        return false;
    }
    let paths = |a: &[PathPattern], b: &[PathPattern]| {
        a.iter()
            .any(|a| b.iter().any(|b| a.covers(b) || b.covers(a)))
    };
    match (a, b) {
        (Target::Exec { paths: a, .. }, Target::Exec { paths: b, .. })
        | (Target::File { paths: a, .. }, Target::File { paths: b, .. }) => paths(a, b),
        (Target::Net { ranges: a, .. }, Target::Net { ranges: b, .. }) => {
            let cidrs = |ranges: &[Ranges]| -> Vec<Cidr> {
                let each = ranges.iter().flat_map(|one| &one.cidrs);
                each.copied().collect()
            };
            let (a, b) = (cidrs(a), cidrs(b));
            a.iter()
                .any(|a| b.iter().any(|b| a.covers(b) || b.covers(a)))
        }
        (
            Target::Unix {
                paths: a, names: x, ..
            },
            Target::Unix {
                paths: b, names: y, ..
            },
        ) => {
            let names = || {
                x.iter()
                    .any(|x| y.iter().any(|y| x.covers(y) || y.covers(x)))
            };
            paths(a, b) || names()
        }
        (Target::Vsock { ranges: a, .. }, Target::Vsock { ranges: b, .. }) => a
            .iter()
            .any(|a| b.iter().any(|b| a.covers(b) || b.covers(a))),
        (Target::System { .. }, Target::System { .. }) => true,
        _ => false,
    }
}

/// A rule that never decides, because another one always comes first.
fn shadowed(policy: &Policy) -> Vec<Diagnostic> {
    let mut warnings = Vec::new();
    let mut left = COMPARISONS_MAX;
    for (index, rule) in policy.rules.iter().enumerate() {
        for (other_index, other) in policy.rules.iter().enumerate() {
            // Every rate counts, and a default is what is left.
            if rule.included {
                continue;
            }
            let first = other.effect == rule.effect
                && other.effect != Effect::Throttle
                && other_index < index;
            let stricter = other.effect == Effect::Deny && rule.effect != Effect::Deny;
            let always = other.when.is_none() || other.when == rule.when;
            if !always || !(first || stricter) {
                continue;
            }
            let (a, b) = (policy.targets(other), policy.targets(rule));
            let cost: usize = size(a).saturating_mul(size(b));
            if cost > left {
                return warnings;
            }
            left -= cost;
            if !b.is_empty() && b.iter().all(|b| a.iter().any(|a| covers(a, b))) {
                warnings.push(shadow(rule, other));
                break;
            }
        }
    }
    warnings
}

fn shadow(rule: &Rule, by: &Rule) -> Diagnostic {
    let message = format!(
        "rule `{}` never decides: rule `{}` (line {}) has effect `{}` on all of its actions",
        rule.id, by.id, by.at.line, by.effect
    );
    Diagnostic::warning(rule.at, rule.id.as_str(), message).suggest("take one of the two out")
}

fn size(targets: &[Target]) -> usize {
    let of = |target: &Target| match target {
        Target::Exec { paths, .. } | Target::File { paths, .. } => paths.len(),
        Target::Net { ranges, .. } => ranges
            .iter()
            .map(|one| one.cidrs.len().saturating_mul(one.ports.len()))
            .fold(0, usize::saturating_add),
        Target::Unix { paths, names, .. } => paths.len().saturating_add(names.len()),
        Target::Vsock { ranges, .. } => ranges.len(),
        Target::System { .. } => 1,
    };
    targets.iter().map(of).fold(1, usize::saturating_add)
}

/// Whether every action of `b` is one of `a`.
fn covers(a: &Target, b: &Target) -> bool {
    if b.operations() & !a.operations() != 0 {
        return false;
    }
    let paths =
        |a: &[PathPattern], b: &[PathPattern]| b.iter().all(|b| a.iter().any(|a| a.covers(b)));
    match (a, b) {
        (
            Target::Exec {
                paths: a,
                args: with,
            },
            Target::Exec { paths: b, args },
        ) => (with.clauses.is_empty() || with == args) && paths(a, b),
        (Target::File { paths: a, .. }, Target::File { paths: b, .. }) => paths(a, b),
        (
            Target::Net {
                ranges: a,
                protocols: with,
                ..
            },
            Target::Net {
                ranges: b,
                protocols,
                ..
            },
        ) => {
            let every = || !protocols.is_empty() && protocols.iter().all(|one| with.contains(one));
            (with.is_empty() || every()) && b.iter().all(|b| a.iter().any(|a| contains(a, b)))
        }
        (
            Target::Unix {
                paths: a, names: x, ..
            },
            Target::Unix {
                paths: b, names: y, ..
            },
        ) => paths(a, b) && y.iter().all(|y| x.iter().any(|x| x.covers(y))),
        (Target::Vsock { ranges: a, .. }, Target::Vsock { ranges: b, .. }) => {
            b.iter().all(|b| a.iter().any(|a| a.covers(b)))
        }
        (Target::System { .. }, Target::System { .. }) => true,
        _ => false,
    }
}

fn contains(a: &Ranges, b: &Ranges) -> bool {
    let ports = |b: &PortRange| {
        let within = |a: &PortRange| a.first <= b.first && b.last <= a.last;
        a.ports.iter().any(within)
    };
    b.cidrs.iter().all(|b| a.cidrs.iter().any(|a| a.covers(b))) && b.ports.iter().all(ports)
}
