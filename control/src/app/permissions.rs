//! From `NAME` or `POLICY/NAME` to a permission that some policy defines.

use std::collections::BTreeSet;

use stayhand_guardrail::{
    id::{GroupName, PermissionName, UserName},
    key::PermissionRef,
};

use super::{Error, PolicySet};

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
        [one] => Ok(one.clone()),
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

/// Checks that each permission's policy guards the user: elsewhere the grant would permit nothing.
pub(super) fn guarded(
    set: &PolicySet,
    user: &UserName,
    groups: &[GroupName],
    permissions: &[PermissionRef],
) -> Result<(), Error> {
    let outside = permissions.iter().find(|permission| {
        !set.iter()
            .any(|one| one.name == permission.policy && one.subjects.include(user, groups))
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
        policy.permissions.iter().map(|permission| PermissionRef {
            policy: policy.name.clone(),
            permission: permission.name.clone(),
        })
    });
    each.collect::<BTreeSet<_>>().into_iter()
}

fn shown(permissions: impl Iterator<Item = PermissionRef>) -> Vec<String> {
    permissions
        .take(SHOWN_MAX)
        .map(|permission| permission.to_string())
        .collect()
}
