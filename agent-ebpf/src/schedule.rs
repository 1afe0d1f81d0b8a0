//! Whether a rule counts now. Two clocks have to agree: one can be set, the other one stands still while a virtual
//! machine is paused. What they do not agree about, and what is not known, may be so.

use core::hint::black_box;

use crate::{
    abi::schedule::{EDGES, NEVER_NS, Schedule},
    args::met,
    decide::Now,
};

/// See [`met`].
#[inline(always)]
pub fn counts(schedule: &Schedule, now: Now) -> u32 {
    let by_boot = now.boot_ns.wrapping_add(schedule.boot_to_wall_ns);
    let by_tai = now.tai_ns.wrapping_add(schedule.tai_to_wall_ns);
    if !is_known(schedule, by_boot) || !is_known(schedule, by_tai) {
        return met::MAYBE;
    }
    match passed(schedule, by_boot) + passed(schedule, by_tai) {
        0 => met::NO,
        2 => met::YES,
        _ => met::MAYBE,
    }
}

#[inline(always)]
const fn is_known(schedule: &Schedule, at_ns: u64) -> bool {
    schedule.known_from_ns <= at_ns && at_ns < schedule.known_to_ns && at_ns < NEVER_NS
}

/// 1 if an odd number of edges has passed. Without a branch: the verifier would follow both ways of every one through all
/// the rest, so that not even the compiler may see a comparison. No two of these times are so far apart that their
/// difference has another sign.
#[inline(always)]
fn passed(schedule: &Schedule, at_ns: u64) -> u64 {
    let mut later = 0u64;
    let mut step = EDGES as u64 / 2;
    while step > 0 {
        // Opaque, so that the mask stays: to a verifier before 6.2 a sum that is made by `or` may be anything.
        #[expect(clippy::cast_possible_truncation, reason = "the mask follows")]
        let index = black_box(later + step - 1) as usize & (EDGES - 1);
        let edge = schedule.edges_ns.get(index).copied().unwrap_or(NEVER_NS);
        // All ones if the edge is later.
        let is_later = at_ns.wrapping_sub(edge).cast_signed() >> 63;
        later += step & is_later.cast_unsigned();
        step /= 2;
    }
    (later & 1) ^ 1
}

