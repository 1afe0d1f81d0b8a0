//! YAML tree to policy: a closed schema, every finding at once.
//!
//! Never guesses and never ignores: a key or value of the language that this build cannot enforce is an error
//! that says so.

mod approval;
mod args;
mod attempt;
mod case;
mod default;
mod extends;
mod fields;
mod hosts;
mod net;
mod on_loss;
mod preset;
mod profile;
mod reader;
mod rule;
mod target;
mod when;

pub(super) use self::extends::expanded;
use self::{extends::Included, fields::Fields, reader::Reader};
use super::{
    Diagnostic, HostSelector, Mode, NamedSet, OnLoss, Permission, Policy, Rule, Subjects, Target,
    floor,
    language::{self, API_VERSION, KIND},
    preset::Contents,
    yaml::{self, Node, Value},
};
use crate::{
    id::{GroupName, PermissionName, PolicyName, UserName},
    limits::{PERIODS_MAX, PERMISSIONS_MAX, RULES_MAX, SETS_MAX},
};

/// Reads a policy document. Either the policy, or every finding in the order of the document.
pub fn parse(source: &str) -> Result<Policy, Vec<Diagnostic>> {
    let root = yaml::read(source).map_err(|finding| vec![finding])?;
    let mut reader = Reader::default();
    let policy = document(&mut reader, &root);
    reader.finish(policy)
}

/// Reads the document of a preset.
pub(super) fn preset(source: &str) -> Result<Contents, Vec<Diagnostic>> {
    let root = yaml::read(source).map_err(|finding| vec![finding])?;
    let mut reader = Reader::default();
    let contents = preset::document(&mut reader, &root);
    reader.finish(contents)
}

/// Reads a permission whose parameters have values.
pub(super) fn instance(node: &Node, sets: &[NamedSet]) -> Option<Vec<Target>> {
    read_instance(node, sets).ok()
}

fn read_instance(node: &Node, sets: &[NamedSet]) -> Result<Vec<Target>, Vec<Diagnostic>> {
    let mut reader = Reader::default();
    reader.sets = sets.to_vec();
    let targets = target::permission(&mut reader, node);
    reader.finish(Some(targets))
}

fn document(r: &mut Reader, root: &Node) -> Option<Policy> {
    let mut fields = Fields::of(r, root, &language::DOCUMENT)?;
    let version = fields.require(r, "apiVersion").map(|node| version(r, node));
    let kind = fields
        .require(r, "kind")
        .map(|node| r.word(node, "kind", &[(KIND, ())], &[]));
    let name = fields
        .require(r, "metadata")
        .and_then(|node| metadata(r, node));
    let spec = fields
        .require(r, "spec")
        .and_then(|node| spec(r, node, name));
    version.flatten()?;
    kind.flatten()?;
    let policy = spec?;
    for finding in floor::check(&policy) {
        r.report(finding);
    }
    Some(policy)
}

/// The version of the language. A later one is no typing error: the document is right, and this build too old for it.
fn version(r: &mut Reader, node: &Node) -> Option<()> {
    if let Some(later) = node.text().filter(|text| language::is_later(text)) {
        let message = format!(
            "the document is of `{later}`, and this build reads the language up to `{API_VERSION}`"
        );
        let error = Diagnostic::error(node.at, later, message);
        r.report(error.suggest(
            "update `stayhand`, here and on the hosts; to go on with this build, write it in that version",
        ));
        return None;
    }
    r.word(node, "apiVersion", &[(API_VERSION, ())], &[])
}

fn metadata(r: &mut Reader, node: &Node) -> Option<PolicyName> {
    let mut fields = Fields::of(r, node, &language::METADATA)?;
    let name = fields.require(r, "name")?;
    r.parsed(name, "name")
}

