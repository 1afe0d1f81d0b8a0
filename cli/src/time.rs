//! Points in time for people: local with its zone, and how far from now.
//!
//! Records and JSON have UTC (`view::Time`); nothing here decides anything.

use jiff::{Timestamp, tz::TimeZone};
use stayhand_guardrail::time::{DurationMs, UnixMs};

use crate::view::Time;

/// Now, as the control plane counts.
pub(crate) fn now() -> UnixMs {
    UnixMs(u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0))
}

/// Now, and the zone in which people read it.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    pub(crate) now: Timestamp,
    pub(crate) zone: TimeZone,
}

impl Moment {
    /// `2026-11-21 12:00:15 CET`, without the day where it is today.
    pub(crate) fn clock(&self, time: Time) -> String {
        let then = time.0.to_zoned(self.zone.clone());
        let today = self.now.to_zoned(self.zone.clone()).date() == then.date();
        let format = if today {
            "%H:%M:%S %Z"
        } else {
            "%Y-%m-%d %H:%M:%S %Z"
        };
        then.strftime(format).to_string()
    }

    /// `2026-11-21 12:00:15 CET (in 15s)`: the whole, for a single thing.
    pub(crate) fn full(&self, time: Time) -> String {
        let then = time.0.to_zoned(self.zone.clone());
        let shown = then.strftime("%Y-%m-%d %H:%M:%S %Z");
        format!("{shown} ({})", self.relative(time))
    }

    /// `12:00:15 CET (8s ago)`: short, for a row.
    pub(crate) fn short(&self, time: Time) -> String {
        format!("{} ({})", self.clock(time), self.relative(time))
    }

    /// `in 15s`, `8s ago`, `now`.
    pub(crate) fn relative(&self, time: Time) -> String {
        let (now, then) = (self.now.as_millisecond(), time.0.as_millisecond());
        let ms = DurationMs(now.abs_diff(then));
        match then.cmp(&now) {
            _ if ms.0 < 1_000 => "now".into(),
            std::cmp::Ordering::Less => format!("{} ago", span(ms)),
            _ => format!("in {}", span(ms)),
        }
    }

    /// Whole seconds from now until then, nothing where it has passed.
    pub(crate) fn seconds_until(&self, time: Time) -> u64 {
        let ms = time
            .0
            .as_millisecond()
            .saturating_sub(self.now.as_millisecond());
        u64::try_from(ms).unwrap_or(0) / 1_000
    }
}

/// The two largest units of a duration, as it is read: `4m12s`, `3d4h`; less than a second is `0s`.
pub(crate) fn span(length: DurationMs) -> String {
    let seconds = length.0 / 1_000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    let kept = match (days, hours, minutes) {
        (0, 0, _) => seconds,
        (0, _, _) => seconds - seconds % 60,
        _ => seconds - seconds % 3_600,
    };
    DurationMs::from_secs(kept).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment() -> Moment {
        Moment {
            now: "2026-11-21T11:00:00Z".parse().unwrap(),
            zone: TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap(),
        }
    }

    fn at(text: &str) -> Time {
        Time(text.parse().unwrap())
    }

    #[test]
    fn local_time_carries_its_zone_and_the_day_unless_it_is_today() {
        let moment = moment();
        assert_eq!(moment.clock(at("2026-11-21T11:00:15Z")), "12:00:15 CET");
        assert_eq!(
            moment.clock(at("2026-07-01T10:00:15Z")),
            "2026-07-01 12:00:15 CEST"
        );
        // Yesterday in UTC, today here.
        assert_eq!(moment.clock(at("2026-11-20T23:30:00Z")), "00:30:00 CET");
        assert_eq!(
            moment.full(at("2026-11-21T11:00:15Z")),
            "2026-11-21 12:00:15 CET (in 15s)"
        );
    }

    #[test]
    fn distance_has_a_direction() {
        let moment = moment();
        assert_eq!(moment.relative(at("2026-11-21T10:59:52Z")), "8s ago");
        assert_eq!(moment.relative(at("2026-11-21T11:00:00.4Z")), "now");
        assert_eq!(moment.relative(at("2026-11-21T13:05:59Z")), "in 2h5m");
        assert_eq!(moment.seconds_until(at("2026-11-21T10:59:52Z")), 0);
        assert_eq!(moment.seconds_until(at("2026-11-21T11:00:09.9Z")), 9);
    }

    #[test]
    fn a_span_shows_two_units() {
        let cases = [
            (0, "0s"),
            (999, "0s"),
            (15_000, "15s"),
            (252_000, "4m12s"),
            (300_000, "5m"),
            (7_559_000, "2h5m"),
            (273_600_000 + 59_000, "3d4h"),
            (86_400_000, "1d"),
        ];
        for (ms, shown) in cases {
            assert_eq!(span(DurationMs(ms)), shown);
        }
    }
}
