//! One test of a policy and what became of it, for people and for programs.
//!
//! A field is only ever added.

use serde::Serialize;
use stayhand_guardrail::policy::case::Judged;

use crate::view::{cell, cut};

/// One test and what became of it.
#[derive(Debug, Serialize)]
pub(super) struct Tested {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    line: u32,
    column: u32,
    user: String,
    groups: Vec<String>,
    action: String,
    grants: Vec<String>,
    expect: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expect_rule: Option<String>,
    outcome: String,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    pub(super) passed: bool,
    #[serde(skip)]
    policy: String,
    #[serde(skip)]
    decided: String,
}

impl Tested {
    pub(super) fn of(judged: &Judged<'_>, policy: &str) -> Self {
        let case = judged.case;
        let explanation = &judged.explanation;
        Self {
            name: case.name.clone(),
            line: case.at.line,
            column: case.at.column,
            user: case.user.to_string(),
            groups: case.groups.iter().map(ToString::to_string).collect(),
            action: case.attempt.to_string(),
            grants: case.grants.iter().map(ToString::to_string).collect(),
            expect: case.expect.to_string(),
            expect_rule: case.rule.as_ref().map(|rule| format!("{policy}/{rule}")),
            outcome: judged.outcome.to_string(),
            reason: explanation.reason.to_string(),
            rule: explanation.rule.as_ref().map(ToString::to_string),
            passed: judged.passes(),
            policy: policy.to_owned(),
            decided: judged.decided(),
        }
    }

    /// Heads of the columns.
    pub(super) const HEADS: [&'static str; 6] = ["RESULT", "POLICY", "TEST", "AS", "OUTCOME", "BY"];

    /// One line. Its first column is ours: what begins with a text of somebody else's could be a command to the forge that
    /// runs this.
    pub(super) fn row(&self) -> Vec<String> {
        let result = if self.passed { "ok" } else { "FAILED" };
        let name = match &self.name {
            Some(name) => cell(name),
            None => cut(&self.action),
        };
        vec![
            result.to_owned(),
            self.policy.clone(),
            name,
            cut(&self.who()),
            self.outcome.clone(),
            self.decided.clone(),
        ]
    }

    /// `alice (dev, sre)`.
    fn who(&self) -> String {
        if self.groups.is_empty() {
            return self.user.clone();
        }
        format!("{} ({})", self.user, self.groups.join(", "))
    }
}
