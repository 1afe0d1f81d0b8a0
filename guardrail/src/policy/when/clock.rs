//! What a clock and a calendar show within a week. Knows no zone.

use std::fmt;

use jiff::civil::{DateTime, Weekday};

pub(super) const MINUTES_PER_DAY: u16 = 24 * 60;
/// Minutes of a week.
pub const MINUTES_PER_WEEK: u16 = 7 * MINUTES_PER_DAY;

/// A time of day in minutes, from `00:00` to `24:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Clock(u16);

impl Clock {
    /// `hour:minute`; nothing if a day has no such time.
    pub fn new(hour: u16, minute: u16) -> Option<Self> {
        let minutes = hour.checked_mul(60)?.checked_add(minute)?;
        (minute < 60 && minutes <= MINUTES_PER_DAY).then_some(Self(minutes))
    }

    /// Minutes since midnight.
    pub const fn minutes(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

/// Days of the week.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Days(u8);

impl Days {
    /// All of them.
    pub const ALL: Self = Self(0x7f);

    /// Takes in one more.
    pub fn add(&mut self, day: Day) {
        self.0 |= 1 << day.0;
    }

    /// Each of them, from Monday on.
    pub fn each(self) -> impl Iterator<Item = Day> {
        (0..7).map(Day).filter(move |day| self.0 & 1 << day.0 != 0)
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ALL {
            return f.write_str("daily");
        }
        let names: Vec<String> = self.each().map(|day| day.to_string()).collect();
        f.write_str(&names.join(","))
    }
}

/// A day of the week, from 0 for Monday.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(u8);

/// Names of the days, as they are written.
const NAMES: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

impl Day {
    /// A day by its name, in capital or small letters.
    pub fn named(name: &str) -> Option<Self> {
        let index = NAMES.iter().position(|day| day.eq_ignore_ascii_case(name));
        Some(Self(u8::try_from(index?).ok()?))
    }

    /// The day after it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self((self.0 + 1) % 7)
    }

    /// Those from this one to another, both among them.
    pub fn to(self, last: Self) -> Days {
        let mut days = Days::default();
        let mut day = self;
        days.add(day);
        while day != last {
            day = day.next();
            days.add(day);
        }
        days
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAMES.get(usize::from(self.0)).copied().unwrap_or("?"))
    }
}

/// A minute of the week, from Monday 00:00.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u16);

impl Moment {
    /// A time on a day; `24:00` is the beginning of the next one.
    pub const fn new(day: Day, at: Clock) -> Self {
        Self((day.0 as u16 * MINUTES_PER_DAY + at.0) % MINUTES_PER_WEEK)
    }

    /// What is shown.
    pub fn of(shown: DateTime) -> Self {
        let day = shown.date().weekday().since(Weekday::Monday);
        let minutes = i32::from(day) * i32::from(MINUTES_PER_DAY)
            + i32::from(shown.hour()) * 60
            + i32::from(shown.minute());
        Self(u16::try_from(minutes).unwrap_or(0) % MINUTES_PER_WEEK)
    }

    /// Minutes since Monday 00:00.
    pub const fn minutes(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (day, minutes) = (self.0 / MINUTES_PER_DAY, self.0 % MINUTES_PER_DAY);
        let day = Day(u8::try_from(day).unwrap_or(0));
        write!(f, "{day} {}", Clock(minutes))
    }
}