/// Reads the whole of it, also where the name is none: every finding is said at once.
fn spec(r: &mut Reader, node: &Node, name: Option<PolicyName>) -> Option<Policy> {
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
    let on_loss = fields
        .take("onLoss")
        .map_or_else(OnLoss::default, |node| on_loss::on_loss(r, node));
    let extends = fields.take("extends");
    let included = extends.map_or_else(Vec::new, |node| extends::extends(r, node));
    // First of all: permissions and rules name them.
    destinations_and_times(r, &mut fields, &included);
    let mut permissions = all_permissions(r, &mut fields, &included);
    let profiles = fields.take("profiles").map_or_else(Vec::new, |node| {
        profile::profiles(r, node, &mut permissions)
    });
    if let Some(node) = fields.take("approvals") {
        approval::approvals(r, node);
    }
    let (mut rules, complete) = all_rules(r, &mut fields, extends, &included, &permissions);
    within_bounds(r, extends, &permissions, rules.as_deref().unwrap_or(&[]));
    if let Some(node) = fields.take("default") {
        default::defaults(r, node, rules.get_or_insert_default());
    }
    let names = case::Names {
        permissions: &permissions,
        profiles: &profiles,
        rules: rules.as_deref().filter(|_| complete),
    };
    let tests = fields
        .take("tests")
        .map_or_else(Vec::new, |node| case::cases(r, node, &names));
    Some(Policy {
        name: name?,
        mode: mode?,
        hosts,
        subjects: subjects?,
        on_loss,
        sets: std::mem::take(&mut r.sets),
        calendar: std::mem::take(&mut r.calendar),
        approvals: std::mem::take(&mut r.approvals),
        permissions,
        profiles,
        rules: rules?,
        tests,
    })
}

fn subjects(r: &mut Reader, node: &Node) -> Option<Subjects> {
    let mut fields = Fields::of(r, node, &language::SUBJECTS)?;
    let groups: Vec<GroupName> = fields
        .take("groups")
        .map_or_else(Vec::new, |node| names(r, node, "groups"));
    let users: Vec<UserName> = fields
        .take("users")
        .map_or_else(Vec::new, |node| names(r, node, "users"));
    let services = fields.take("services").map_or_else(Vec::new, |node| {
        let services: Vec<UserName> = names(r, node, "services");
        no_root(r, node, &services);
        services
    });
    if !["groups", "users", "services"]
        .iter()
        .any(|key| fields.had(key))
    {
        let error = Diagnostic::error(node.at, "", "the policy guards nobody");
        r.report(error.suggest("name `groups`, `users` or `services`"));
    }
    Some(Subjects {
        groups,
        users,
        services,
    })
}

/// A pin is inherited: that of root would be everybody's who logs in through a daemon.
fn no_root(r: &mut Reader, node: &Node, services: &[UserName]) {
    if services.iter().any(|name| name.as_str() == "root") {
        let message = "`root` is no service: every daemon of the host is root, and so is whoever logs people in";
        let error = Diagnostic::error(node.at, "root", message);
        r.report(error.suggest("run the service as a user of its own, and name that"));
    }
}

fn names<T: std::str::FromStr<Err: std::fmt::Display> + PartialEq>(
    r: &mut Reader,
    node: &Node,
    what: &str,
) -> Vec<T> {
    let items = r.list(node, what);
    names_of(r, items, what)
}

/// The names of some items, each once.
fn names_of<T: std::str::FromStr<Err: std::fmt::Display> + PartialEq>(
    r: &mut Reader,
    items: &[Node],
    what: &str,
) -> Vec<T> {
    let mut names: Vec<T> = Vec::new();
    for item in items {
        if let Some(name) = r.parsed::<T>(item, what) {
            r.unless_repeated(&mut names, name, item, what);
        }
    }
    names
}

/// Sets and calendar go into the reader, where everything else finds them.
fn destinations_and_times(r: &mut Reader, fields: &mut Fields<'_>, included: &[Included]) {
    if let Some(node) = fields.take("sets") {
        net::sets(r, node);
    }
    if let Some(node) = fields.take("calendar") {
        when::calendar(r, node);
    }
    let sets = r
        .sets
        .iter()
        .map(|one| ("set", one.name.to_string(), one.at));
    let periods = r.calendar.iter();
    let periods = periods.map(|one| ("period", one.name.to_string(), one.at));
    for (what, name, at) in sets.chain(periods).collect::<Vec<_>>() {
        extends::taken(r, included, what, &name, at);
    }
    let (sets, periods) = (r.sets.len(), r.calendar.len());
    for node in sections(included, "sets") {
        net::sets(r, node);
    }
    for node in sections(included, "calendar") {
        when::calendar(r, node);
    }
    // Whether they are needed is the preset's business, also where some of its rules are left out.
    r.sets.iter_mut().skip(sets).for_each(|one| one.used = true);
    let included = r.calendar.iter_mut().skip(periods);
    included.for_each(|one| one.used = true);
}

