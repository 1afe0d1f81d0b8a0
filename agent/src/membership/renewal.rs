//! When a host asks for another certificate.

use stayhand_guardrail::time::{DurationMs, UnixMs};

/// After half of what is left, give or take a tenth, so that hosts that came together do not come together again.
pub(super) fn due(now: UnixMs, not_after: UnixMs, random: u32) -> UnixMs {
    let left = not_after.since(now).0;
    let tenth = left / 10;
    let early = tenth * u64::from(random) / u64::from(u32::MAX);
    // From four tenths to five, and never in the second half: there is time to try again.
    now.plus(DurationMs(left / 2 - early))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_within_its_first_half_whatever_chance_says() {
        let (now, end) = (UnixMs(1_000_000), UnixMs(1_000_000 + 86_400_000));
        for random in [0, 1, u32::MAX / 2, u32::MAX] {
            let due = due(now, end, random).since(now).0;
            assert!((34_560_000..=43_200_000).contains(&due), "{random}: {due}");
        }
        assert_ne!(due(now, end, 0), due(now, end, u32::MAX));
    }

    #[test]
    fn one_that_is_over_is_renewed_now() {
        let now = UnixMs(5_000);
        assert_eq!(due(now, UnixMs(4_000), 7), now);
        assert_eq!(due(now, now, 7), now);
    }
}
