//! The host floor: policies that a host has from its own configuration, which no control plane can loosen.
//!
//! Says what such a policy can say. Whatever a grant, an approval, a flag or another policy lifts is refused in it, because
//! those come from the control plane. Never reads a file: the agent does.

use super::{Diagnostic, Policy, Rule};
use crate::{id::PolicyName, reason::Effect};

/// How the names of floor policies begin; the control plane has none of those.
pub const PREFIX: &str = "floor.";

/// Whether a policy of this name belongs to a host's own floor.
pub fn is_floor(name: &PolicyName) -> bool {
    name.as_str().starts_with(PREFIX)
}

/// The order in which policies of one host are looked at: what the host itself says comes first, and is named first.
pub(crate) fn order(policy: &Policy) -> (bool, &PolicyName) {
    (!is_floor(&policy.name), &policy.name)
}

/// Why a name cannot be used for a policy of the control plane.
pub fn reserved(name: &PolicyName) -> String {
    format!("`{name}` is a name of a host's own floor, because it begins with `{PREFIX}`")
}

/// What a policy of the floor says and cannot.
pub(super) fn check(policy: &Policy) -> Vec<Diagnostic> {
    if !is_floor(&policy.name) {
        return vec![];
    }
    let rules = policy.rules.iter().flat_map(loosened);
    let grantable = policy.permissions.iter().map(|one| {
        let error = Diagnostic::error(
            one.at,
            one.name.as_str(),
            "the floor has no permission: nothing in it can be granted",
        );
        error.suggest("write the actions into the rule")
    });
    let approvable = policy.approvals.iter().map(|one| {
        let error = Diagnostic::error(
            one.at,
            one.plan.name.as_str(),
            "the floor has no approval: nothing in it is held",
        );
        error.suggest("leave it out")
    });
    rules.chain(grantable).chain(approvable).collect()
}

fn loosened(rule: &Rule) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let why = match rule.effect {
        Effect::Deny => None,
        Effect::Alert => Some("what any other policy says of the action is recorded instead"),
        Effect::RequireGrant => Some("a grant, which the control plane gives, lifts it"),
        Effect::Hold => {
            Some("an approval or a grant, which the control plane gives, lets it go on")
        }
        Effect::Throttle => Some("a grant, which the control plane gives, goes round its rate"),
        Effect::DefaultDeny | Effect::DefaultHold => {
            Some("any other policy with an `allow` takes it back")
        }
        Effect::Allow => Some("it restricts nothing"),
    };
    if let Some(why) = why {
        let message = format!(
            "rule `{}`: no `{}` in the floor: {why}",
            rule.id, rule.effect
        );
        let error = Diagnostic::error(rule.at, rule.id.as_str(), message);
        found.push(error.suggest("the floor has `deny` and nothing else"));
    }
    if rule
        .when
        .as_ref()
        .is_some_and(|when| !when.flags.is_empty())
    {
        let message = format!(
            "rule `{}`: no `flags` in the floor: the control plane sets them",
            rule.id
        );
        let error = Diagnostic::error(rule.at, rule.id.as_str(), message);
        found.push(error.suggest("name `windows`, or leave `when` out"));
    }
    found
}
