//! How long a stage has, and what is said of one that was not complete in its time.
//!
//! Knows no clock: a time that goes back makes a stage wait for longer, and never takes back what somebody concluded.

use std::fmt;

use super::{Progress, Stage};
use crate::{
    id::ApprovalName,
    time::{DurationMs, UnixMs},
};

/// A stage that was not complete in its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lapse {
    /// Of which approval
    pub approval: ApprovalName,
    /// Which, from 1
    pub stage: u32,
    /// How many people it takes
    pub needed: usize,
    /// How many of them were missing
    pub missing: usize,
    /// How long it had
    pub timeout: DurationMs,
    /// When that was over
    pub at: UnixMs,
}

impl fmt::Display for Lapse {
    /// `stage 1 of prod-change: nobody approved in 15m`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            approval,
            stage,
            needed,
            missing,
            timeout,
            ..
        } = self;
        write!(f, "stage {stage} of {approval}: ")?;
        match needed.saturating_sub(*missing) {
            0 => write!(f, "nobody approved in {timeout}"),
            given => write!(f, "{given} of {needed} approved in {timeout}"),
        }
    }
}

impl Progress {
    /// Until when the stage that waits has to be complete, if it has a time of its own.
    pub fn deadline(&self) -> Option<UnixMs> {
        let timeout = self.waiting()?.timeout?;
        Some(self.since.plus(timeout))
    }

    /// What is to be said if the stage that waits had its time at `now`.
    pub fn lapse(&self, now: UnixMs) -> Option<Lapse> {
        let at = self.deadline().filter(|at| now >= *at)?;
        let stage: &Stage = self.waiting()?;
        Some(Lapse {
            approval: self.plan.name.clone(),
            stage: self.stage.saturating_add(1),
            needed: stage.needed(),
            missing: self.missing(),
            timeout: stage.timeout?,
            at,
        })
    }
}
