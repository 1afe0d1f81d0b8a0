//! One rule of the list.

use super::{
    approval,
    fields::Fields,
    net,
    reader::{Reader, either},
    target,
    when::when,
};
use crate::{
    id::{PermissionName, RuleId},
    limits::{
        HOLD_TIMEOUT_DEFAULT, HOLD_TIMEOUT_MAX, HOLD_TIMEOUT_MIN, MESSAGE_BYTES_MAX,
        RATE_LIMIT_MAX, RATE_PER_MAX, RATE_PER_MIN,
    },
    policy::{
        Diagnostic, Permission, Place, Rate, Rule, Scope, Then,
        diagnostic::nearest,
        language::{self, CLASSES},
        yaml::Node,
    },
    reason::Effect,
    sensitivity::Sensitivity,
    time::DurationMs,
};

pub(super) fn rule(r: &mut Reader, node: &Node, permissions: &[Permission]) -> Option<Rule> {
    let mut fields = Fields::of(r, node, &language::RULE)?;
    let id: Option<RuleId> = fields
        .require(r, "id")
        .and_then(|node| r.parsed(node, "id"));
    let effects = Effect::OF_RULES.map(|effect| (effect.as_str(), effect));
    let effect = fields
        .require(r, "effect")
        .and_then(|node| r.word(node, "effect", &effects, &[]));
    let scope = scope(r, node.at, &mut fields, permissions);
    let message = fields.take("message").and_then(|node| message(r, node));
    let timeout = fields.take("timeout").map(|node| (node, timeout(r, node)));
    let record = fields
        .take("record")
        .map(|node| (node, r.flag(node, "record")));
    let when = fields.take("when").map(|node| when(r, node));
    let rate = fields.take("rate").map(|node| (node, rate(r, node)));
    let approval = fields
        .take("approval")
        .map(|node| (node, approval::named(r, node)));
    let sensitivity = fields.take("sensitivity").map(|node| sensitivity(r, node));
    let effect = effect?;
    if rate.is_none() && effect == Effect::Throttle {
        let error = Diagnostic::error(node.at, "", "a rule of effect `throttle` has no `rate`");
        r.report(error.suggest("say how often: `rate: { limit: 3, per: 10m, then: hold }`"));
        return None;
    }
    if let Some((node, _)) = rate
        && effect != Effect::Throttle
    {
        only(r, node, "rate", Effect::Throttle, effect);
    }
    let holds = match &rate {
        // One that could not be read has a finding, and may hold.
        Some((_, rate)) => rate.is_none_or(|rate| rate.then == Then::Hold),
        None => effect == Effect::Hold,
    };
    let of_holds = [
        ("timeout", timeout.map(|(node, _)| node)),
        ("approval", approval.as_ref().map(|(node, _)| *node)),
    ];
    for (key, node) in of_holds {
        if let (Some(node), false) = (node, holds) {
            only(r, node, key, Effect::Hold, effect);
        }
    }
    if let Some((node, _)) = record
        && effect != Effect::Allow
    {
        only(r, node, "record", Effect::Allow, effect);
    }
    let timeout = timeout.map_or(Some(HOLD_TIMEOUT_DEFAULT), |(_, timeout)| timeout);
    let record = record.map_or(Some(false), |(_, record)| record);
    Some(Rule {
        id: id?,
        effect,
        scope: scope?,
        message,
        timeout: timeout?,
        approval: approval.map_or(Some(None), |(_, name)| name.map(Some))?,
        sensitivity: sensitivity.map_or(Some(None), |one| one.map(Some))?,
        rate: rate.map_or(Some(None), |(_, rate)| rate.map(Some))?,
        record: record?,
        when: when.map_or(Some(None), |when| when.map(Some))?,
        included: false,
        at: node.at,
    })
}

fn only(r: &mut Reader, node: &Node, key: &str, of: Effect, effect: Effect) {
    let message = format!("`{key}` belongs to rules of effect `{of}`, and this one is `{effect}`");
    r.report(Diagnostic::error(node.at, node.excerpt(), message));
}

/// Exactly one of the five ways to say which actions are meant.
fn scope(
    r: &mut Reader,
    at: Place,
    fields: &mut Fields<'_>,
    permissions: &[Permission],
) -> Option<Scope> {
    let choices = [CLASSES.as_slice(), &["permission"]].concat();
    let given: Vec<&str> = choices
        .iter()
        .copied()
        .filter(|key| fields.had(key))
        .collect();
    let [key] = given.as_slice() else {
        let found = if given.is_empty() {
            "none of them".to_owned()
        } else {
            either(&given).replace(" or ", " and ")
        };
        let message = format!(
            "a rule has exactly one of {}, and this one has {found}",
            either(&choices)
        );
        r.report(Diagnostic::error(at, "", message));
        return None;
    };
    let node = fields.take(key)?;
    if *key == "permission" {
        return permission(r, node, permissions).map(Scope::Permission);
    }
    target::target(r, node, key).map(Scope::Inline)
}

