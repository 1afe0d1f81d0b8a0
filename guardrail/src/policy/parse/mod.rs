//! YAML tree to policy: a closed schema, every finding at once.
//!
//! Never guesses and never ignores: a key or value of the language that this build cannot enforce is an error
//! that says so.

mod args;
mod attempt;
mod case;
mod default;
mod fields;
mod hosts;
mod net;
mod reader;
mod rule;
mod target;
mod when;

use self::{fields::Fields, reader::Reader};
use super::{
    Case, Diagnostic, HostSelector, Mode, Permission, Policy, Rule, Subjects,
    language::{self, API_VERSION, KIND},
    yaml::{self, Node},
};
use crate::{
    id::{GroupName, PermissionName, PolicyName, UserName},
    limits::{PERMISSIONS_MAX, RULES_MAX},
};

/// Reads a policy document. Either the policy, or every finding in the order of the document.
pub fn parse(source: &str) -> Result<Policy, Vec<Diagnostic>> {
    let root = yaml::read(source).map_err(|finding| vec![finding])?;
    let mut reader = Reader::default();
    let policy = document(&mut reader, &root);
    reader.finish(policy)
}

fn document(r: &mut Reader, root: &Node) -> Option<Policy> {
    let mut fields = Fields::of(r, root, &language::DOCUMENT)?;
    let version = fields
        .require(r, "apiVersion")
        .map(|node| r.word(node, "apiVersion", &[(API_VERSION, ())], &[]));
    let kind = fields
        .require(r, "kind")
        .map(|node| r.word(node, "kind", &[(KIND, ())], &[]));
    let name = fields
        .require(r, "metadata")
        .and_then(|node| metadata(r, node));
    let spec = fields.require(r, "spec").and_then(|node| spec(r, node));
    version.flatten()?;
    kind.flatten()?;
    let (mode, hosts, subjects, permissions, rules, tests) = spec?;
    Some(Policy {
        name: name?,
        mode,
        hosts,
        subjects,
        sets: std::mem::take(&mut r.sets),
        calendar: std::mem::take(&mut r.calendar),
        permissions,
        rules,
        tests,
    })
}

fn metadata(r: &mut Reader, node: &Node) -> Option<PolicyName> {
    let mut fields = Fields::of(r, node, &language::METADATA)?;
    let name = fields.require(r, "name")?;
    r.parsed(name, "name")
}

type Spec = (
    Mode,
    HostSelector,
    Subjects,
    Vec<Permission>,
    Vec<Rule>,
    Vec<Case>,
);

fn spec(r: &mut Reader, node: &Node) -> Option<Spec> {
    let mut fields = Fields::of(r, node, &language::SPEC)?;
    let modes = [("enforce", Mode::Enforce), ("monitor", Mode::Monitor)];
    let mode = match fields.take("mode") {
        Some(node) => r.word(node, "mode", &modes, &[]),
        None => Some(Mode::Enforce),
    };
    let hosts = fields
        .take("hosts")
        .map_or_else(HostSelector::default, |node| hosts::selector(r, node));
    let subjects = fields
        .require(r, "subjects")
        .and_then(|node| subjects(r, node));
    // First of all: permissions and rules name them.
    if let Some(node) = fields.take("sets") {
        net::sets(r, node);
    }
    if let Some(node) = fields.take("calendar") {
        when::calendar(r, node);
    }
    let permissions = fields
        .take("permissions")
        .map_or_else(Vec::new, |node| permissions(r, node));
    let written = fields.require(r, "rules");
    let rules = written.and_then(|node| rules(r, node, &permissions));
    let complete = rules
        .as_ref()
        .is_some_and(|rules| written.is_some_and(|node| rules.len() == node.len()));
    let mut rules = rules;
    if let Some(node) = fields.take("default") {
        default::defaults(r, node, rules.get_or_insert_default());
    }
    let names = case::Names {
        permissions: &permissions,
        rules: rules.as_deref().filter(|_| complete),
    };
    let tests = fields
        .take("tests")
        .map_or_else(Vec::new, |node| case::cases(r, node, &names));
    Some((mode?, hosts, subjects?, permissions, rules?, tests))
}

fn subjects(r: &mut Reader, node: &Node) -> Option<Subjects> {
    let mut fields = Fields::of(r, node, &language::SUBJECTS)?;
    let groups: Vec<GroupName> = fields
        .take("groups")
        .map_or_else(Vec::new, |node| names(r, node, "groups"));
    let users: Vec<UserName> = fields
        .take("users")
        .map_or_else(Vec::new, |node| names(r, node, "users"));
    if !fields.had("groups") && !fields.had("users") {
        let error = Diagnostic::error(node.at, "", "the policy guards nobody");
        r.report(error.suggest("name `groups`, `users` or both"));
    }
    Some(Subjects { groups, users })
}

fn names<T: std::str::FromStr<Err: std::fmt::Display> + PartialEq>(
    r: &mut Reader,
    node: &Node,
    what: &str,
) -> Vec<T> {
    let mut names: Vec<T> = Vec::new();
    for item in r.list(node, what) {
        if let Some(name) = r.parsed::<T>(item, what) {
            r.unless_repeated(&mut names, name, item, what);
        }
    }
    names
}

fn permissions(r: &mut Reader, node: &Node) -> Vec<Permission> {
    let mut permissions: Vec<Permission> = Vec::new();
    for (key, value) in r.named(node, "permissions", "actions", PERMISSIONS_MAX) {
        let name: Option<PermissionName> = r.parsed(key, "permission name");
        if let Some(name) = &name
            && permissions.iter().any(|known| known.name == *name)
        {
            r.report(Diagnostic::error(
                key.at,
                name.as_str(),
                format!("permission `{name}` is defined twice"),
            ));
            continue;
        }
        let targets = target::permission(r, value);
        if let Some(name) = name {
            permissions.push(Permission {
                name,
                targets,
                at: key.at,
            });
        }
    }
    permissions
}

fn rules(r: &mut Reader, node: &Node, permissions: &[Permission]) -> Option<Vec<Rule>> {
    let items = r.list_up_to(node, "rules", RULES_MAX)?;
    let mut rules: Vec<Rule> = Vec::new();
    let mut seen = std::collections::BTreeMap::new();
    for item in items {
        let Some(rule) = rule::rule(r, item, permissions) else {
            continue;
        };
        if let Some(line) = seen.insert(rule.id.clone(), rule.at.line) {
            let message = format!("rule id `{}` is used twice, first in line {line}", rule.id);
            r.report(
                Diagnostic::error(rule.at, rule.id.as_str(), message)
                    .suggest("give each rule an id of its own"),
            );
        }
        rules.push(rule);
    }
    Some(rules)
}
