//! `decide()` over everything that it tells apart, against the order of decision said a second time.
//!
//! # What is complete here, and what is bounded
//!
//! A [`Judge`] looks at an entry through few things: its effect (nine, and whatever is none of them), whether its policy is in
//! monitor mode, whether it surely counts, which of the attempt's operations it names, whether a live lease is on its
//! permission, whether an allow is recorded, and its place in the order. For two operations, which stand for "all", "one" and
//! "the other", that makes [`kinds`]: all of them. Numbers that are only copied (keys, time-outs) tell entries apart.
//!
//! * One entry and two: every kind beside every kind, in each order of the document and each order of looking, with both at one
//!   end, and with one at each of two ends. Complete.
//! * Three: every three of the kinds that a judge can tell apart ([`classes`]), at one end, in every order of the document, looked
//!   at in one order.
//! * More: not here. A judge keeps of what it has seen the first entry of each kind and unions of bits, so that a further entry
//!   meets nothing that one of those three does not show; the agreement test of `stayhand-guardrail` tries it.

mod stated;

use stated::{FIRST, SECOND, Seen, classes, entry, kinds, lenient, rates, stated};

use super::*;
use crate::abi::{
    code::op,
    image::{LEASES_PER_ROW, Lease},
};

/// Permissions: none, one with a live lease, one without.
const LIVE: u64 = 77;
const DEAD: u64 = 88;
const GRANT: [u64; 2] = [5, 6];
const NOW: Now = Now {
    boot_ns: 1_000,
    tai_ns: 2_000,
};

/// A live lease on one permission, and on another one leases that have just ended, on either clock.
struct Leases {
    live: LeaseRow,
    dead: LeaseRow,
}

impl Leases {
    fn new() -> Self {
        let (mut live, mut dead) = (LeaseRow::default(), LeaseRow::default());
        let lease = |boot_deadline_ns, tai_deadline_ns, grant| Lease {
            boot_deadline_ns,
            tai_deadline_ns,
            grant,
        };
        // In the last place: the others are zeroed.
        live.leases[LEASES_PER_ROW - 1] = lease(1_001, 2_001, GRANT);
        dead.leases[0] = lease(1_000, u64::MAX, [1, 1]);
        dead.leases[1] = lease(u64::MAX, 2_000, [2, 2]);
        Self { live, dead }
    }
}

impl Tables for Leases {
    fn leases(&self, permission: u64) -> Option<&LeaseRow> {
        match permission {
            LIVE => Some(&self.live),
            DEAD => Some(&self.dead),
            _ => None,
        }
    }
}

fn attempt(ops: u32) -> Attempt {
    Attempt {
        ops,
        port: 0,
        protocol: 0,
        subjects: 1,
    }
}

/// What the function itself says of these, looked at in this order.
fn judged(leases: &Leases, judge: &mut Judge, all: &[Seen], ends: &[u32]) -> Decision {
    judge.restart();
    for (end, ops) in ends.iter().enumerate() {
        for seen in all.iter().filter(|seen| seen.end == end) {
            judge.consider(leases, &attempt(*ops), NOW, &seen.entry, seen.met);
        }
        judge.end();
    }
    judge.finish()
}

fn holds(leases: &Leases, judge: &mut Judge, all: &[Seen], ends: &[u32]) {
    let decision = judged(leases, judge, all, ends);
    let (verdict, reason, rule, recorded) = stated(all, ends);
    let named = (decision.by.order != u32::MAX).then_some(decision.by.rule);
    let found = (decision.verdict, decision.reason, named, decision.recorded);
    assert_eq!(
        found,
        (verdict, reason, rule, recorded),
        "{all:#?} {ends:?}"
    );
    let wanted = match verdict {
        verdict::ALLOWED => rates(all, ends),
        _ => [0; 2],
    };
    let found = [decision.rates, decision.would_rates];
    assert_eq!(found, wanted, "{all:#?} {ends:?}");
    let lenient = u32::from(lenient(all, ends));
    assert_eq!(
        decision.on_loss & u32::from(entry_flag::ON_LOSS),
        lenient,
        "{all:#?} {ends:?}"
    );
    // A grant is named where one is the reason, and it is one that lives.
    let (grant, permission) = if reason == reason::GRANT {
        (GRANT, LIVE)
    } else {
        let by = all.iter().find(|seen| Some(seen.entry.rule) == rule);
        ([0; 2], by.map_or(0, |seen| seen.entry.permission))
    };
    assert_eq!(
        (decision.grant, decision.by.permission),
        (grant, permission)
    );
}

/// Tells entries apart, and puts them into an order of the document.
fn placed(all: &mut [Seen], orders: &[u32]) {
    for ((number, seen), order) in (1u16..).zip(all).zip(orders) {
        seen.entry.rule = u64::from(number);
        seen.entry.rate = number;
        seen.entry.order = *order;
        // Each of the three says something else of losses.
        seen.entry.flags |= match number {
            1 => entry_flag::WAITS_WITHOUT_AGENT,
            2 => entry_flag::GOES_ON_UNRECORDED,
            _ => entry_flag::ON_LOSS,
        };
    }
}

