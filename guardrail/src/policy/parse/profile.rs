//! `profiles`: bundles of permissions with parameters, and the permissions that use them.
//!
//! Every value that stands for others is put where it is used while the policy is read, so that a place that a value does not
//! fit is found here and not when somebody asks for it.

mod settle;

use std::collections::BTreeSet;

use self::settle::settle;
use super::{case::Names, fields::Fields, hosts, names_of, reader::Reader, target};
use crate::{
    id::{ParameterName, PermissionName, ProfileName},
    limits::{
        ENUM_MAX, GRANT_DURATION_MAX, GRANT_DURATION_MIN, GRANT_PERMISSIONS_MAX, PARAMETERS_MAX,
        PROFILES_MAX, TRIED_VALUES_MAX,
    },
    policy::{
        Diagnostic, Permission, Profile,
        case::Carried,
        diagnostic::nearest,
        language,
        profile::{
            Domain, Excludes, Parameter, Template,
            domain::is_word,
            template::{Piece, Spot, pieces, texts},
        },
        yaml::Node,
    },
    time::DurationMs,
    values::Values,
};

fn shown(text: &str) -> String {
    crate::text::safe_cut(text.as_bytes(), crate::limits::EXCERPT_BYTES_MAX)
}

/// The tree of a permission that uses parameters; nothing if it uses none.
pub(super) fn template(r: &mut Reader, node: &Node) -> Option<Template> {
    let mut uses = BTreeSet::new();
    let mut any = false;
    texts(node, &mut |spot, at, text| {
        let all = pieces(text);
        let parts = all.iter().filter(|one| !matches!(one, Piece::Text(_)));
        for piece in parts {
            any = true;
            match (piece, spot) {
                (Piece::Parameter(name), Some(spot)) if spot != Spot::Ports || all.len() == 1 => {
                    uses.insert(name.clone());
                }
                (Piece::Parameter(name), Some(_)) => {
                    let message = format!("`${{{name}}}` in `ports` is the whole of a port");
                    r.report(Diagnostic::error(at.at, text, message));
                }
                (Piece::Parameter(name), None) => {
                    let message = format!("no parameter can stand here: `${{{name}}}`");
                    let error = Diagnostic::error(at.at, text, message);
                    r.report(error.suggest(
                        "use it in `path`, `args`, `anyArg`, `allArgs`, `subcommand`, `cidr`, `ports` or `abstract`",
                    ));
                }
                (Piece::Broken(_) | Piece::Text(_), _) => {
                    let error = Diagnostic::error(
                        at.at,
                        text,
                        "`${` begins a parameter, and none is named here",
                    );
                    r.report(error.suggest("write `${name}`; in a policy with profiles a permission cannot name `${` itself"));
                }
            }
        }
    });
    any.then(|| Template {
        node: node.clone(),
        uses,
        sample: vec![],
    })
}

/// Reads the list, and the permissions that its parameters are for.
pub(super) fn profiles(
    r: &mut Reader,
    node: &Node,
    permissions: &mut [Permission],
) -> Vec<Profile> {
    let items = r.list_up_to(node, "profiles", PROFILES_MAX).unwrap_or(&[]);
    let mut all: Vec<Profile> = Vec::new();
    for item in items {
        let Some(profile) = profile(r, item, permissions) else {
            continue;
        };
        if let Some(other) = all.iter().find(|other| other.name == profile.name) {
            let message = format!(
                "profile `{}` is defined twice, first in line {}",
                profile.name, other.at.line
            );
            r.report(Diagnostic::error(item.at, profile.name.as_str(), message));
            continue;
        }
        all.push(profile);
    }
    // One that could not be read may be the one that is named, or that gives a permission.
    if all.len() == items.len() {
        excluded_are_there(r, &all);
        let mut left = TRIED_VALUES_MAX;
        for permission in permissions {
            settle(r, &all, permission, &mut left);
        }
    }
    all
}

fn profile(r: &mut Reader, node: &Node, permissions: &[Permission]) -> Option<Profile> {
    let mut fields = Fields::of(r, node, &language::PROFILE)?;
    let name: Option<ProfileName> = fields
        .require(r, "name")
        .and_then(|node| r.parsed(node, "profile name"));
    let allow = fields
        .require(r, "allow")
        .map(|node| allowed(r, node, permissions));
    let parameters = fields
        .take("parameters")
        .map_or_else(Vec::new, |node| parameters(r, node));
    let max_duration = fields.take("maxDuration").map(|node| max_duration(r, node));
    let excludes = fields
        .take("excludes")
        .map_or_else(|| Some(Excludes::default()), |node| excludes(r, node));
    Some(Profile {
        name: name?,
        allow: allow?,
        parameters,
        max_duration: max_duration.map_or(Some(None), |max| max.map(Some))?,
        excludes: excludes?,
        at: node.at,
    })
}

