//! `approvals`: who may let a held action go on.

use super::{fields::Fields, names_of, net, reader::Reader};
use crate::{
    approval::{Approver, Escalation, Plan, Quorum, Stage, StageProblem},
    id::ApprovalName,
    limits::{APPROVALS_MAX, APPROVERS_MAX, HOLD_TIMEOUT_MAX, HOLD_TIMEOUT_MIN, STAGES_MAX},
    policy::{Approval, Diagnostic, diagnostic::nearest, language, yaml::Node},
    time::DurationMs,
};

/// Reads the list into the reader, where [`named`] finds it.
pub(super) fn approvals(r: &mut Reader, node: &Node) {
    let Some(items) = r.list_up_to(node, "approvals", APPROVALS_MAX) else {
        return;
    };
    for item in items {
        let Some(approval) = approval(r, item) else {
            continue;
        };
        let name = &approval.plan.name;
        if let Some(other) = r.approvals.iter().find(|other| other.plan.name == *name) {
            let message = format!(
                "approval `{name}` is defined twice, first in line {}",
                other.at.line
            );
            r.report(Diagnostic::error(item.at, name.as_str(), message));
            continue;
        }
        r.approvals.push(approval);
    }
}

/// An approval by its name.
pub(super) fn named(r: &mut Reader, node: &Node) -> Option<ApprovalName> {
    let name: ApprovalName = r.parsed(node, "approval")?;
    if let Some(found) = r.approvals.iter_mut().find(|one| one.plan.name == name) {
        found.used = true;
        return Some(name);
    }
    let message = format!("the policy has no approval `{name}`");
    let error = Diagnostic::error(node.at, name.as_str(), message);
    let known = r.approvals.iter().map(|one| one.plan.name.as_str());
    let error = match nearest(name.as_str(), known) {
        Some(near) => error.suggest(format!("did you mean `{near}`?")),
        None => error.suggest("define it under `approvals`"),
    };
    r.report(error);
    None
}

fn approval(r: &mut Reader, node: &Node) -> Option<Approval> {
    let mut fields = Fields::of(r, node, &language::APPROVAL)?;
    let name: Option<ApprovalName> = fields
        .require(r, "name")
        .and_then(|node| r.parsed(node, "approval name"));
    let items = fields
        .require(r, "stages")
        .and_then(|node| r.list_up_to(node, "stages", STAGES_MAX));
    let items = items.unwrap_or(&[]);
    let stages: Vec<Stage> = items.iter().filter_map(|item| stage(r, item)).collect();
    if stages.is_empty() || stages.len() != items.len() {
        return None;
    }
    Some(Approval {
        plan: Plan {
            name: name?,
            stages,
        },
        used: false,
        at: node.at,
    })
}

fn stage(r: &mut Reader, node: &Node) -> Option<Stage> {
    let mut fields = Fields::of(r, node, &language::STAGE)?;
    let escalation = match fields.take("escalate") {
        Some(node) => Some(escalation(r, node)?),
        None => None,
    };
    let timeout = match fields.take("timeout") {
        Some(node) => Some(span(r, node, "timeout", "a stage lasts from")?),
        None => None,
    };
    let given: Vec<&str> = ["any", "all", "count"]
        .into_iter()
        .filter(|key| fields.had(key))
        .collect();
    let [key] = given.as_slice() else {
        let message = "a stage has exactly one of `any`, `all` and `count` with `of`";
        r.report(Diagnostic::error(node.at, "", message));
        return None;
    };
    let value = fields.take(key)?;
    let of = fields.take("of");
    let (quorum, names) = match (*key, of) {
        ("count", Some(of)) => (
            Quorum::Count(net::number(r, value, "a count is a number")?),
            of,
        ),
        ("count", None) => {
            let error = Diagnostic::error(node.at, "", "`count` does not say of whom");
            r.report(error.suggest("write `count: 2, of: [group:dba]`"));
            return None;
        }
        (_, Some(of)) => {
            let error = Diagnostic::error(of.at, of.excerpt(), "`of` belongs to `count`");
            r.report(error);
            return None;
        }
        ("all", None) => (Quorum::All, value),
        (_, None) => (Quorum::Any, value),
    };
    let stage = Stage {
        quorum,
        of: approvers(r, names, key)?,
        escalation,
        timeout,
    };
    let Some(problem) = stage.problem() else {
        return Some(stage);
    };
    let error = Diagnostic::error(node.at, node.excerpt(), problem.to_string());
    r.report(match problem {
        StageProblem::TooFew { .. } => error.suggest("name a group, or as many people as it needs"),
        StageProblem::Names | StageProblem::Count(_) => error,
    });
    None
}

fn approvers(r: &mut Reader, node: &Node, what: &str) -> Option<Vec<Approver>> {
    let items = r.one_or_list_up_to(node, what, APPROVERS_MAX);
    let all: Vec<Approver> = names_of(r, items, what);
    (!all.is_empty()).then_some(all)
}

fn escalation(r: &mut Reader, node: &Node) -> Option<Escalation> {
    let mut fields = Fields::of(r, node, &language::ESCALATION)?;
    let after = fields
        .require(r, "after")
        .and_then(|node| span(r, node, "after", "a stage escalates after"));
    let to = fields
        .require(r, "to")
        .and_then(|node| approvers(r, node, "to"));
    Some(Escalation {
        after: after?,
        to: to?,
    })
}

/// As long as a hold may be.
fn span(r: &mut Reader, node: &Node, what: &str, says: &str) -> Option<DurationMs> {
    let span: DurationMs = r.parsed(node, what)?;
    if span < HOLD_TIMEOUT_MIN || span > HOLD_TIMEOUT_MAX {
        let message = format!("{says} {HOLD_TIMEOUT_MIN} to {HOLD_TIMEOUT_MAX}, not {span}");
        r.report(Diagnostic::error(node.at, node.excerpt(), message));
        return None;
    }
    Some(span)
}
