//! Whose approval a change of a policy takes.

use serde::Deserialize;
use stayhand_guardrail::{
    approval::{Approver, Plan, Quorum, Stage},
    id::ApprovalName,
    limits::{APPROVERS_MAX, STAGES_MAX},
};

/// Whose approval a change of a policy takes; nobody else's, if it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Changes {
    /// One after the other
    pub stages: Vec<ChangeStage>,
}

/// One stage: exactly one of `any`, `all` and `count` with `of`, as in policies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChangeStage {
    any: Vec<Approver>,
    all: Vec<Approver>,
    count: Option<u32>,
    of: Vec<Approver>,
}

impl Changes {
    /// What a change takes; none where whoever may act may change policies alone.
    pub fn plan(&self) -> Result<Option<Plan>, String> {
        if self.stages.is_empty() {
            return Ok(None);
        }
        if self.stages.len() > STAGES_MAX {
            return Err(format!("has more than {STAGES_MAX} stages"));
        }
        let stages: Result<Vec<Stage>, String> =
            self.stages.iter().map(ChangeStage::read).collect();
        let name: ApprovalName = "policies".parse().map_err(|_| "has no name".to_owned())?;
        Ok(Some(Plan {
            name,
            stages: stages?,
        }))
    }
}

impl ChangeStage {
    fn read(&self) -> Result<Stage, String> {
        let (quorum, of) = match self {
            Self {
                any,
                all,
                count: None,
                of,
            } if all.is_empty() && of.is_empty() => (Quorum::Any, any),
            Self {
                any,
                all,
                count: None,
                of,
            } if any.is_empty() && of.is_empty() => (Quorum::All, all),
            Self {
                any,
                all,
                count: Some(count),
                of,
            } if any.is_empty() && all.is_empty() => (Quorum::Count(*count), of),
            _ => {
                return Err("a stage has exactly one of `any`, `all` and `count` with `of`".into());
            }
        };
        let stage = Stage {
            quorum,
            of: of.clone(),
            escalation: None,
        };
        let too_few = stage
            .named_at_most()
            .is_some_and(|named| named < stage.needed());
        if stage.of.is_empty() || stage.of.len() > APPROVERS_MAX || stage.needed() == 0 || too_few {
            return Err(format!(
                "a stage names 1 to {APPROVERS_MAX} approvers, at least as many people as it needs"
            ));
        }
        Ok(stage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Result<Option<String>, String> {
        let changes: Changes = toml::from_str(text).map_err(|error| error.to_string())?;
        Ok(changes.plan()?.map(|plan| plan.to_string()))
    }

    #[test]
    fn what_nobody_could_approve_is_refused() {
        for text in [
            "stages = [{}]",
            "stages = [{ any = [] }]",
            "stages = [{ any = [\"user:a\"], all = [\"user:b\"] }]",
            "stages = [{ count = 0, of = [\"group:a\"] }]",
            "stages = [{ count = 2, of = [\"user:a\"] }]",
            "stages = [{ count = 2 }]",
            "stages = [{ any = [\"bob\"] }]",
            "stages = [{ any = [\"user:a\"], of = [\"user:b\"] }]",
        ] {
            assert!(plan(text).is_err(), "{text}");
        }
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
