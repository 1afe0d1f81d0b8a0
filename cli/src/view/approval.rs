//! Who may approve a hold, and how far that is.

use serde::Serialize;
use stayhand_guardrail::{
    approval::{Progress, Review},
    hold,
    text::safe,
};
use stayhand_proto::v1;

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
        format!("stage {number} of {of}, {} more: {words}", self.missing)
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
