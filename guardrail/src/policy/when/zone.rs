//! Time zones by name, from the IANA data that the program brings along: host and control plane mean the same by a name,
//! whatever is installed where they run.

use jiff::{
    Timestamp,
    civil::DateTime,
    tz::{TimeZone, TimeZoneDatabase},
};

use crate::policy::diagnostic::nearest;

/// A time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    rules: TimeZone,
    name: String,
}

/// Why there is no such zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no time zone of this name in the IANA data of this version")]
pub struct ZoneError {
    /// One that is written alike
    pub near: Option<String>,
}

impl Zone {
    /// The zone of a name such as `Europe/Berlin` or `UTC`.
    pub fn named(name: &str) -> Result<Self, ZoneError> {
        let data = TimeZoneDatabase::bundled();
        let found = data.get(name).map_err(|_| {
            let known: Vec<String> = data.available().map(|name| name.to_string()).collect();
            ZoneError {
                near: nearest(name, known.iter().map(String::as_str)).map(str::to_owned),
            }
        })?;
        Ok(Self {
            name: found.iana_name().unwrap_or(name).to_owned(),
            rules: found,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the clock shows there.
    pub fn shown(&self, at: Timestamp) -> DateTime {
        self.rules.to_datetime(at)
    }

    /// When the clock shows this first, if it ever does.
    pub(super) fn first_shown(&self, shown: DateTime) -> Option<Timestamp> {
        let at = self.rules.to_ambiguous_timestamp(shown).earlier().ok()?;
        (self.shown(at) == shown).then_some(at)
    }

    /// Seconds that the clock is ahead of UTC.
    pub(super) fn offset(&self, at: Timestamp) -> i64 {
        i64::from(self.rules.to_offset(at).seconds())
    }

    /// When the clock is changed next.
    pub(super) fn next_change(&self, after: Timestamp) -> Option<Timestamp> {
        Some(self.rules.following(after).next()?.timestamp())
    }
}