/// Both have to be so.
#[inline(always)]
pub const fn both(one: u32, other: u32) -> u32 {
    match (one, other) {
        (met::NO, _) | (_, met::NO) => met::NO,
        (met::YES, met::YES) => met::YES,
        _ => met::MAYBE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: u64 = 1_700_000_000;

    fn now(boot_ns: u64, tai_ns: u64) -> Now {
        Now { boot_ns, tai_ns }
    }

    fn schedule(edges: &[u64]) -> Schedule {
        let mut schedule = Schedule {
            known_from_ns: WALL,
            known_to_ns: WALL + 1_000,
            boot_to_wall_ns: WALL,
            tai_to_wall_ns: 0u64.wrapping_sub(37),
            ..Schedule::default()
        };
        schedule.set(edges.iter().map(|edge| WALL + edge));
        schedule
    }

    /// Both clocks say this much after the beginning of what is known.
    fn at(offset: u64) -> Now {
        now(offset, WALL + 37 + offset)
    }

    #[test]
    fn a_span_has_its_beginning_and_not_its_end() {
        for spans in 0..=crate::abi::schedule::SPANS_MAX as u64 {
            let edges: Vec<u64> = (0..2 * spans).map(|edge| 5 + 7 * edge).collect();
            let schedule = schedule(&edges);
            for offset in 0..1_000 {
                let before = edges.iter().filter(|edge| **edge <= offset).count();
                let expected = if before % 2 == 1 { met::YES } else { met::NO };
                assert_eq!(counts(&schedule, at(offset)), expected, "{spans} {offset}");
            }
        }
    }

    #[test]
    fn what_is_not_known_or_not_agreed_on_may_be() {
        let schedule = schedule(&[100, 200, 300, 400]);
        assert_eq!(counts(&Schedule::default(), at(150)), met::MAYBE);
        assert_eq!(counts(&schedule, at(1_000)), met::MAYBE);
        let (inside, outside, before) = (at(150), at(50), now(u64::MAX, WALL + 36));
        let mixed = |one: Now, other: Now| now(one.boot_ns, other.tai_ns);
        for now in [
            mixed(inside, outside),
            mixed(outside, inside),
            before,
            mixed(outside, before),
            mixed(at(1_000), outside),
        ] {
            assert_eq!(counts(&schedule, now), met::MAYBE, "{now:?}");
        }
    }

    #[test]
    fn hostile_bytes_panic_nowhere_and_know_nothing_beyond_the_calendar() {
        let all = Schedule {
            known_from_ns: 0,
            known_to_ns: u64::MAX,
            boot_to_wall_ns: u64::MAX,
            tai_to_wall_ns: u64::MAX,
            edges_ns: [u64::MAX; EDGES],
        };
        assert_eq!(counts(&all, now(u64::MAX, u64::MAX)), met::MAYBE);
        assert_eq!(counts(&all, now(0, 5)), met::MAYBE);
    }

    /// Both ends of what a clock and its offset can say, the last time there is, and what lies beside each.
    const TIMES: [u64; 9] = [
        0,
        1,
        1_000,
        NEVER_NS - 1,
        NEVER_NS,
        NEVER_NS + 1,
        u64::MAX - 1_000,
        u64::MAX - 1,
        u64::MAX,
    ];

    /// What one clock says: nothing where it is not known, else whether an odd number of edges has passed, counted one by one.
    fn said(schedule: &Schedule, clock_ns: u64, ahead_ns: u64) -> Option<bool> {
        let at = (u128::from(clock_ns) + u128::from(ahead_ns)) % (1 << 64);
        let known = u128::from(schedule.known_from_ns)..u128::from(schedule.known_to_ns);
        if !known.contains(&at) || at >= u128::from(NEVER_NS) {
            return None;
        }
        // The last place is not used.
        let edges = schedule.edges_ns.iter().take(EDGES - 1);
        Some(edges.filter(|edge| u128::from(**edge) <= at).count() % 2 == 1)
    }

    #[test]
    fn at_every_end_of_the_clocks_a_rule_counts_as_they_say_and_may_count_where_they_do_not() {
        let edges: [&[u64]; 6] = [
            &[],
            &[0, 1],
            &[1, NEVER_NS - 1],
            &[0, NEVER_NS],
            &[0, 1, 2, 1_000],
            &[NEVER_NS - 2, NEVER_NS - 1],
        ];
        let mut seen = std::collections::BTreeMap::new();
        for edges in edges {
            for known_from_ns in TIMES {
                for known_to_ns in TIMES {
                    for boot_to_wall_ns in TIMES {
                        let mut schedule = Schedule {
                            known_from_ns,
                            known_to_ns,
                            boot_to_wall_ns,
                            tai_to_wall_ns: 1_000,
                            ..Schedule::default()
                        };
                        schedule.set(edges.iter().copied());
                        for boot_ns in TIMES {
                            for tai_ns in TIMES {
                                let by_boot = said(&schedule, boot_ns, boot_to_wall_ns);
                                let by_tai = said(&schedule, tai_ns, 1_000);
                                let wanted = match (by_boot, by_tai) {
                                    (Some(true), Some(true)) => met::YES,
                                    (Some(false), Some(false)) => met::NO,
                                    _ => met::MAYBE,
                                };
                                let now = now(boot_ns, tai_ns);
                                let found = counts(&schedule, now);
                                assert_eq!(found, wanted, "{edges:?} {schedule:?} {now:?}");
                                *seen.entry(wanted).or_insert(0) += 1;
                            }
                        }
                    }
                }
            }
        }
        assert!(
            seen.len() == 3 && seen.values().all(|count| *count > 1_000),
            "{seen:?}"
        );
    }

    #[test]
    fn two_conditions_are_met_only_if_both_are_and_an_unknown_word_never_counts_for_sure() {
        let words = (0..=0xff).chain([1 << 31, u32::MAX]);
        for one in words.clone() {
            for other in words.clone() {
                let found = both(one, other);
                assert_eq!(found == met::YES, one == met::YES && other == met::YES);
                assert_eq!(found == met::NO, one == met::NO || other == met::NO);
                assert!(matches!(found, met::NO | met::MAYBE | met::YES));
            }
        }
    }
}