/// Operations of one attempt, and how they go together: two like any others, and a creation with its write.
const PAIRS: [(u32, u32); 2] = [(FIRST, SECOND), (op::CREATE, op::WRITE)];

#[test]
fn one_entry_decides_as_it_is_stated_and_a_zeroed_effect_denies() {
    let (leases, mut judge) = (Leases::new(), Judge::new());
    for (one, other) in PAIRS {
        for seen in kinds(one, other) {
            let mut all = [seen];
            placed(&mut all, &[0]);
            for ends in [[one, 0], [other, 0], [one | other, 0]] {
                holds(&leases, &mut judge, &all, &ends[..1]);
                holds(&leases, &mut judge, &all, &ends);
            }
        }
    }
}

#[test]
fn every_two_entries_decide_as_it_is_stated() {
    let (leases, mut judge) = (Leases::new(), Judge::new());
    for (one, other) in PAIRS {
        let kinds = kinds(one, other);
        for first in &kinds {
            for second in &kinds {
                let mut all = [*first, *second];
                for orders in [[3, 9], [9, 3], [3, 3]] {
                    placed(&mut all, &orders);
                    holds(&leases, &mut judge, &all, &[one | other]);
                }
            }
        }
    }
}

#[test]
fn every_two_entries_at_two_ends_decide_as_it_is_stated() {
    let (leases, mut judge) = (Leases::new(), Judge::new());
    let kinds = kinds(FIRST, SECOND);
    for first in &kinds {
        for second in &kinds {
            let mut all = [*first, Seen { end: 1, ..*second }];
            for orders in [[3, 9], [9, 3]] {
                placed(&mut all, &orders);
                for ends in [[FIRST | SECOND, SECOND], [FIRST, FIRST | SECOND]] {
                    holds(&leases, &mut judge, &all, &ends);
                }
            }
        }
    }
}

#[test]
fn every_three_entries_decide_as_it_is_stated() {
    let (leases, mut judge) = (Leases::new(), Judge::new());
    let classes = classes(FIRST, SECOND);
    assert_eq!(classes.len(), 156);
    let ends = [FIRST | SECOND];
    for (at, first) in classes.iter().enumerate() {
        for (behind, second) in classes.iter().enumerate().skip(at) {
            for third in classes.iter().skip(behind) {
                let mut all = [*first, *second, *third];
                for orders in [
                    [1, 2, 3],
                    [1, 3, 2],
                    [2, 1, 3],
                    [2, 3, 1],
                    [3, 1, 2],
                    [3, 2, 1],
                ] {
                    placed(&mut all, &orders);
                    holds(&leases, &mut judge, &all, &ends);
                }
            }
        }
    }
}

#[test]
fn what_does_not_concern_an_attempt_changes_nothing_and_what_no_code_says_restricts() {
    let (leases, all) = (Leases::new(), kinds(FIRST, SECOND));
    for seen in &all {
        let mut judge = Judge::new();
        let elsewhere = [
            Entry {
                ops: op::EXEC,
                ..seen.entry
            },
            Entry {
                ops: 0,
                ..seen.entry
            },
            Entry {
                subjects: !1,
                ..seen.entry
            },
            Entry {
                subjects: 0,
                ..seen.entry
            },
        ];
        let now = attempt(FIRST | SECOND);
        for entry in &elsewhere {
            judge.consider(&leases, &now, NOW, entry, seen.met);
        }
        judge.consider(&leases, &now, NOW, &seen.entry, met::NO);
        assert_eq!(judge.finish(), nothing_met(), "{seen:?}");
        // Every other word is unsure: it never does what only a sure one does.
        let unsure = |met: u32| {
            let seen = Seen { met, ..*seen };
            judged(&leases, &mut Judge::new(), &[seen], &[FIRST])
        };
        let wanted = unsure(met::MAYBE);
        for met in [met::OPEN, met::FAILED, 5, 0x100, 1 << 31, u32::MAX] {
            assert_eq!(unsure(met), wanted, "{met:#x}");
        }
    }
}

#[test]
fn what_could_not_be_judged_is_denied_whatever_the_reason() {
    for reason in (0..=0xffff).chain([u32::MAX]) {
        let decision = unjudged(reason);
        assert_eq!(
            (decision.verdict, decision.reason),
            (verdict::DENIED, reason)
        );
        assert_eq!((decision.recorded, decision.grant), (1, [0; 2]));
    }
}

/// Both ends of a clock, what lies beside each, and beside now.
const TIMES: [u64; 8] = [
    0,
    1,
    2,
    i64::MAX as u64,
    i64::MAX as u64 + 1,
    u64::MAX - 2,
    u64::MAX - 1,
    u64::MAX,
];

