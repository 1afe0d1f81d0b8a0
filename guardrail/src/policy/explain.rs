//! The reference evaluator: what a set of policies means, said as simply as possible.
//!
//! It is the specification. It never shares code with the compiler or with `decide()`, so that their agreement
//! means something.

use super::{
    Mode, Rule, Then, Versioned,
    args::{Call, Met},
    floor,
};
use crate::{
    action::{Object, Operation},
    event::RuleRef,
    id::{FlagName, GrantId, GroupName, PolicyName, RuleId, UserName},
    key::PermissionRef,
    reason::{Effect, Reason, Verdict},
    sensitivity::Sensitivity,
    time::{DurationMs, UnixMs},
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

/// One end of an attempt; a rename and a link have two, everything else has one.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// Operations of the attempt here, as bits of `abi::code::op`
    pub operations: u32,
    /// The object, under every name by which it counts: what it is called now, and what it or a directory above
    /// it was called when the policies were installed
    pub objects: &'a [Known],
    /// What else is known of an execution
    pub call: Call<'a>,
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
    /// On what, and how
    pub ends: &'a [End<'a>],
    /// `CLOCK_BOOTTIME`
    pub boot_ns: u64,
    /// `CLOCK_TAI`
    pub tai_ns: u64,
    /// The wall clock's time by either of them, if it is known
    pub unix: Option<[UnixMs; 2]>,
    /// Rules of effect throttle whose rates are used up for this user
    pub used_up: &'a [(PolicyName, RuleId)],
    /// Flags that are set, if that is known
    pub flags: Option<&'a [FlagName]>,
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
    /// How much depends on what that rule is about
    pub sensitivity: Option<Sensitivity>,
    /// How long a hold waits
    pub timeout: DurationMs,
    /// The permission of that rule
    pub permission: Option<PermissionRef>,
    /// Every live lease that covers something of the action, and through which permission; any may be named
    pub covering: Vec<(GrantId, PermissionRef)>,
    /// Whether it yields an event
    pub recorded: bool,
}

type Found<'a> = (&'a Versioned, &'a Rule);

/// Answers a question.
pub fn explain(question: &Question<'_>) -> Explanation {
    let mut policies: Vec<&Versioned> = question
        .policies
        .iter()
        .filter(|one| guards(one, question))
        .collect();
    policies.sort_by_key(|one| floor::order(&one.policy));
    let ends: Vec<AtEnd<'_>> = question
        .ends
        .iter()
        .map(|end| AtEnd::at(end, &policies, question))
        .collect();
    // Rules of an effect in document order, at the ends that `counts` names.
    let of = |effect: Effect, mode: Mode, counts: &dyn Fn(&AtEnd<'_>) -> bool| {
        let mut rules = rules_of(&policies);
        rules.retain(|(one, rule)| {
            let right_mode = !effect.restricts() || one.policy.mode == mode;
            let here = |end: &AtEnd<'_>| counts(end) && end.has(one, rule);
            rule.effect == effect && right_mode && ends.iter().any(here)
        });
        rules
    };
    let first = |effect: Effect, mode: Mode, counts: &dyn Fn(&AtEnd<'_>) -> bool| {
        of(effect, mode, counts).into_iter().next()
    };
    let anywhere = |_: &AtEnd<'_>| true;
    let open = |end: &AtEnd<'_>| end.open(end.restricted(Mode::Enforce));
    let would_be_open = |end: &AtEnd<'_>| end.open(end.restricted(Mode::Monitor));
    let counted = |end: &AtEnd<'_>| end.open(end.throttled(Mode::Enforce));
    let would_be_counted = |end: &AtEnd<'_>| end.open(end.throttled(Mode::Monitor));
    let left = |end: &AtEnd<'_>| end.open(end.unsaid(Mode::Enforce));
    let would_be_left = |end: &AtEnd<'_>| end.open(end.unsaid(Mode::Monitor));
    let used_up = |mode: Mode, counts: &dyn Fn(&AtEnd<'_>) -> bool| {
        let rules = of(Effect::Throttle, mode, counts);
        rules.into_iter().find(|(one, rule)| {
            let named =
                |(policy, id): &(PolicyName, RuleId)| *policy == one.policy.name && *id == rule.id;
            question.used_up.iter().any(named)
        })
    };

    if let Some(by) = first(Effect::Deny, Mode::Enforce, &anywhere) {
        return answer(Verdict::Denied, Reason::RuleDeny, Some(by), vec![]);
    }
    if let Some(by) = first(Effect::RequireGrant, Mode::Enforce, &open) {
        return answer(Verdict::Denied, Reason::NoGrant, Some(by), vec![]);
    }
    if let Some(by) = first(Effect::DefaultDeny, Mode::Enforce, &left) {
        return answer(Verdict::Denied, Reason::NotAllowed, Some(by), vec![]);
    }
    let held = first(Effect::Hold, Mode::Enforce, &open)
        .or_else(|| first(Effect::DefaultHold, Mode::Enforce, &left));
    if held.is_some() {
        return answer(Verdict::Held, Reason::HoldPending, held, vec![]);
    }
    if let Some(by) = used_up(Mode::Enforce, &counted) {
        let denies = by.1.rate.is_none_or(|rate| rate.then == Then::Deny);
        return if denies {
            answer(Verdict::Denied, Reason::RateExceeded, Some(by), vec![])
        } else {
            answer(Verdict::Held, Reason::HoldPending, Some(by), vec![])
        };
    }
    if let Some(end) = ends.iter().find(|end| end.lets_through()) {
        let effects = [
            Effect::RequireGrant,
            Effect::Hold,
            Effect::Throttle,
            Effect::DefaultDeny,
            Effect::DefaultHold,
        ];
        let by = effects.into_iter().find_map(|effect| end.first(effect));
        return answer(Verdict::Allowed, Reason::Grant, by, end.covering.clone());
    }
    if let Some(by) = first(Effect::Throttle, Mode::Enforce, &counted) {
        return answer(Verdict::Allowed, Reason::WithinRate, Some(by), vec![]);
    }
    let would_have = first(Effect::Deny, Mode::Monitor, &anywhere)
        .or_else(|| first(Effect::RequireGrant, Mode::Monitor, &would_be_open))
        .or_else(|| first(Effect::DefaultDeny, Mode::Monitor, &would_be_left))
        .or_else(|| first(Effect::Hold, Mode::Monitor, &would_be_open))
        .or_else(|| first(Effect::DefaultHold, Mode::Monitor, &would_be_left))
        .or_else(|| used_up(Mode::Monitor, &would_be_counted));
    if would_have.is_some() {
        return answer(Verdict::Allowed, Reason::WouldHave, would_have, vec![]);
    }
    if let Some(by) = first(Effect::Alert, Mode::Enforce, &anywhere) {
        return answer(Verdict::Allowed, Reason::RuleAlert, Some(by), vec![]);
    }
    let by = first(Effect::Allow, Mode::Enforce, &anywhere);
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

fn rules_of<'a>(policies: &[&'a Versioned]) -> Vec<Found<'a>> {
    policies
        .iter()
        .flat_map(|one| one.policy.rules.iter().map(move |rule| (*one, rule)))
        .collect()
}

