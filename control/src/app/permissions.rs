//! From `NAME` or `POLICY/NAME` to a permission that some policy defines.

use std::collections::BTreeSet;

use stayhand_guardrail::{
    id::{PermissionName, UserName},
    key::PermissionRef,
    policy::Profile,
};

use super::{Error, PolicySet};
use crate::names::Person;

/// Names that an error lists.
const SHOWN_MAX: usize = 12;

/// Resolves every permission of a request.
pub(super) fn resolve(set: &PolicySet, asked: &[String]) -> Result<Vec<PermissionRef>, Error> {
    asked.iter().map(|text| one(set, text)).collect()
}

fn one(set: &PolicySet, text: &str) -> Result<PermissionRef, Error> {
    let found: Vec<PermissionRef> = if text.contains('/') {
        let reference: PermissionRef = text
            .parse()
            .map_err(|problem| Error::field("permissions", problem))?;
        all(set).filter(|known| *known == reference).collect()
    } else {
        let name: PermissionName = text
            .parse()
            .map_err(|problem| Error::field("permissions", problem))?;
        all(set).filter(|known| known.permission == name).collect()
    };
    match found.as_slice() {
        [one] => plain(set, one),
        [] => Err(Error::UnknownPermission {
            name: stayhand_guardrail::text::safe(text),
            known: shown(all(set)),
        }),
        several => Err(Error::AmbiguousPermission {
            name: text.to_owned(),
            candidates: shown(several.iter().cloned()),
        }),
    }
}

/// One with parameters is nothing without values, and only a profile says which it can have.
fn plain(set: &PolicySet, one: &PermissionRef) -> Result<PermissionRef, Error> {
    let policy = set.iter().find(|policy| policy.name == one.policy);
    let Some((policy, permission)) =
        policy.and_then(|policy| Some((policy, policy.permission(&one.permission)?)))
    else {
        return Ok(one.clone());
    };
    if permission.template.is_none() {
        return Ok(one.clone());
    }
    let giving = policy.profiles.iter();
    let giving = giving.filter(|profile| profile.allow.contains(&permission.name));
    let ask = |profile: &Profile| {
        let values = profile.parameters.iter();
        let values = values.map(|one| format!(" --with {}={}", one.name, one.domain.example()));
        format!(
            "--profile {}/{}{}",
            policy.name,
            profile.name,
            values.collect::<String>()
        )
    };
    Err(Error::NeedsProfile {
        permission: one.clone(),
        ask: giving.take(SHOWN_MAX).map(ask).collect(),
    })
}

/// Checks that each permission's policy guards the user, under one name or another: elsewhere the grant would permit nothing.
pub(super) fn guarded(
    set: &PolicySet,
    user: &UserName,
    person: &Person,
    permissions: &[PermissionRef],
) -> Result<(), Error> {
    let outside = permissions.iter().find(|permission| {
        !set.iter()
            .any(|one| one.name == permission.policy && person.is_among(&one.subjects))
    });
    match outside {
        None => Ok(()),
        Some(outside) => Err(Error::NotASubject {
            user: user.clone(),
            policy: outside.policy.clone(),
        }),
    }
}

/// Of every revision that counts; what two revisions of a policy define is one permission.
fn all(set: &PolicySet) -> impl Iterator<Item = PermissionRef> + '_ {
    let each = set.iter().flat_map(|policy| {
        let names = policy.permissions.iter().map(|permission| &permission.name);
        names.map(|name| PermissionRef::plain(policy.name.clone(), name.clone()))
    });
    each.collect::<BTreeSet<_>>().into_iter()
}

fn shown(permissions: impl Iterator<Item = PermissionRef>) -> Vec<String> {
    permissions
        .take(SHOWN_MAX)
        .map(|permission| permission.to_string())
        .collect()
}
