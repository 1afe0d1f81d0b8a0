//! Deadlines on a clock of the kernel. What wraps around is over: a time that no clock reaches gives nobody more time.

/// Nanoseconds of a millisecond.
const NS_PER_MS: u64 = 1_000_000;

/// So many milliseconds from now. Beyond the end of the clock it lies before now, and is over.
#[inline(always)]
pub const fn after(now_ns: u64, timeout_ms: u32) -> u64 {
    // 2^32 milliseconds are less than 2^53 nanoseconds.
    now_ns.wrapping_add(timeout_ms as u64 * NS_PER_MS)
}

/// Whether it has come. One of zeroed memory has.
#[inline(always)]
pub const fn is_over(deadline_ns: u64, now_ns: u64) -> bool {
    deadline_ns <= now_ns
}

/// Whether less than `most_ns` have gone by since then. After now is so long ago that it has gone by.
#[inline(always)]
pub const fn lasts(since_ns: u64, now_ns: u64, most_ns: u64) -> bool {
    now_ns.wrapping_sub(since_ns) < most_ns
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both ends, both signs of `i64`, and what lies beside each.
    const EDGES: [u64; 12] = [
        0,
        1,
        2,
        NS_PER_MS - 1,
        NS_PER_MS,
        1 << 53,
        i64::MAX as u64 - 1,
        i64::MAX as u64,
        i64::MAX as u64 + 1,
        u64::MAX - NS_PER_MS,
        u64::MAX - 1,
        u64::MAX,
    ];

    #[test]
    fn a_deadline_is_never_later_than_what_was_asked_for_and_beyond_the_clock_it_is_over() {
        for now in EDGES {
            for timeout in [0, 1, 1_000, 86_400_000, u32::MAX - 1, u32::MAX] {
                let (deadline, exact) = (
                    after(now, timeout),
                    u128::from(now) + u128::from(timeout) * u128::from(NS_PER_MS),
                );
                let fits = exact <= u128::from(u64::MAX);
                assert!(u128::from(deadline) <= exact);
                assert_eq!(u128::from(deadline) == exact, fits, "{now} {timeout}");
                assert_eq!(is_over(deadline, now), !fits || timeout == 0);
            }
        }
    }

    #[test]
    fn what_is_over_stays_over_and_a_zeroed_deadline_always_is() {
        for now in EDGES {
            assert!(is_over(0, now));
            for deadline in EDGES {
                assert_eq!(is_over(deadline, now), now >= deadline);
                for later in EDGES.into_iter().filter(|later| *later >= now) {
                    assert!(!is_over(deadline, now) || is_over(deadline, later));
                }
            }
        }
    }

    #[test]
    fn nothing_lasts_longer_than_it_may_nor_from_a_time_that_has_not_come() {
        for since in EDGES {
            for now in EDGES {
                for most in EDGES {
                    let gone = i128::from(now) - i128::from(since);
                    // A time that has not come is further away than any that the callers ask for: half of the clock.
                    if gone >= 0 || i64::try_from(most).is_ok() && -gone <= i128::from(i64::MAX) {
                        let wanted = gone >= 0 && gone < i128::from(most);
                        assert_eq!(lasts(since, now, most), wanted, "{since} {now} {most}");
                    }
                }
            }
        }
    }
}
