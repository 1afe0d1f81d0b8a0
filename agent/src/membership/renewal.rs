//! When a host asks for another certificate.

use stayhand_guardrail::time::{DurationMs, UnixMs};
use stayhand_transport::{BACKDATE, Certificate};

/// After half of its time, give or take a tenth, so that hosts that came together do not come together again. Counted from now and
/// not to its end: a host whose clock is wrong asks no more often than others.
pub(super) fn due(now: UnixMs, certificate: &Certificate, random: u32) -> UnixMs {
    let span = certificate
        .not_after
        .since(certificate.not_before.plus(BACKDATE))
        .0;
    // Wide enough for whatever a control plane wrote into it.
    let early = u128::from(span / 10) * u128::from(random) / u128::from(u32::MAX);
    let early = u64::try_from(early).unwrap_or(0);
    // From four tenths to five, and never in the second half: there is time to try again.
    now.plus(DurationMs(span / 2 - early))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400_000;

    fn issued_at(at: u64) -> Certificate {
        Certificate {
            name: "spiffe://d/host/db1".parse().unwrap(),
            serial: stayhand_transport::Serial::new(&[1]),
            digest: [0; 32],
            not_before: UnixMs(at - BACKDATE.0),
            not_after: UnixMs(at + DAY),
        }
    }

    #[test]
    fn a_certificate_is_renewed_within_its_first_half_whatever_chance_says() {
        let (now, certificate) = (UnixMs(DAY), issued_at(DAY));
        for random in [0, 1, u32::MAX / 2, u32::MAX] {
            let due = due(now, &certificate, random).since(now).0;
            assert!((34_560_000..=43_200_000).contains(&due), "{random}: {due}");
        }
        let spread = |random| due(now, &certificate, random);
        assert_ne!(spread(0), spread(u32::MAX));
    }

    #[test]
    fn a_host_whose_clock_is_wrong_asks_no_more_often() {
        let certificate = issued_at(10 * DAY);
        for now in [UnixMs(0), UnixMs(9 * DAY), UnixMs(30 * DAY)] {
            assert_eq!(due(now, &certificate, 0).since(now).0, DAY / 2);
        }
    }
}
