//! Who may approve a hold, and how far that is.

use serde::Serialize;
use stayhand_guardrail::{
    approval::{Progress, Review},
    hold,
    text::safe,
    time::DurationMs,
};
use stayhand_proto::v1;

use super::parts::{self, Time};
use crate::time::{Moment, span};

/// Of a hold whose rule nobody knows.
const UNKNOWN: &str =
    "nobody may: its rule is in no policy revision that the control plane knows; refuse it";
/// Of one that this build cannot read.
const UNREADABLE: &str = "this version cannot read who may; use the one of the control plane";

/// An approval.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Approval {
    /// Its name in the policy
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Each stage in words
    stages: Vec<String>,
    /// The stage that waits, from 1; none where none does
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<usize>,
    /// How many more approvals the stage takes
    missing: usize,
    /// When the stage has had its time; absent where it has no time of its own
    #[serde(skip_serializing_if = "Option::is_none")]
    stage_expire_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stage_seconds_left: Option<u64>,
    reviews: Vec<Counted>,
    /// Why nobody may approve
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'static str>,
}

/// One approval that counted.
#[derive(Clone, Debug, Serialize)]
struct Counted {
    by: String,
    /// From 1
    stage: u32,
    reason: String,
}

impl Approval {
    pub(crate) fn of(wire: v1::Approval) -> Self {
        let problem = |problem| Self {
            problem: Some(problem),
            ..Self::default()
        };
        match hold::Approval::try_from(wire) {
            Ok(hold::Approval::Plan(progress)) => Self::of_progress(&progress),
            Ok(hold::Approval::Unknown) => problem(UNKNOWN),
            Ok(hold::Approval::Operators) => Self::default(),
            Err(_) => problem(UNREADABLE),
        }
    }

    /// With the time that is left of the stage.
    pub(crate) fn at(self, moment: &Moment) -> Self {
        let end = self.stage_expire_time;
        Self {
            stage_seconds_left: end.map(|end| moment.seconds_until(end)),
            ..self
        }
    }

    /// Of what is over: no stage waits any more.
    pub(crate) fn ended(self) -> Self {
        Self {
            stage: None,
            stage_expire_time: None,
            stage_seconds_left: None,
            ..self
        }
    }

    fn of_progress(progress: &Progress) -> Self {
        let counted = |review: &Review| Counted {
            by: review.by.to_string(),
            stage: review.stage.saturating_add(1),
            reason: review.reason.clone(),
        };
        let stage = usize::try_from(progress.stage).unwrap_or(usize::MAX);
        let stages = progress.plan.stages.iter();
        Self {
            name: Some(progress.plan.name.to_string()),
            stages: stages.map(ToString::to_string).collect(),
            stage: (!progress.is_complete()).then(|| stage.saturating_add(1)),
            missing: progress.missing(),
            stage_expire_time: progress.deadline().and_then(parts::unix),
            stage_seconds_left: None,
            reviews: progress.reviews.iter().map(counted).collect(),
            problem: None,
        }
    }

    /// The stage that waits, in words.
    pub(crate) fn waiting(&self) -> String {
        let Some(number) = self.stage else {
            return String::new();
        };
        let stage = self.stages.get(number.saturating_sub(1));
        let words = stage.map(String::as_str).unwrap_or_default();
        let of = self.stages.len();
        let left = self.stage_seconds_left.map(DurationMs::from_secs);
        let left = left.map_or_else(String::new, |left| format!("{} left, ", span(left)));
        format!(
            "stage {number} of {of}, {left}{} more: {words}",
            self.missing
        )
    }

    /// All of it, a line for each part.
    pub(crate) fn shown(&self) -> String {
        if let Some(problem) = self.problem {
            return problem.to_owned();
        }
        let name = self.name.clone().unwrap_or_default();
        let all = format!("{name}: {}", self.stages.join(", then "));
        let given = self.reviews.iter().map(|review| {
            let (by, reason) = (safe(&review.by), safe(&review.reason));
            format!("approved by {by} in stage {}: {reason}", review.stage)
        });
        let waiting = Some(self.waiting())
            .filter(|waiting| !waiting.is_empty())
            .map(|waiting| format!("waits for {waiting}"));
        let lines: Vec<String> = [all].into_iter().chain(given).chain(waiting).collect();
        lines.join("\n")
    }
}