fn allowed(r: &mut Reader, node: &Node, permissions: &[Permission]) -> Vec<PermissionName> {
    let items = r.one_or_list_up_to(node, "allow", GRANT_PERMISSIONS_MAX);
    let names: Vec<PermissionName> = names_of(r, items, "allow");
    for name in &names {
        if permissions.iter().all(|one| one.name != *name) {
            let message = format!("the policy has no permission `{name}`");
            let error = Diagnostic::error(node.at, name.as_str(), message);
            let known = permissions.iter().map(|one| one.name.as_str());
            r.report(match nearest(name.as_str(), known) {
                Some(near) => error.suggest(format!("did you mean `{near}`?")),
                None => error.suggest("define it under `permissions`"),
            });
        }
    }
    names
}

fn parameters(r: &mut Reader, node: &Node) -> Vec<Parameter> {
    let mut all: Vec<Parameter> = Vec::new();
    for (key, value) in r.named(node, "parameters", "what they can be", PARAMETERS_MAX) {
        let name: Option<ParameterName> = r.parsed(key, "parameter name");
        let domain = domain(r, value);
        let (Some(name), Some(domain)) = (name, domain) else {
            continue;
        };
        if all.iter().any(|one| one.name == name) {
            let message = format!("`{name}` is there twice in parameters");
            r.report(Diagnostic::error(key.at, name.as_str(), message));
            continue;
        }
        all.push(Parameter {
            name,
            domain,
            at: key.at,
        });
    }
    all
}

/// `{ enum: [a, b] }`, `{ integer: 1-9 }` or `{ path: /srv/** }`.
fn domain(r: &mut Reader, node: &Node) -> Option<Domain> {
    let mut fields = Fields::of(r, node, &language::PARAMETER)?;
    let kinds = ["enum", "integer", "path"];
    let given: Vec<&str> = kinds.into_iter().filter(|key| fields.had(key)).collect();
    let [key] = given.as_slice() else {
        let message = "a parameter has exactly one of `enum`, `integer` and `path`";
        r.report(Diagnostic::error(node.at, "", message));
        return None;
    };
    let value = fields.take(key)?;
    match *key {
        "enum" => words(r, value),
        "integer" => integers(r, value),
        _ => paths(r, value),
    }
}

fn words(r: &mut Reader, node: &Node) -> Option<Domain> {
    let mut words: Vec<String> = Vec::new();
    for item in r.list_up_to(node, "enum", ENUM_MAX)? {
        let text = r.text(item, "a value of an enum")?;
        if !is_word(text) || text.len() > crate::id::NAME_BYTES_MAX {
            let message = format!("`{}` is no value of an enum", shown(text));
            let error = Diagnostic::error(item.at, text, message);
            r.report(error.suggest(
                "use up to 63 letters, digits and `-._@:+`, starting with a letter or a digit: a value is no part of a path or a \
                 pattern beyond itself",
            ));
            return None;
        }
        r.unless_repeated(&mut words, text.to_owned(), item, "enum");
    }
    (!words.is_empty()).then_some(Domain::Enum(words))
}

fn integers(r: &mut Reader, node: &Node) -> Option<Domain> {
    let text = r.text(node, "integer")?;
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (Ok(first), Ok(last)) = (first.trim().parse::<u32>(), last.trim().parse::<u32>()) else {
        let message = format!(
            "`{}` is no range of integers up to {}",
            shown(text),
            u32::MAX
        );
        r.report(Diagnostic::error(node.at, text, message).suggest("write `1024-2048`"));
        return None;
    };
    if first > last {
        let message = format!(
            "`{}` is no range of integers: its end comes first",
            shown(text)
        );
        r.report(Diagnostic::error(node.at, text, message));
        return None;
    }
    Some(Domain::Integer { first, last })
}

fn paths(r: &mut Reader, node: &Node) -> Option<Domain> {
    let mut paths = Vec::new();
    for item in r.one_or_list(node, "path") {
        let path = target::path(r, item)?;
        let text = item.text().unwrap_or_default();
        if text.contains('\\') {
            let message = format!("`{}` has a name that no value can have", shown(text));
            r.report(
                Diagnostic::error(item.at, text, message)
                    .suggest("a value has no `*`, `?` and `\\`"),
            );
            return None;
        }
        r.unless_repeated(&mut paths, path, item, "path");
    }
    (!paths.is_empty()).then_some(Domain::Path(paths))
}

