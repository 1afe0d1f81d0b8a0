//! Whether a revision restricts much more than the one before it did. Counts come from hosts, which may lie: what they say can
//! stop a roll-out and never end one.

use crate::{
    event::{DecisionEvent, RuleRef},
    reason::{Reason, Verdict},
    time::{DurationMs, UnixMs},
};

use super::Factor;

/// How far back the revision before is looked at: a day, so that night and day are in it.
pub const BASELINE: DurationMs = DurationMs::from_secs(24 * 3_600);
/// What is counted together, and the shortest time that is compared: in minutes everything is a jump.
pub const HOUR: DurationMs = DurationMs::from_secs(3_600);
/// Fewer are no jump, whatever was before: one person who tries a thing again, or a job that repeats.
pub const JUMP_MIN: u64 = 10;

/// The hour of a time, counted since 1970.
pub fn hour(at: UnixMs) -> u64 {
    at.0 / HOUR.0
}

/// The rule that restricted, or would have in monitor mode. What became of a hold later is no further restriction.
pub fn restricting(decision: &DecisionEvent) -> Option<&RuleRef> {
    let is_outcome = matches!(
        decision.reason,
        Reason::HoldApproved
            | Reason::HoldRefused
            | Reason::HoldLapsed
            | Reason::HoldTimedOut
            | Reason::HoldCancelled
    );
    let restricts = decision.verdict != Verdict::Allowed || decision.reason == Reason::WouldHave;
    decision.rule.as_ref().filter(|_| restricts && !is_outcome)
}

/// What the revision before restricted, and in how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Baseline {
    /// How often
    pub counted: u64,
    /// In how long
    pub period: DurationMs,
}

/// How often the new revision may restrict in so long before it is a jump.
pub fn limit(baseline: Baseline, elapsed: DurationMs, stop_at: Factor) -> u64 {
    let period = u128::from(baseline.period.0.max(HOUR.0));
    let elapsed = u128::from(elapsed.0.max(HOUR.0));
    // Cannot overflow: 64 and 64 bits, and a factor that is looked at after the division.
    let expected = (u128::from(baseline.counted) * elapsed).div_ceil(period);
    let times = expected.saturating_mul(u128::from(stop_at.times()));
    // One less than the fewest that are a jump.
    u64::try_from(times).unwrap_or(u64::MAX).max(JUMP_MIN - 1)
}