/// Operations of the attempt at an end that a set of actions contains, at least as surely as `least`.
fn shared(targets: &[super::Target], end: &End<'_>, least: Met) -> u32 {
    let meets = |target: &&super::Target| {
        let known =
            |known: &Known| target.matches(end.operations, &known.object, known.anchor) >= least;
        target.met(end.call) >= least && end.objects.iter().any(known)
    };
    let bits = targets
        .iter()
        .filter(meets)
        .map(|target| target.operations() & end.operations);
    bits.fold(0, |all, bits| all | bits)
}

/// What one end meets.
struct AtEnd<'a> {
    /// In document order, with the operations that the rule shares with the attempt, and those that it does surely
    rules: Vec<(Found<'a>, u32, u32)>,
    /// Live leases that cover something here, and through which permission
    covering: Vec<(GrantId, PermissionRef)>,
    /// Operations that they cover
    covered: u32,
}

impl<'a> AtEnd<'a> {
    fn at(end: &End<'_>, policies: &[&'a Versioned], question: &Question<'_>) -> Self {
        let rules = rules_of(policies);
        let with_bits = rules.into_iter().map(|(one, rule)| {
            // What a call may meet is restricted, and not allowed.
            let least = if rule.effect == Effect::Allow {
                Met::Yes
            } else {
                Met::Maybe
            };
            let when = rule.when.as_ref();
            let now = when.map_or(Met::Yes, |when| when.met(question.unix, question.flags));
            let bits = |least: Met| {
                if now >= least {
                    shared(one.policy.targets(rule), end, least)
                } else {
                    0
                }
            };
            ((one, rule), bits(least), bits(Met::Yes))
        });
        let mut met = Self {
            rules: with_bits.filter(|(_, bits, _)| *bits != 0).collect(),
            covering: vec![],
            covered: 0,
        };
        for one in policies {
            for permission in &one.policy.permissions {
                let bits = shared(&permission.targets, end, Met::Yes);
                if bits == 0 {
                    continue;
                }
                let reference =
                    PermissionRef::plain(one.policy.name.clone(), permission.name.clone());
                for lease in question.leases {
                    if is_live(lease, &reference, question) {
                        met.covered |= bits;
                        met.covering.push((lease.grant, reference.clone()));
                    }
                }
            }
            met.with_values(one, end, question);
        }
        met
    }

    /// What leases carry that has values: exactly that, and nothing where it is nothing.
    fn with_values(&mut self, one: &Versioned, end: &End<'_>, question: &Question<'_>) {
        // What is done does not depend on values, and most permissions are about something else.
        let is_about = |reference: &&PermissionRef| {
            let permission = one.policy.permission(&reference.permission);
            let mut targets = permission.iter().flat_map(|one| one.sampled());
            reference.policy == one.policy.name
                && targets.any(|target| target.operations() & end.operations != 0)
        };
        for lease in question.leases {
            for reference in lease.permissions.iter().filter(is_about) {
                let targets = one.policy.instance(reference).unwrap_or_default();
                let bits = shared(&targets, end, Met::Yes);
                if bits != 0 && is_live(lease, reference, question) {
                    self.covered |= bits;
                    self.covering.push((lease.grant, reference.clone()));
                }
            }
        }
    }

    fn has(&self, one: &Versioned, rule: &Rule) -> bool {
        self.rules
            .iter()
            .any(|((by, found), ..)| std::ptr::eq(*by, one) && std::ptr::eq(*found, rule))
    }

    fn first(&self, effect: Effect) -> Option<Found<'a>> {
        let enforced = |one: &Versioned| one.policy.mode == Mode::Enforce;
        self.rules
            .iter()
            .map(|(found, ..)| *found)
            .find(|(one, rule)| rule.effect == effect && enforced(one))
    }

    /// Operations that rules of these effects name, as they are enforced or only watched.
    fn named(&self, mode: Mode, effects: &[Effect]) -> u32 {
        let of =
            |(one, rule): &Found<'_>| one.policy.mode == mode && effects.contains(&rule.effect);
        let bits = self
            .rules
            .iter()
            .filter(|(found, ..)| of(found))
            .map(|(_, bits, _)| *bits);
        bits.fold(0, |all, bits| all | bits)
    }

    /// Operations that need a grant or an approval here.
    fn restricted(&self, mode: Mode) -> u32 {
        self.named(mode, &[Effect::RequireGrant, Effect::Hold])
    }

    /// Operations that are counted here.
    fn throttled(&self, mode: Mode) -> u32 {
        self.named(mode, &[Effect::Throttle])
    }

    /// Operations that a default is about and no rule: what only may be allowed, or is allowed by a policy that only
    /// watches, is not.
    fn unsaid(&self, mode: Mode) -> u32 {
        let said = |mode: Mode| {
            let permits = |(one, rule): &Found<'_>| {
                one.policy.mode == mode && matches!(rule.effect, Effect::Alert | Effect::Allow)
            };
            let permitted = self
                .rules
                .iter()
                .filter(|(found, ..)| permits(found))
                .fold(0, |all, (_, _, surely)| all | surely);
            self.restricted(mode) | self.throttled(mode) | permitted
        };
        let watched = if mode == Mode::Monitor {
            said(Mode::Monitor)
        } else {
            0
        };
        self.named(mode, &[Effect::DefaultDeny, Effect::DefaultHold])
            & !(said(Mode::Enforce) | watched)
    }

    /// Whether leases leave some of these open. Whoever may make a file may also write it in the same call.
    fn open(&self, operations: u32) -> bool {
        let mut covered = self.covered;
        if covered & Operation::Create.bit() != 0 {
            covered |= Operation::Write.bit();
        }
        operations & !covered != 0
    }

    /// Whether it goes on here because of a lease.
    fn lets_through(&self) -> bool {
        let needed = self.restricted(Mode::Enforce) | self.unsaid(Mode::Enforce);
        let needed = if needed == 0 {
            self.throttled(Mode::Enforce)
        } else {
            needed
        };
        needed != 0 && !self.open(needed)
    }
}

/// Of the user, on this permission, and over on neither clock.
fn is_live(lease: &TimedLease, reference: &PermissionRef, question: &Question<'_>) -> bool {
    lease.user == *question.user
        && lease.permissions.contains(reference)
        && question.boot_ns < lease.boot_deadline_ns
        && question.tai_ns < lease.tai_deadline_ns
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
        sensitivity: rule.and_then(|rule| rule.sensitivity),
        timeout: rule.map_or(DurationMs(0), |rule| rule.timeout),
        permission: by.and_then(|(one, rule)| {
            let permission = rule.permission()?.clone();
            Some(PermissionRef::plain(one.policy.name.clone(), permission))
        }),
        covering,
        recorded: !silent,
    }
}
