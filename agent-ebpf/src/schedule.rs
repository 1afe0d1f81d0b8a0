//! Whether a rule counts now. Two clocks have to agree: one can be set, the other one stands still while a virtual
//! machine is paused. What they do not agree about, and what is not known, may be so.

use crate::{
    abi::schedule::{SPANS_MAX, Schedule, WallSpan},
    args::met,
    decide::Now,
};

/// See [`met`].
#[inline(always)]
pub fn counts(schedule: &Schedule, now: Now) -> u32 {
    let by_boot = now.boot_ns.wrapping_add(schedule.boot_to_wall_ns);
    let by_tai = now.tai_ns.wrapping_add(schedule.tai_to_wall_ns);
    if !is_in(&schedule.known, by_boot) || !is_in(&schedule.known, by_tai) {
        return met::MAYBE;
    }
    // Without branches but the end: the verifier would follow each of them through the rest.
    let (mut boot, mut tai) = (0u32, 0u32);
    for (index, span) in schedule.spans.iter().enumerate() {
        if index >= SPANS_MAX || index as u32 >= schedule.count {
            break;
        }
        boot |= u32::from(is_in(span, by_boot));
        tai |= u32::from(is_in(span, by_tai));
    }
    match (boot, tai) {
        (0, 0) => met::NO,
        (0, _) | (_, 0) => met::MAYBE,
        _ => met::YES,
    }
}

#[inline(always)]
const fn is_in(span: &WallSpan, at_ns: u64) -> bool {
    (span.from_ns <= at_ns) & (at_ns < span.to_ns)
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

    fn schedule() -> Schedule {
        let mut schedule = Schedule {
            known: WallSpan {
                from_ns: WALL,
                to_ns: WALL + 1_000,
            },
            boot_to_wall_ns: WALL,
            tai_to_wall_ns: 0u64.wrapping_sub(37),
            count: 2,
            ..Schedule::default()
        };
        let span = |from, to| WallSpan {
            from_ns: WALL + from,
            to_ns: WALL + to,
        };
        schedule.spans[0] = span(100, 200);
        schedule.spans[1] = span(300, 400);
        schedule.spans[2] = span(500, 600);
        schedule
    }

    /// Both clocks say this much after the beginning of what is known.
    fn at(offset: u64) -> Now {
        now(offset, WALL + 37 + offset)
    }

    #[test]
    fn a_span_has_its_beginning_and_not_its_end() {
        for (offset, expected) in [
            (0, met::NO),
            (99, met::NO),
            (100, met::YES),
            (199, met::YES),
            (200, met::NO),
            (399, met::YES),
            (550, met::NO), // beyond the count
            (999, met::NO),
        ] {
            assert_eq!(counts(&schedule(), at(offset)), expected, "{offset}");
        }
    }

    #[test]
    fn what_is_not_known_or_not_agreed_on_may_be() {
        assert_eq!(counts(&Schedule::default(), at(150)), met::MAYBE);
        assert_eq!(counts(&schedule(), at(1_000)), met::MAYBE);
        let (inside, outside, before) = (at(150), at(50), now(u64::MAX, WALL + 36));
        let mixed = |one: Now, other: Now| now(one.boot_ns, other.tai_ns);
        for now in [
            mixed(inside, outside),
            mixed(outside, inside),
            before,
            mixed(outside, before),
            mixed(at(1_000), outside),
        ] {
            assert_eq!(counts(&schedule(), now), met::MAYBE, "{now:?}");
        }
    }
}
