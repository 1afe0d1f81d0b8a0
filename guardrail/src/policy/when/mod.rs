//! When a rule counts: windows that come again, single periods, and both turned round.
//!
//! Says what a clock on the wall of the named zone shows; [`spans`] turns that into points in time. Reads no clock.

mod clock;
mod spans;
#[cfg(test)]
mod tests;
mod text;
mod zone;

pub use clock::{Clock, Days, MINUTES_PER_WEEK, Moment};
pub use spans::{Span, Spans};
pub use text::{PointError, WindowError, point};
pub use zone::{Zone, ZoneError};

use std::fmt;

use jiff::{Timestamp, civil::DateTime};

use super::args::Met;
use crate::{id::FlagName, time::UnixMs};

/// Flags that are set, each with its end.
pub type Flags = std::collections::BTreeMap<FlagName, UnixMs>;

/// When a rule counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct When {
    /// The windows; none where only flags say when
    pub windows: Vec<Window>,
    /// Whether it counts in none of them instead of in any
    pub outside: bool,
    /// Flags while one of which is set it counts, too; none beside `outside`
    pub flags: Vec<FlagName>,
    /// What became of the flags, where it is known which are set: it counts until then. Never beside flags
    pub until: Option<UnixMs>,
}

impl When {
    /// Whether the rule counts, if two clocks say that it is `unix` and just these flags are set. While one clock says yes and
    /// the other no, and if nobody says what time it is or which flags are set, it may.
    pub fn met(&self, unix: Option<[UnixMs; 2]>, flags: Option<&[FlagName]>) -> Met {
        if !self.flags.is_empty() {
            match flags {
                None => return Met::Maybe,
                Some(set) if self.flags.iter().any(|one| set.contains(one)) => return Met::Yes,
                Some(_) => {}
            }
        }
        if self.windows.is_empty() && self.until.is_none() {
            return Met::No;
        }
        let Some(unix) = unix else {
            return Met::Maybe;
        };
        match unix.map(|unix| self.counts(unix)) {
            [true, true] => Met::Yes,
            [false, false] => Met::No,
            _ => Met::Maybe,
        }
    }

    fn counts(&self, unix: UnixMs) -> bool {
        let flagged = self.until.is_some_and(|until| unix < until);
        flagged || self.windows.iter().any(|window| window.contains(unix)) != self.outside
    }

    /// The same where it is known which flags are set, and until when: points in time, which need nobody to end.
    #[must_use]
    pub fn resolved(&self, flags: &Flags) -> Self {
        let set = self.flags.iter().filter_map(|one| flags.get(one));
        Self {
            until: set.max().copied(),
            flags: vec![],
            ..self.clone()
        }
    }
}

/// As a person reads it.
impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let windows: Vec<String> = self.windows.iter().map(Window::to_string).collect();
        let outside = if self.outside { "outside of " } else { "" };
        write!(f, "{outside}{}", windows.join(", "))?;
        if self.flags.is_empty() {
            return Ok(());
        }
        let or = if windows.is_empty() { "" } else { ", or " };
        let flags: Vec<String> = self.flags.iter().map(|one| format!("`{one}`")).collect();
        write!(f, "{or}while {} is set", flags.join(" or "))
    }
}

/// One window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// What the clock shows in it
    pub period: Period,
    /// Where the clock hangs
    pub zone: Zone,
}

/// What the clock shows in a window: from the first moment on, before the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Period {
    /// Between these times, from each of these days on: into the next day where the second is not later
    Days {
        /// On which it begins
        days: Days,
        /// First time
        from: Clock,
        /// No longer then
        to: Clock,
    },
    /// Once a week; over its end where the second is not later
    Week {
        /// First moment
        from: Moment,
        /// No longer then
        to: Moment,
    },
    /// Once
    Once {
        /// First moment
        from: DateTime,
        /// No longer then
        to: DateTime,
    },
}

impl Window {
    /// Whether the clock shows a time in the window.
    pub fn contains(&self, unix: UnixMs) -> bool {
        let Some(time) = timestamp(unix) else {
            return true; // beyond the calendar, where nothing is known to be free
        };
        let shown = self.zone.shown(time);
        match &self.period {
            Period::Once { from, to } => *from <= shown && shown < *to,
            Period::Week { from, to } => week_contains(*from, *to, Moment::of(shown)),
            Period::Days { days, from, to } => days.each().any(|day| {
                let begins = Moment::new(day, *from);
                let ends = if from < to {
                    Moment::new(day, *to)
                } else {
                    Moment::new(day.next(), *to)
                };
                week_contains(begins, ends, Moment::of(shown))
            }),
        }
    }
}

/// Whether a moment of the week is in this part of it, which may go over the week's end.
fn week_contains(from: Moment, to: Moment, at: Moment) -> bool {
    if from < to {
        from <= at && at < to
    } else {
        from <= at || at < to
    }
}

fn timestamp(unix: UnixMs) -> Option<Timestamp> {
    Timestamp::from_millisecond(i64::try_from(unix.0).ok()?).ok()
}
