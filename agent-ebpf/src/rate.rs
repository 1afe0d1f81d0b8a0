//! Whether a rate lets one more through. Knows no clock and keeps nothing.

use crate::abi::rate::{Bucket, Rate};

/// The bucket after one more was taken out of it, or nothing if there is none in it.
#[inline(always)]
#[must_use]
pub const fn take(bucket: Bucket, rate: &Rate, now_ns: u64) -> Option<Bucket> {
    if rate.interval_ns == 0 {
        return None;
    }
    let missing_ns = bucket.full_at_ns.saturating_sub(now_ns);
    if missing_ns > rate.room_ns {
        return None;
    }
    let full_at_ns = now_ns
        .saturating_add(missing_ns)
        .saturating_add(rate.interval_ns);
    Some(Bucket { full_at_ns })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    /// Three in thirty seconds.
    const RATE: Rate = Rate {
        rule: 1,
        permission: 0,
        bucket: 1,
        interval_ns: 10 * SECOND_NS,
        room_ns: 20 * SECOND_NS,
        effect: 0,
        order: 0,
        timeout_ms: 0,
        flags: 0,
        pad: 0,
    };

    /// How many of those at these seconds are let through, each taken if it is.
    fn let_through(bucket: &mut Bucket, seconds: impl IntoIterator<Item = u64>) -> usize {
        let through = |second: u64| match take(*bucket, &RATE, second * SECOND_NS) {
            Some(next) => {
                *bucket = next;
                true
            }
            None => false,
        };
        seconds.into_iter().map(through).filter(|one| *one).count()
    }

    #[test]
    fn no_more_than_the_limit_is_let_through_at_once() {
        let mut bucket = Bucket::default();
        assert_eq!(let_through(&mut bucket, [100; 50]), 3);
        assert_eq!(let_through(&mut bucket, 101..110), 0);
        assert_eq!(let_through(&mut bucket, [110, 110]), 1);
        assert_eq!(let_through(&mut bucket, [120, 120]), 1);
        assert_eq!(let_through(&mut bucket, [1_000; 50]), 3);
    }

    #[test]
    fn what_was_refused_is_not_counted() {
        let mut bucket = Bucket::default();
        let_through(&mut bucket, [0; 1_000]);
        assert_eq!(let_through(&mut bucket, [30; 50]), 3);
    }

    #[test]
    fn in_no_stretch_of_time_more_than_twice_the_limit_is_let_through() {
        for offset in 0..30 {
            let mut bucket = Bucket::default();
            let_through(&mut bucket, (0..offset).chain([offset; 5]));
            assert!(let_through(&mut bucket, offset + 1..offset + 31) <= 3);
        }
    }

    #[test]
    fn a_rate_of_zeroes_lets_nothing_through() {
        for now_ns in [0, 1, u64::MAX] {
            assert_eq!(take(Bucket::default(), &Rate::default(), now_ns), None);
        }
    }

    #[test]
    fn nothing_wraps_at_the_ends_of_time() {
        let values = [0, 1, SECOND_NS, u64::MAX / 2, u64::MAX - 1, u64::MAX];
        for full_at_ns in values {
            for interval_ns in values {
                for room_ns in values {
                    for now_ns in values {
                        let rate = Rate {
                            interval_ns,
                            room_ns,
                            ..RATE
                        };
                        if let Some(next) = take(Bucket { full_at_ns }, &rate, now_ns) {
                            assert!(next.full_at_ns >= now_ns, "{rate:?} at {now_ns}");
                            assert!(interval_ns != 0);
                        }
                    }
                }
            }
        }
    }
}