fn permission(r: &mut Reader, node: &Node, permissions: &[Permission]) -> Option<PermissionName> {
    let name: PermissionName = r.parsed(node, "permission")?;
    if permissions.iter().all(|permission| permission.name != name) {
        let known = permissions
            .iter()
            .map(|permission| permission.name.as_str());
        let error = Diagnostic::error(
            node.at,
            name.as_str(),
            format!("the policy has no permission `{name}`"),
        );
        r.report(match nearest(name.as_str(), known) {
            Some(near) => error.suggest(format!("did you mean `{near}`?")),
            None => error.suggest("define it under `permissions`"),
        });
        return None;
    }
    let parameters = permissions.iter().filter(|one| one.name == name);
    if let Some(parameter) = parameters.flat_map(Permission::uses).next() {
        let message =
            format!("permission `{name}` has parameters, and a rule knows no `{parameter}`");
        let error = Diagnostic::error(node.at, name.as_str(), message);
        r.report(error.suggest(
            "write the actions that the rule restricts in the rule itself (`exec`, `file`, `net`); a grant of the permission \
             covers those that it contains",
        ));
        return None;
    }
    Some(name)
}

/// How often: `{ limit: 3, per: 10m, then: hold }`.
fn rate(r: &mut Reader, node: &Node) -> Option<Rate> {
    let mut fields = Fields::of(r, node, &language::RATE)?;
    let limit = fields.require(r, "limit").and_then(|node| limit(r, node));
    let per = fields.require(r, "per").and_then(|node| per(r, node));
    let words = Then::ALL.map(|then| (then.as_str(), then));
    let then = fields
        .require(r, "then")
        .and_then(|node| r.word(node, "then", &words, &[]));
    Some(Rate {
        limit: limit?,
        per: per?,
        then: then?,
    })
}

fn limit(r: &mut Reader, node: &Node) -> Option<u32> {
    let limit = net::number(r, node, "a limit is a number")?;
    if limit == 0 || limit > RATE_LIMIT_MAX {
        let message = format!("a limit is from 1 to {RATE_LIMIT_MAX}, not {limit}");
        let error = Diagnostic::error(node.at, node.excerpt(), message);
        r.report(error.suggest("to let nothing through, use effect `deny` or `hold`"));
        return None;
    }
    Some(limit)
}

fn per(r: &mut Reader, node: &Node) -> Option<DurationMs> {
    let per: DurationMs = r.parsed(node, "per")?;
    if per < RATE_PER_MIN || per > RATE_PER_MAX {
        let message = format!("a rate is counted in {RATE_PER_MIN} to {RATE_PER_MAX}, not {per}");
        r.report(Diagnostic::error(node.at, node.excerpt(), message));
        return None;
    }
    Some(per)
}

pub(super) fn message(r: &mut Reader, node: &Node) -> Option<String> {
    let text = r.text(node, "message")?.trim();
    if text.is_empty() || text.len() > MESSAGE_BYTES_MAX {
        let message = format!(
            "a message has 1 to {MESSAGE_BYTES_MAX} bytes, and this one has {}",
            text.len()
        );
        r.report(Diagnostic::error(node.at, text, message));
        return None;
    }
    if text.chars().any(char::is_control) {
        let error = Diagnostic::error(
            node.at,
            text,
            "a message is one line without control characters",
        );
        r.report(error.suggest("fold long text with `>-`"));
        return None;
    }
    Some(text.to_owned())
}

/// How much depends on what a rule is about.
pub(super) fn sensitivity(r: &mut Reader, node: &Node) -> Option<Sensitivity> {
    let words = Sensitivity::ALL.map(|one| (one.as_str(), one));
    r.word(node, "sensitivity", &words, &[])
}

pub(super) fn timeout(r: &mut Reader, node: &Node) -> Option<DurationMs> {
    let timeout: DurationMs = r.parsed(node, "timeout")?;
    if timeout < HOLD_TIMEOUT_MIN || timeout > HOLD_TIMEOUT_MAX {
        let message =
            format!("a hold waits from {HOLD_TIMEOUT_MIN} to {HOLD_TIMEOUT_MAX}, not {timeout}");
        r.report(Diagnostic::error(node.at, node.excerpt(), message));
        return None;
    }
    Some(timeout)
}