fn max_duration(r: &mut Reader, node: &Node) -> Option<DurationMs> {
    let max: DurationMs = r.parsed(node, "maxDuration")?;
    if max < GRANT_DURATION_MIN || max > GRANT_DURATION_MAX {
        let message =
            format!("a grant lasts from {GRANT_DURATION_MIN} to {GRANT_DURATION_MAX}, not {max}");
        r.report(Diagnostic::error(node.at, node.excerpt(), message));
        return None;
    }
    Some(max)
}

fn excludes(r: &mut Reader, node: &Node) -> Option<Excludes> {
    let mut fields = Fields::of(r, node, &language::EXCLUDES)?;
    if !fields.had("profiles") && !fields.had("hosts") {
        let error = Diagnostic::error(node.at, "", "excludes names nothing");
        r.report(error.suggest("name `profiles`, `hosts` or both"));
    }
    let profiles = fields.take("profiles").map_or_else(Vec::new, |node| {
        let items = r.one_or_list_up_to(node, "profiles", PROFILES_MAX);
        names_of(r, items, "profiles")
    });
    let hosts = fields.take("hosts").map(|node| hosts::selector(r, node));
    Some(Excludes {
        profiles,
        hosts: hosts.unwrap_or_default(),
    })
}

fn excluded_are_there(r: &mut Reader, all: &[Profile]) {
    for profile in all {
        for name in &profile.excludes.profiles {
            let error = |message: String| Diagnostic::error(profile.at, name.as_str(), message);
            if *name == profile.name {
                let message = format!("profile `{name}` excludes itself");
                r.report(
                    error(message)
                        .suggest("a second grant of it changes nothing but its end; leave it out"),
                );
            } else if all.iter().all(|one| one.name != *name) {
                let known = all.iter().map(|one| one.name.as_str());
                let error = error(format!("the policy has no profile `{name}`"));
                r.report(match nearest(name.as_str(), known) {
                    Some(near) => error.suggest(format!("did you mean `{near}`?")),
                    None => error.suggest("a profile excludes profiles of its own policy"),
                });
            }
        }
    }
}

/// `{ profile: NAME, with: { service: nginx } }`: what a grant of it carries.
pub(super) fn granted(r: &mut Reader, node: &Node, known: &Names<'_>) -> Option<Vec<Carried>> {
    let mut fields = Fields::of(r, node, &language::GRANTED)?;
    let with = fields.take("with");
    let name = fields.require(r, "profile")?;
    let name: ProfileName = r.parsed(name, "profile")?;
    let Some(profile) = known.profiles.iter().find(|one| one.name == name) else {
        let message = format!("the policy has no profile `{name}`");
        let error = Diagnostic::error(node.at, name.as_str(), message);
        let all = known.profiles.iter().map(|one| one.name.as_str());
        r.report(match nearest(name.as_str(), all) {
            Some(near) => error.suggest(format!("did you mean `{near}`?")),
            None => error.suggest("a test's grants carry profiles of its own policy"),
        });
        return None;
    };
    let mut pairs: Vec<(ParameterName, String)> = Vec::new();
    for (key, value) in with.map_or(&[][..], |node| {
        r.named(node, "with", "values", PARAMETERS_MAX)
    }) {
        let name: ParameterName = r.parsed(key, "parameter")?;
        let value = r.text(value, "a value")?.to_owned();
        if pairs.iter().any(|(one, _)| *one == name) {
            let message = format!("`{name}` is there twice in with");
            r.report(Diagnostic::error(key.at, name.as_str(), message));
            return None;
        }
        pairs.push((name, value));
    }
    let values: Values = pairs.into_iter().collect();
    if let Err(refusal) = profile.check(&values) {
        r.report(Diagnostic::error(
            node.at,
            name.as_str(),
            refusal.to_string(),
        ));
        return None;
    }
    let all = known
        .permissions
        .iter()
        .filter(|one| profile.allow.contains(&one.name));
    let carried = all.map(|one| {
        let used = one
            .uses()
            .filter_map(|name| Some((name.clone(), values.get(name)?.to_owned())));
        Carried {
            permission: one.name.clone(),
            values: used.collect(),
        }
    });
    Some(carried.collect())
}
