//! Points in time and durations. No clock is read here, and the two clocks have no conversion between them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Wall-clock time for people and records, in milliseconds since 1970 (UTC). Never a kernel deadline.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct UnixMs(pub u64);

/// A kernel deadline on `CLOCK_BOOTTIME`; worthless without the boot id that it belongs to.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct BootNs(pub u64);

/// A span of time.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct DurationMs(pub u64);

/// Longest duration that can be written: a leap year, past which nobody means what they wrote.
pub const DURATION_MAX: DurationMs = DurationMs(366 * 86_400_000);

impl UnixMs {
    /// This much later; stays at the end of the range.
    #[must_use]
    pub fn plus(self, span: DurationMs) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// Whether this was less than `span` before `now`. What is yet to come was not: a clock that was set back is no reason to wait.
    #[must_use]
    pub fn is_within(self, span: DurationMs, now: Self) -> bool {
        self <= now && now.since(self) < span
    }

    /// Time from `earlier` to this, nothing if it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> DurationMs {
        DurationMs(self.0.saturating_sub(earlier.0))
    }
}

/// RFC 3339 in UTC with milliseconds.
impl fmt::Display for UnixMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match i64::try_from(self.0)
            .ok()
            .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        {
            Some(stamp) => write!(f, "{stamp:.3}"),
            None => write!(f, "{} ms", self.0),
        }
    }
}

/// Units from the longest down; `m` is minutes.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

impl DurationMs {
    /// So many seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000))
    }
}

/// As it is read: `15s`, `1h30m`, `250ms`.
impl DurationMs {
    /// For people: whole seconds, unless there is not even one.
    #[must_use]
    pub const fn in_seconds(self) -> Self {
        if self.0 < 1_000 {
            self
        } else {
            Self(self.0 - self.0 % 1_000)
        }
    }
}

impl fmt::Display for DurationMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.pad("0s");
        }
        let mut rest = self.0;
        let mut text = String::new();
        for (unit, ms) in UNITS {
            if rest >= ms {
                text.push_str(&(rest / ms).to_string());
                text.push_str(unit);
                rest %= ms;
            }
        }
        f.pad(&text)
    }
}

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not number and unit.
    #[error(
        "`{shown}` is not a duration; write a number with `ms`, `s`, `m`, `h` or `d`, such as `15s` or `1h30m`"
    )]
    Malformed {
        /// The text, shown safely
        shown: String,
    },
    /// Longer than [`DURATION_MAX`].
    #[error("`{shown}` is longer than {DURATION_MAX}")]
    TooLong {
        /// The text, shown safely
        shown: String,
    },
}

impl FromStr for DurationMs {
    type Err = DurationError;

    /// Numbers with units, longest unit first, each unit once.
    fn from_str(text: &str) -> Result<Self, DurationError> {
        let shown = || crate::text::Safe(text.as_bytes()).to_string();
        let malformed = || DurationError::Malformed { shown: shown() };
        let mut rest = text;
        let mut total = 0u64;
        let mut shorter_than = u64::MAX;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, tail) = rest.split_at(digits);
            let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (unit, tail) = tail.split_at(letters);
            let ms = UNITS
                .iter()
                .find(|(name, _)| *name == unit)
                .map(|(_, ms)| *ms)
                .ok_or_else(malformed)?;
            if ms >= shorter_than || digits == 0 {
                return Err(malformed());
            }
            let number: u64 = number
                .parse()
                .map_err(|_| DurationError::TooLong { shown: shown() })?;
            total = total.saturating_add(number.saturating_mul(ms));
            shorter_than = ms;
            rest = tail;
        }
        if text.is_empty() {
            return Err(malformed());
        }
        if total > DURATION_MAX.0 {
            return Err(DurationError::TooLong { shown: shown() });
        }
        Ok(Self(total))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        for (text, ms) in [
            ("15s", 15_000),
            ("10m", 600_000),
            ("4h", 14_400_000),
            ("1d", 86_400_000),
            ("1h30m", 5_400_000),
            ("250ms", 250),
        ] {
            assert_eq!(text.parse(), Ok(DurationMs(ms)), "{text}");
            assert_eq!(DurationMs(ms).to_string(), text);
        }
    }

    #[test]
    fn nonsense_is_no_duration() {
        for text in [
            "", "15", "s", "-5s", "5 s", "1.5h", "10x", "1m1h", "1s1s", "٣s", "5s\n", "1h-",
        ] {
            assert!(
                matches!(
                    text.parse::<DurationMs>(),
                    Err(DurationError::Malformed { .. })
                ),
                "{text:?}"
            );
        }
        for text in ["367d", "99999999999999999999s", "18446744073709551615d"] {
            assert!(
                matches!(
                    text.parse::<DurationMs>(),
                    Err(DurationError::TooLong { .. })
                ),
                "{text:?}"
            );
        }
    }

    #[test]
    fn times_are_shown_in_utc_and_never_panic() {
        assert_eq!(
            UnixMs(1_795_222_183_512).to_string(),
            "2026-11-21T00:49:43.512Z"
        );
        assert_eq!(UnixMs(u64::MAX).to_string(), "18446744073709551615 ms");
        assert_eq!(UnixMs(5).since(UnixMs(9)), DurationMs(0));
    }

    proptest! {
        #[test]
        fn every_duration_reads_back(ms in 0..=DURATION_MAX.0) {
            prop_assert_eq!(DurationMs(ms).to_string().parse(), Ok(DurationMs(ms)));
        }
    }
}
