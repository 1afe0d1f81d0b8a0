//! How windows are written: `Mon-Fri 09:00-17:00 Europe/Berlin`, `Fri 16:00 - Mon 08:00 Europe/Berlin`,
//! `daily 22:00-06:00 UTC`, `2026-12-20 18:00 - 2027-01-04 06:00 Europe/Berlin`, `2026-12-24 - 2026-12-26 UTC`.

use std::{fmt, str::FromStr};

use jiff::civil::{Date, DateTime, Time};

use super::{
    Clock, Days, Moment, Period, Window,
    clock::{Day, MINUTES_PER_DAY},
    zone::{Zone, ZoneError},
};
use crate::{text::safe, time::UnixMs};

/// Why a text is no window.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// Not written as one.
    #[error("`{0}` is no window")]
    Malformed(String),
    /// Without a zone, nobody knows which clock is meant.
    #[error("the window `{0}` has no time zone")]
    NoZone(String),
    /// A zone that nobody knows.
    #[error("`{0}`: {1}")]
    Zone(String, ZoneError),
    /// It ends where it begins, or before.
    #[error("the window `{0}` ends where it begins, or before")]
    Empty(String),
}

impl WindowError {
    /// What to write instead.
    pub fn remedy(&self) -> String {
        match self {
            Self::Zone(_, ZoneError { near: Some(near) }) => format!("did you mean `{near}`?"),
            Self::NoZone(_) | Self::Zone(..) => {
                "name a zone at the end, such as `Europe/Berlin` or `UTC`".into()
            }
            Self::Empty(_) => "a whole day is `00:00-24:00`".into(),
            Self::Malformed(_) => {
                "write `Mon-Fri 09:00-17:00 ZONE`, `Fri 16:00 - Mon 08:00 ZONE`, `daily 22:00-06:00 ZONE` or \
                 `2026-12-24 18:00 - 2026-12-27 06:00 ZONE`"
                    .into()
            }
        }
    }
}

impl FromStr for Window {
    type Err = WindowError;

    fn from_str(text: &str) -> Result<Self, WindowError> {
        let shown = || safe(text);
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let (period, zone) = match words.as_slice() {
            [rest @ .., zone] if !is_part(zone) => (rest, zone),
            [] => return Err(WindowError::Malformed(shown())),
            rest => {
                let period = period(rest);
                return Err(match period {
                    Some(_) => WindowError::NoZone(shown()),
                    None => WindowError::Malformed(shown()),
                });
            }
        };
        let period = self::period(period).ok_or_else(|| WindowError::Malformed(shown()))?;
        let zone = Zone::named(zone).map_err(|error| WindowError::Zone(safe(zone), error))?;
        if period.is_empty() {
            return Err(WindowError::Empty(shown()));
        }
        Ok(Self { period, zone })
    }
}

/// Whether a word can only be a part of the period: a zone begins with a letter and is no day.
fn is_part(word: &str) -> bool {
    !word.starts_with(|first: char| first.is_ascii_alphabetic()) || days(word).is_some()
}

fn period(words: &[&str]) -> Option<Period> {
    match words {
        [days_text, times] => {
            let days = days(days_text)?;
            let (from, to) = times.split_once('-')?;
            let (from, to) = (clock(from)?, clock(to)?);
            Some(Period::Days { days, from, to })
        }
        [first, from, "-", last, to] if Day::named(first).is_some() => Some(Period::Week {
            from: Moment::new(Day::named(first)?, clock(from)?),
            to: Moment::new(Day::named(last)?, clock(to)?),
        }),
        [first, from, "-", last, to] => Some(Period::Once {
            from: date(first)?.to_datetime(time(clock(from)?)?),
            to: date_time(last, clock(to)?)?,
        }),
        // Whole days, the last one among them.
        [first, "-", last] => Some(Period::Once {
            from: date(first)?.to_datetime(Time::midnight()),
            to: date_time(last, Clock::new(24, 0)?)?,
        }),
        _ => None,
    }
}

impl Period {
    /// Whether it ends where it begins, or before.
    fn is_empty(&self) -> bool {
        match self {
            Self::Days { from, to, .. } => from == to || from.minutes() == MINUTES_PER_DAY,
            Self::Week { from, to } => from == to,
            Self::Once { from, to } => from >= to,
        }
    }
}

fn days(text: &str) -> Option<Days> {
    if text.eq_ignore_ascii_case("daily") {
        return Some(Days::ALL);
    }
    let mut days = Days::default();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let run = Day::named(first)?.to(Day::named(last)?);
        run.each().for_each(|day| days.add(day));
    }
    Some(days)
}

/// Exactly `HH:MM`.
fn clock(text: &str) -> Option<Clock> {
    let (hour, minute) = text.split_once(':')?;
    let two = |digits: &str| {
        let well = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        well.then(|| digits.parse().ok()).flatten()
    };
    Clock::new(two(hour)?, two(minute)?)
}

/// Nothing for `24:00`, which no clock shows.
fn time(at: Clock) -> Option<Time> {
    let minutes = at.minutes();
    let (hour, minute) = (minutes / 60, minutes % 60);
    Time::new(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, 0, 0).ok()
}

/// Exactly `YYYY-MM-DD`.
fn date(text: &str) -> Option<Date> {
    let well = text.len() == 10
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'-');
    well.then(|| text.parse().ok()).flatten()
}

/// `24:00` is the beginning of the next day.
fn date_time(day: &str, at: Clock) -> Option<DateTime> {
    let day = date(day)?;
    if at.minutes() == MINUTES_PER_DAY {
        return Some(day.tomorrow().ok()?.to_datetime(Time::midnight()));
    }
    Some(day.to_datetime(time(at)?))
}

/// A point in time as tests say it: `2026-11-27 18:00 Europe/Berlin`. One that a clock shows twice is the first of them.
pub fn point(text: &str) -> Result<UnixMs, PointError> {
    let malformed = || PointError::Malformed(safe(text));
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let [day, time, zone] = words.as_slice() else {
        return Err(malformed());
    };
    let shown = clock(time)
        .and_then(|at| date_time(day, at))
        .ok_or_else(malformed)?;
    let zone = Zone::named(zone).map_err(|error| PointError::Zone(safe(zone), error))?;
    let at = zone
        .first_shown(shown)
        .ok_or_else(|| PointError::Never(safe(text)))?;
    let ms = u64::try_from(at.as_millisecond()).map_err(|_| PointError::Never(safe(text)))?;
    Ok(UnixMs(ms))
}

/// Why a text is no point in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PointError {
    /// Not written as one.
    #[error("`{0}` is no time; write `2026-11-27 18:00 Europe/Berlin`, always with a zone")]
    Malformed(String),
    /// A zone that nobody knows.
    #[error("`{0}`: {1}")]
    Zone(String, ZoneError),
    /// No clock there shows it.
    #[error("no clock ever shows `{0}`: it is skipped there, or before 1970")]
    Never(String),
}

/// As it is read again.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.period {
            Period::Days { days, from, to } => write!(f, "{days} {from}-{to}")?,
            Period::Week { from, to } => write!(f, "{from} - {to}")?,
            Period::Once { from, to } => {
                write!(f, "{} - {}", day_and_time(*from), day_and_time(*to))?;
            }
        }
        write!(f, " {}", self.zone.name())
    }
}

fn day_and_time(at: DateTime) -> impl fmt::Display {
    at.strftime("%Y-%m-%d %H:%M")
}
