//! Whose approval a change of a policy takes.

use serde::Deserialize;
use stayhand_guardrail::{
    approval::{Approver, Plan, Quorum, Stage},
    id::{ApprovalName, IdError},
    limits::STAGES_MAX,
};

/// What a change takes; none where whoever may act may change policies alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Changes(pub Option<Plan>);

/// As it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    stages: Vec<WrittenStage>,
}

/// Exactly one of `any`, `all` and `count` with `of`, as in policies.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenStage {
    any: Option<Vec<Approver>>,
    all: Option<Vec<Approver>>,
    count: Option<u32>,
    of: Option<Vec<Approver>>,
    /// Read only to be refused with a reason: policies have it
    timeout: Option<serde::de::IgnoredAny>,
}

impl TryFrom<Written> for Changes {
    type Error = String;
    fn try_from(written: Written) -> Result<Self, String> {
        if written.stages.is_empty() {
            return Ok(Self(None));
        }
        if written.stages.len() > STAGES_MAX {
            return Err(format!("there are more than {STAGES_MAX} stages"));
        }
        let stages = written.stages.into_iter().map(stage);
        let name = ApprovalName::new("policies").map_err(|error: IdError| error.to_string())?;
        let stages = stages.collect::<Result<_, _>>()?;
        Ok(Self(Some(Plan { name, stages })))
    }
}

fn stage(written: WrittenStage) -> Result<Stage, String> {
    let WrittenStage {
        any,
        all,
        count,
        of,
        timeout,
    } = written;
    if timeout.is_some() {
        return Err(
            "a stage of a change has no `timeout`: a proposal waits for all its stages until it expires; take it out".into(),
        );
    }
    let (quorum, of) = match (any, all, count, of) {
        (Some(any), None, None, None) => (Quorum::Any, any),
        (None, Some(all), None, None) => (Quorum::All, all),
        (None, None, Some(count), Some(of)) => (Quorum::Count(count), of),
        _ => return Err("a stage has exactly one of `any`, `all` and `count` with `of`".into()),
    };
    let stage = Stage {
        quorum,
        of,
        escalation: None,
        timeout: None,
    };
    match stage.problem() {
        Some(problem) => Err(problem.to_string()),
        None => Ok(stage),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Result<Option<String>, String> {
        let read: Result<Changes, _> = toml::from_str(text);
        let changes = read.map_err(|error| error.to_string())?;
        Ok(changes.0.map(|plan| plan.to_string()))
    }

    #[test]
    fn what_nobody_could_approve_is_refused() {
        for text in [
            "stages = [{}]",
            "stages = [{ any = [] }]",
            "stages = [{ any = [\"user:a\"], all = [\"user:b\"] }]",
            "stages = [{ count = 0, of = [\"group:a\"] }]",
            "stages = [{ count = 33, of = [\"group:a\"] }]",
            "stages = [{ count = 2, of = [\"user:a\"] }]",
            "stages = [{ count = 2 }]",
            "stages = [{ any = [\"bob\"] }]",
            "stages = [{ any = [\"user:a\"], of = [\"user:b\"] }]",
        ] {
            assert!(plan(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_that_nobody_would_keep_is_refused_with_the_reason() {
        let error = plan("stages = [{ any = [\"user:a\"], timeout = \"15m\" }]").unwrap_err();
        assert!(error.contains("until it expires"), "{error}");
    }

    #[test]
    fn stages_are_read_as_in_policies() {
        assert_eq!(plan(""), Ok(None));
        let two = "stages = [{ any = [\"group:security\", \"user:carol\"] }, { count = 2, of = [\"group:sre\"] }]";
        assert_eq!(
            plan(two).unwrap().as_deref(),
            Some("any of group:security, user:carol, then 2 of group:sre")
        );
    }
}