fn sections<'i>(included: &'i [Included], key: &'i str) -> impl Iterator<Item = &'i Node> {
    included.iter().filter_map(move |one| one.section(key))
}

/// The permissions of the policy, and behind them those of presets.
fn all_permissions(
    r: &mut Reader,
    fields: &mut Fields<'_>,
    included: &[Included],
) -> Vec<Permission> {
    let mut all: Vec<Permission> = Vec::new();
    // Without profiles nobody could give a value, and a text is a text as ever.
    let parameters = fields.had("profiles");
    if let Some(node) = fields.take("permissions") {
        permissions(r, node, parameters, &mut all);
    }
    for one in &all {
        extends::taken(r, included, "permission", one.name.as_str(), one.at);
    }
    for node in sections(included, "permissions") {
        permissions(r, node, false, &mut all);
    }
    all
}

/// The rules of the policy, and behind them those of presets; whether every one of them could be read.
fn all_rules(
    r: &mut Reader,
    fields: &mut Fields<'_>,
    extends: Option<&Node>,
    included: &[Included],
    permissions: &[Permission],
) -> (Option<Vec<Rule>>, bool) {
    // A policy that takes over what others wrote needs none of its own.
    let optional = extends.is_some();
    let written = match fields.take("rules") {
        Some(node) if optional && node.len() == 0 && matches!(node.value, Value::List(_)) => None,
        None if optional => None,
        _ => fields.require(r, "rules"),
    };
    let mut all = match written {
        Some(node) => rules(r, node, permissions),
        None => optional.then(Vec::new),
    };
    let complete = match (&all, written) {
        (Some(rules), Some(node)) => rules.len() == node.len(),
        (rules, _) => rules.is_some(),
    };
    let complete = complete && extends.is_none_or(|node| included.len() == node.len().max(1));
    if let Some(rules) = &mut all {
        for one in rules.iter() {
            extends::taken(r, included, "rule id", one.id.as_str(), one.at);
        }
        include(r, included, rules, permissions);
    }
    (all, complete)
}

/// The rules of presets, behind those of the policy.
fn include(
    r: &mut Reader,
    included: &[Included],
    rules: &mut Vec<Rule>,
    permissions: &[Permission],
) {
    for node in sections(included, "rules") {
        let Value::List(items) = &node.value else {
            continue;
        };
        for item in items {
            rules.extend(rule::rule(r, item, permissions).map(|rule| Rule {
                included: true,
                ..rule
            }));
        }
    }
}

/// What is included counts like what is written; the lists by themselves were looked at.
fn within_bounds(
    r: &mut Reader,
    extends: Option<&Node>,
    permissions: &[Permission],
    rules: &[Rule],
) {
    let Some(node) = extends else { return };
    let all = [
        ("rules", rules.len(), RULES_MAX),
        ("permissions", permissions.len(), PERMISSIONS_MAX),
        ("sets", r.sets.len(), SETS_MAX),
        ("periods", r.calendar.len(), PERIODS_MAX),
    ];
    for (what, count, max) in all.into_iter().filter(|(_, count, max)| count > max) {
        let message = format!(
            "with what is included the policy has {count} {what}, more than the {max} that are allowed"
        );
        r.report(Diagnostic::error(node.at, "", message));
    }
}

fn permissions(r: &mut Reader, node: &Node, parameters: bool, permissions: &mut Vec<Permission>) {
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
        let template = parameters.then(|| profile::template(r, value)).flatten();
        let targets = match template {
            // Read once it is known what the values can be.
            Some(_) => vec![],
            None => target::permission(r, value),
        };
        if let Some(name) = name {
            permissions.push(Permission {
                name,
                targets,
                template,
                at: key.at,
            });
        }
    }
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
