//! A permission with parameters, as every profile gives it: each value that stands for others is put where it is used, and what comes
//! out is read like a permission without any. Never decides what a value may be.

use std::collections::BTreeSet;

use super::super::{read_instance, reader::Reader};
use crate::{
    id::ParameterName,
    limits::TRIED_VALUES_MAX,
    policy::{
        Diagnostic, Permission, Profile, Target,
        diagnostic::nearest,
        profile::{
            Domain, Parameter, Template,
            template::{Piece, Spot, pieces, texts},
        },
    },
    values::Values,
};

/// Looks at a permission with parameters as every profile gives it.
pub(super) fn settle(
    r: &mut Reader,
    all: &[Profile],
    permission: &mut Permission,
    left: &mut usize,
) {
    let Some(template) = permission.template.clone() else {
        return;
    };
    let name = permission.name.clone();
    let giving: Vec<&Profile> = all.iter().filter(|one| one.allow.contains(&name)).collect();
    let mut sample = None;
    for profile in &giving {
        match given(r, &template, profile, permission, left) {
            Ok(targets) => sample = sample.or(targets),
            Err(TooMany) => return,
        }
    }
    if giving.is_empty() && !template.uses.is_empty() {
        let message = format!(
            "permission `{name}` has parameters, and no profile allows it: nobody could ever have it"
        );
        let error = Diagnostic::error(permission.at, name.as_str(), message);
        r.report(error.suggest(format!(
            "name it in `allow` of a profile that defines {}",
            listed(&template.uses)
        )));
    }
    same_kinds(r, &giving, permission);
    mark_sets(r, &template);
    if let Some(template) = &mut permission.template {
        template.sample = sample.unwrap_or_default();
    }
}

/// More values than are tried, which was reported.
struct TooMany;

/// The actions that a profile gives by it, with the first values that fit. Values that do not fit end it: the others would have
/// the same findings.
fn given(
    r: &mut Reader,
    template: &Template,
    profile: &Profile,
    permission: &Permission,
    left: &mut usize,
) -> Result<Option<Vec<Target>>, TooMany> {
    let Some(parameters) = parameters_of(r, profile, permission) else {
        return Ok(None);
    };
    if !stand_well(r, template, &parameters) {
        return Ok(None);
    }
    let mut first = None;
    for values in tried(&parameters) {
        let Some(rest) = left.checked_sub(1) else {
            too_many(r, profile);
            return Err(TooMany);
        };
        *left = rest;
        let Some(node) = template.with(&values) else {
            continue;
        };
        match read_instance(&node, &r.sets) {
            Ok(targets) => first = first.or(Some(targets)),
            Err(findings) => {
                for finding in findings {
                    let message = format!("with {values}: {}", finding.message);
                    r.report(Diagnostic { message, ..finding });
                }
                break;
            }
        }
    }
    Ok(first)
}

fn too_many(r: &mut Reader, profile: &Profile) {
    let message =
        format!("profiles have more than {TRIED_VALUES_MAX} values that are put into permissions");
    let error = Diagnostic::error(profile.at, profile.name.as_str(), message);
    r.report(error.suggest("split the policy, or give fewer permissions by values of an `enum`"));
}

fn listed(names: &BTreeSet<ParameterName>) -> String {
    let names: Vec<String> = names.iter().map(|one| format!("`{one}`")).collect();
    names.join(", ")
}

/// Those that the permission uses.
fn parameters_of<'p>(
    r: &mut Reader,
    profile: &'p Profile,
    permission: &Permission,
) -> Option<Vec<&'p Parameter>> {
    let mut found = Vec::new();
    for name in permission.uses() {
        if let Some(parameter) = profile.parameters.iter().find(|one| one.name == *name) {
            found.push(parameter);
            continue;
        }
        let message = format!(
            "profile `{}` allows `{}`, which uses `${{{name}}}`, and has no parameter `{name}`",
            profile.name, permission.name
        );
        let error = Diagnostic::error(profile.at, profile.name.as_str(), message);
        let known = profile.parameters.iter().map(|one| one.name.as_str());
        r.report(match nearest(name.as_str(), known) {
            Some(near) => error.suggest(format!("did you mean `{near}`?")),
            None => error.suggest(format!(
                "define it: `parameters: {{ {name}: {{ enum: [...] }} }}`"
            )),
        });
    }
    (found.len() == permission.uses().count()).then_some(found)
}

/// Whether each parameter is of a kind that may be where it stands.
fn stand_well(r: &mut Reader, template: &Template, parameters: &[&Parameter]) -> bool {
    let mut well = true;
    texts(&template.node, &mut |spot, node, text| {
        for piece in pieces(text) {
            let Piece::Parameter(name) = piece else {
                continue;
            };
            let Some(parameter) = parameters.iter().find(|one| one.name == name) else {
                continue;
            };
            let why = match (&parameter.domain, spot) {
                (Domain::Path(_), Some(Spot::Path | Spot::Argument))
                | (Domain::Integer { .. }, Some(_)) => continue,
                (Domain::Enum(_), Some(spot)) if spot != Spot::Ports => continue,
                (Domain::Path(_), Some(Spot::Words)) => {
                    "a path may have blanks, and blanks part the words of a `subcommand`: use `args` or `anyArg`"
                }
                (Domain::Path(_), _) => "a path stands in `path`, `args`, `anyArg` and `allArgs`",
                (_, _) => "a port is an `integer`",
            };
            well = false;
            let message = format!(
                "`{name}` is of kind `{}`, which cannot stand here",
                parameter.domain.kind()
            );
            r.report(Diagnostic::error(node.at, text, message).suggest(why));
        }
    });
    well
}

/// Each value that is tried, beside one of each of the others.
fn tried(parameters: &[&Parameter]) -> Vec<Values> {
    let first = || {
        parameters
            .iter()
            .map(|one| (one.name.clone(), one.domain.example()))
    };
    let mut all = Vec::new();
    for parameter in parameters {
        for value in parameter.domain.tried() {
            let values: Values = first().chain([(parameter.name.clone(), value)]).collect();
            if !all.contains(&values) {
                all.push(values);
            }
        }
    }
    all
}

/// Two profiles may give a permission for other values; what is a path in one and a word in the other is a mistake.
fn same_kinds(r: &mut Reader, giving: &[&Profile], permission: &Permission) {
    for name in permission.uses() {
        let mut kinds = giving.iter().filter_map(|profile| {
            let mut all = profile.parameters.iter();
            Some((*profile, all.find(|one| one.name == *name)?.domain.kind()))
        });
        let Some((first, kind)) = kinds.next() else {
            continue;
        };
        if let Some((other, kind_there)) = kinds.find(|(_, one)| *one != kind) {
            let message = format!(
                "`{name}` of permission `{}` is of kind `{kind}` in profile `{}` and of kind `{kind_there}` in profile `{}`",
                permission.name, first.name, other.name
            );
            let error = Diagnostic::error(other.at, other.name.as_str(), message);
            r.report(
                error.suggest("profiles may give a permission for different values of one kind"),
            );
        }
    }
}

fn mark_sets(r: &mut Reader, template: &Template) {
    let mut named = Vec::new();
    texts(&template.node, &mut |_, _, text| {
        named.push(text.to_owned());
    });
    for set in &mut r.sets {
        set.used |= named.iter().any(|one| one == set.name.as_str());
    }
}
