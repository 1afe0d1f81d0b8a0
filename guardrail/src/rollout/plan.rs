//! What somebody wants of a roll-out: where first, for how long, and what stops it.

use std::{fmt, str::FromStr};

use crate::{limits::CANARY_LABELS_MAX, policy::HostSelector, time::DurationMs};

/// Shortest phase: in less nobody is denied anything, so that it says nothing.
pub const PHASE_MIN: DurationMs = DurationMs::from_secs(1);
/// Longest phase: what takes more than a month was forgotten.
pub const PHASE_MAX: DurationMs = DurationMs::from_secs(31 * 86_400);
/// Time on the canary hosts where nobody says another one: long enough for what people do all day, short enough for
/// one working day.
pub const CANARY_DEFAULT: DurationMs = DurationMs::from_secs(2 * 3_600);
/// Largest factor; what goes on a hundred times as often as before should not count as nothing.
const FACTOR_MAX: u32 = 100;

/// How many times as often as before is a jump: `3x`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Factor(u32);

/// Where nobody says another one.
impl Default for Factor {
    fn default() -> Self {
        Self(3)
    }
}

impl Factor {
    /// From 1 to [`FACTOR_MAX`] times.
    pub fn new(times: u32) -> Result<Self, PlanError> {
        if (1..=FACTOR_MAX).contains(&times) {
            Ok(Self(times))
        } else {
            Err(PlanError::Factor)
        }
    }

    /// How many times.
    pub fn times(self) -> u32 {
        self.0
    }
}

impl FromStr for Factor {
    type Err = PlanError;
    fn from_str(text: &str) -> Result<Self, PlanError> {
        let digits = text.strip_suffix('x').unwrap_or(text);
        let times = digits.parse().map_err(|_| PlanError::Factor)?;
        Self::new(times)
    }
}

impl fmt::Display for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x", self.0)
    }
}

/// How a revision comes to every host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    monitor_for: Option<DurationMs>,
    canary: HostSelector,
    canary_for: DurationMs,
    stop_at: Factor,
}

/// What a plan cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Without labels every host would be a canary.
    #[error(
        "a roll-out needs labels of the hosts that get the revision first; give them as `--canary env=canary`"
    )]
    NoLabels,
    /// More than a host can have.
    #[error("a roll-out names at most {CANARY_LABELS_MAX} labels")]
    TooManyLabels,
    /// Too short or too long.
    #[error("a phase of a roll-out takes from {PHASE_MIN} to {PHASE_MAX}")]
    Length,
    /// No factor.
    #[error("`--stop-at` is from 1x to {FACTOR_MAX}x")]
    Factor,
}

impl Plan {
    /// A plan that makes sense.
    pub fn new(
        monitor_for: Option<DurationMs>,
        canary: HostSelector,
        canary_for: DurationMs,
        stop_at: Factor,
    ) -> Result<Self, PlanError> {
        let values: usize = canary.0.iter().map(|(_, values)| values.len()).sum();
        if values == 0 || canary.0.iter().any(|(_, values)| values.is_empty()) {
            return Err(PlanError::NoLabels);
        }
        if values > CANARY_LABELS_MAX {
            return Err(PlanError::TooManyLabels);
        }
        let phases = monitor_for.into_iter().chain([canary_for]);
        if phases
            .into_iter()
            .any(|one| one < PHASE_MIN || one > PHASE_MAX)
        {
            return Err(PlanError::Length);
        }
        Ok(Self {
            monitor_for,
            canary,
            canary_for,
            stop_at,
        })
    }

    /// How long every host watches it before; none where it does not.
    pub fn monitor_for(&self) -> Option<DurationMs> {
        self.monitor_for
    }

    /// The phase with which it begins.
    pub fn first(&self) -> super::Phase {
        match self.monitor_for {
            Some(_) => super::Phase::Monitor,
            None => super::Phase::Canary,
        }
    }

    /// The hosts that get it first.
    pub fn canary(&self) -> &HostSelector {
        &self.canary
    }

    /// How long they have it before the others.
    pub fn canary_for(&self) -> DurationMs {
        self.canary_for
    }

    /// What stops it.
    pub fn stop_at(&self) -> Factor {
        self.stop_at
    }
}

/// `monitored for 1h, then on env=canary for 2h, stopped at 3x`.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            monitor_for,
            canary,
            canary_for,
            stop_at,
        } = self;
        match monitor_for {
            Some(monitor_for) => write!(f, "monitored for {monitor_for}, then on ")?,
            None => f.write_str("first on ")?,
        }
        write!(f, "{canary} for {canary_for}, stopped at {stop_at}")
    }
}
