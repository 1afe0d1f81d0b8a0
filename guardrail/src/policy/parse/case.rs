//! One test of the list `tests`: who, what, with which grants, and what has to become of it.
//!
//! Runs nothing: whether the policy does what its tests say is `policy::case`'s question.

use super::{attempt, fields::Fields, hosts, names, names_of, profile, reader::Reader};
use crate::{
    id::{FlagName, PermissionName, RuleId},
    limits::{FLAGS_PER_RULE_MAX, TEST_NAME_BYTES_MAX, TESTS_MAX},
    policy::{
        Case, Diagnostic, Outcome, Permission, Profile, Rule,
        case::Carried,
        diagnostic::nearest,
        language,
        when::point,
        yaml::{Node, Value},
    },
    time::UnixMs,
    values::Values,
};

const GRANTS: &str = "grants";
const USED_UP: &str = "usedUp";
const HOST: &str = "host";

/// What a test can name.
pub(super) struct Names<'p> {
    /// Of the policy
    pub(super) permissions: &'p [Permission],
    pub(super) profiles: &'p [Profile],
    /// None where some rule could not be read: it may be the one that is named
    pub(super) rules: Option<&'p [Rule]>,
}

/// Reads the list.
pub(super) fn cases(r: &mut Reader, node: &Node, known: &Names<'_>) -> Vec<Case> {
    let items = r.list_up_to(node, "tests", TESTS_MAX).unwrap_or(&[]);
    let mut cases: Vec<Case> = Vec::new();
    let mut seen = std::collections::BTreeMap::new();
    for item in items {
        // Each finding looks for what is alike among all names.
        if r.is_full() {
            break;
        }
        let Some(case) = case(r, item, known) else {
            continue;
        };
        if let Some(name) = &case.name
            && let Some(line) = seen.insert(name.clone(), case.at.line)
        {
            let shown = crate::text::safe(name);
            let message = format!("test name `{shown}` is used twice, first in line {line}");
            let error = Diagnostic::error(case.at, name, message);
            r.report(error.suggest("give each test a name of its own, or none"));
        }
        cases.push(case);
    }
    cases
}

fn case(r: &mut Reader, node: &Node, known: &Names<'_>) -> Option<Case> {
    let mut fields = Fields::of(r, node, &language::TEST)?;
    let name = fields.take("name").map(|node| name(r, node));
    let user = fields
        .require(r, "as")
        .and_then(|node| r.parsed(node, "as"));
    let groups = fields
        .take("groups")
        .map_or_else(Vec::new, |node| names(r, node, "groups"));
    let attempt = attempt::attempt(r, node.at, &mut fields);
    let grants = fields
        .take(GRANTS)
        .map_or_else(Vec::new, |node| grants(r, node, known));
    let used_up = fields
        .take(USED_UP)
        .map_or_else(Vec::new, |node| used_up(r, node, known));
    let host = fields.take(HOST).map(|node| hosts::labels(r, node));
    let flags = fields.take("flags").map(|node| flags(r, node));
    let time = fields.take("at").map(|node| time(r, node));
    let outcomes = Outcome::ALL.map(|outcome| (outcome.as_str(), outcome));
    let expect = fields
        .require(r, "expect")
        .and_then(|node| outcome(r, node, &outcomes));
    let rule = fields.take("rule").map(|node| rule(r, node, known, expect));
    Some(Case {
        name: name.map_or(Some(None), |name| name.map(Some))?,
        user: user?,
        groups,
        attempt: attempt?,
        grants,
        used_up,
        host,
        flags: flags.map_or(Some(None), |flags| flags.map(Some))?,
        time: time.map_or(Some(None), |time| time.map(Some))?,
        expect: expect?,
        rule: rule.map_or(Some(None), |rule| rule.map(Some))?,
        at: node.at,
    })
}

fn name(r: &mut Reader, node: &Node) -> Option<String> {
    let text = r.text(node, "name")?.trim();
    if text.is_empty() || text.len() > TEST_NAME_BYTES_MAX {
        let message = format!(
            "a test's name has 1 to {TEST_NAME_BYTES_MAX} bytes, and this one has {}",
            text.len()
        );
        r.report(Diagnostic::error(node.at, text, message));
        return None;
    }
    if text.chars().any(char::is_control) {
        let message = "a test's name is one line without control characters";
        r.report(Diagnostic::error(node.at, text, message));
        return None;
    }
    Some(text.to_owned())
}

/// None of them, if the list is empty: that is not what it means to say nothing.
fn flags(r: &mut Reader, node: &Node) -> Option<Vec<FlagName>> {
    match &node.value {
        Value::List(items) if items.is_empty() => Some(vec![]),
        _ => {
            let items = r.list_up_to(node, "flags", FLAGS_PER_RULE_MAX)?;
            Some(names_of(r, items, "flags"))
        }
    }
}