#[test]
fn a_lease_covers_before_both_of_its_deadlines_and_never_at_or_after_one() {
    struct One(LeaseRow);
    impl Tables for One {
        fn leases(&self, _: u64) -> Option<&LeaseRow> {
            Some(&self.0)
        }
    }
    let rule = entry(effect::REQUIRE_GRANT, 0, LIVE, FIRST);
    for place in 0..LEASES_PER_ROW {
        for boot_deadline_ns in TIMES {
            for tai_deadline_ns in TIMES {
                let mut row = LeaseRow::default();
                if let Some(lease) = row.leases.get_mut(place) {
                    *lease = Lease {
                        boot_deadline_ns,
                        tai_deadline_ns,
                        grant: GRANT,
                    };
                }
                let row = One(row);
                for boot_ns in TIMES {
                    for tai_ns in TIMES {
                        let now = Now { boot_ns, tai_ns };
                        let decision = decide(&row, &attempt(FIRST), now, [&rule]);
                        let live = boot_ns < boot_deadline_ns && tai_ns < tai_deadline_ns;
                        let wanted = if live {
                            (verdict::ALLOWED, reason::GRANT, GRANT)
                        } else {
                            (verdict::DENIED, reason::NO_GRANT, [0; 2])
                        };
                        let found = (decision.verdict, decision.reason, decision.grant);
                        assert_eq!(found, wanted, "{row:?} {now:?}", row = row.0);
                    }
                }
            }
        }
    }
}

#[test]
fn ports_and_protocols_that_are_known_are_compared_and_those_that_are_not_restrict() {
    let leases = Leases::new();
    let ports = [0, 1, 442, 443, 444, u16::MAX - 1, u16::MAX];
    let protocols = [0, 1, 6, 17, 255, 256, u16::MAX - 1, protocol::UNKNOWN];
    for port_first in ports {
        for port_last in ports {
            for of_entry in [0, 6, 17, 0x1_0006, u32::MAX] {
                for port in ports {
                    for of_attempt in protocols {
                        let rule = |effect| Entry {
                            port_first,
                            port_last,
                            protocol: of_entry,
                            ..entry(effect, 0, 0, op::CONNECT)
                        };
                        let tried = Attempt {
                            port,
                            protocol: of_attempt,
                            ..attempt(op::CONNECT)
                        };
                        let verdict = |effect| decide(&leases, &tried, NOW, [&rule(effect)]);
                        let unknown = of_attempt == protocol::UNKNOWN;
                        let within = (port_first..=port_last).contains(&port);
                        let same = of_entry == 0 || of_entry == u32::from(of_attempt);
                        let restricts = unknown || within && same;
                        let denied = verdict(effect::DENY).verdict == verdict::DENIED;
                        assert_eq!(denied, restricts, "{rule:?} {tried:?}", rule = rule(0));
                        let any = of_entry == 0 && (port_first, port_last) == (0, u16::MAX);
                        let permits = if unknown { any } else { within && same };
                        let allowed = verdict(effect::ALLOW).reason == reason::RULE_ALLOW;
                        assert_eq!(allowed, permits, "{rule:?} {tried:?}", rule = rule(0));
                    }
                }
            }
        }
    }
}

/// Whether a live lease on `permitted` opens an attempt while a rule restricts `restricted`.
fn is_covered(attempted: u32, restricted: u32, permitted: u32) -> bool {
    let entries = [
        entry(effect::REQUIRE_GRANT, 0, 0, restricted),
        entry(effect::PERMISSION, 0, LIVE, permitted),
    ];
    decide(&Leases::new(), &attempt(attempted), NOW, &entries).verdict == verdict::ALLOWED
}

#[test]
fn what_meets_nothing_is_decided_as_by_a_judge_who_saw_nothing() {
    let mut judge = Judge::new();
    assert_eq!(judge.finish(), nothing_met());
    judge.restart();
    assert_eq!(judge.finish(), nothing_met());
}

#[test]
fn each_restricted_operation_must_be_covered_itself() {
    let creation = op::CREATE | op::WRITE;
    for (attempted, restricted, permitted, covered) in [
        (creation, op::CREATE | op::WRITE, op::WRITE, false),
        (creation, op::CREATE, op::WRITE, false),
        (creation, op::WRITE, op::WRITE, true),
        (
            creation,
            op::CREATE | op::WRITE,
            op::CREATE | op::WRITE,
            true,
        ),
        (op::WRITE, op::WRITE, op::WRITE, true),
        (
            op::RENAME | op::DELETE,
            op::RENAME | op::DELETE,
            op::RENAME,
            false,
        ),
        (op::RENAME | op::DELETE, op::RENAME, op::RENAME, true),
    ] {
        assert_eq!(
            is_covered(attempted, restricted, permitted),
            covered,
            "{attempted:#x} restricted by {restricted:#x} under {permitted:#x}"
        );
    }
}

#[test]
fn whoever_may_make_a_file_may_write_it_in_the_same_call_and_no_other() {
    let creation = op::CREATE | op::WRITE;
    assert!(is_covered(creation, op::WRITE, op::CREATE));
    assert!(is_covered(creation, creation, op::CREATE));
    assert!(!is_covered(op::WRITE, op::WRITE, op::CREATE));
}