fn time(r: &mut Reader, node: &Node) -> Option<UnixMs> {
    let text = r.text(node, "at")?;
    match point(text) {
        Ok(time) => Some(time),
        Err(error) => {
            r.report(Diagnostic::error(node.at, text, error.to_string()));
            None
        }
    }
}

/// The effects are near at hand, and one of them is no outcome.
fn outcome(r: &mut Reader, node: &Node, known: &[(&str, Outcome)]) -> Option<Outcome> {
    const NO_OUTCOME: &str = "require-grant";
    if node.text() == Some(NO_OUTCOME) {
        let message = format!("`{NO_OUTCOME}` is an effect and no outcome");
        let error = Diagnostic::error(node.at, NO_OUTCOME, message);
        r.report(error.suggest(
            "without a grant it is `deny`; name the permission under `grants` and it is `allow`",
        ));
        return None;
    }
    r.word(node, "outcome", known, &[])
}

/// Permissions by name, and profiles with their values.
fn grants(r: &mut Reader, node: &Node, known: &Names<'_>) -> Vec<Carried> {
    let mut all: Vec<Carried> = Vec::new();
    for item in r.list(node, GRANTS) {
        if let Value::Map(_) = &item.value {
            let given = profile::granted(r, item, known).unwrap_or_default();
            // Two profiles may give the same.
            all.extend(given);
        } else if let Some(one) = permission(r, item, known.permissions) {
            r.unless_repeated(&mut all, one, item, GRANTS);
        }
    }
    all
}

fn permission(r: &mut Reader, node: &Node, known: &[Permission]) -> Option<Carried> {
    let name: PermissionName = r.parsed(node, GRANTS)?;
    let Some(permission) = known.iter().find(|permission| permission.name == name) else {
        let message = format!("the policy has no permission `{name}`");
        let error = Diagnostic::error(node.at, name.as_str(), message);
        let known = known.iter().map(|permission| permission.name.as_str());
        r.report(match nearest(name.as_str(), known) {
            Some(near) => error.suggest(format!("did you mean `{near}`?")),
            None => error.suggest("a test's grants carry permissions of its own policy"),
        });
        return None;
    };
    if let Some(parameter) = permission.uses().next() {
        let message = format!("permission `{name}` has parameters: only a profile gives it");
        let error = Diagnostic::error(node.at, name.as_str(), message);
        r.report(error.suggest(format!(
            "write `{{ profile: NAME, with: {{ {parameter}: VALUE }} }}`"
        )));
        return None;
    }
    Some(Carried {
        permission: name,
        values: Values::default(),
    })
}

/// Rules whose rates are used up; only those of effect `throttle` have one.
fn used_up(r: &mut Reader, node: &Node, known: &Names<'_>) -> Vec<RuleId> {
    let list: Vec<RuleId> = names(r, node, USED_UP);
    let Some(rules) = known.rules else {
        return list;
    };
    let throttles = || {
        let with_rates = rules.iter().filter(|rule| rule.rate.is_some());
        with_rates.map(|rule| rule.id.as_str())
    };
    for id in &list {
        if throttles().all(|one| one != id.as_str()) {
            let message = format!("the policy has no rule `{id}` of effect `throttle`");
            let error = Diagnostic::error(node.at, id.as_str(), message);
            r.report(match nearest(id.as_str(), throttles()) {
                Some(near) => error.suggest(format!("did you mean `{near}`?")),
                None => error.suggest("only rules of effect `throttle` have a rate to use up"),
            });
        }
    }
    list
}

fn rule(r: &mut Reader, node: &Node, known: &Names<'_>, expect: Option<Outcome>) -> Option<RuleId> {
    let id: RuleId = r.parsed(node, "rule")?;
    let Some(rules) = known.rules else {
        return Some(id);
    };
    let Some(rule) = rules.iter().find(|rule| rule.id == id) else {
        let message = format!("the policy has no rule `{id}`");
        let error = Diagnostic::error(node.at, id.as_str(), message);
        let ids = rules.iter().map(|rule| rule.id.as_str());
        r.report(match nearest(id.as_str(), ids) {
            Some(near) => error.suggest(format!("did you mean `{near}`?")),
            None => error.suggest("name the rule of this policy that has to decide"),
        });
        return None;
    };
    if let Some(expect) = expect
        && !expect.can_come_of(rule.effect)
    {
        let effect = rule.effect;
        let message = format!("rule `{id}` has effect `{effect}`, of which `{expect}` never comes");
        r.report(Diagnostic::error(node.at, id.as_str(), message));
    }
    Some(id)
}
