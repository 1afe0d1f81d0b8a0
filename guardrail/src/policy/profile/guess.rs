//! Which values of a permission's parameters would contain an action: tried, and never more than so many.

use super::{
    super::{Permission, Policy},
    Domain, Parameter, Profile,
};
use crate::{
    action::Object,
    id::ParameterName,
    key::PermissionRef,
    limits::GUESSES_MAX,
    values::{ProfileUse, Values},
};

/// How somebody asks for a permission that only profiles give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The profile, with the values that are known
    pub profile: ProfileUse,
    /// Parameters that it has besides, and one of their values
    pub open: Vec<(ParameterName, String)>,
}

impl Policy {
    /// Permissions with values of which `contains` may be true, for an action on these objects with these arguments.
    pub fn guesses(
        &self,
        permission: &Permission,
        objects: &[&Object],
        arguments: &[Vec<u8>],
    ) -> Vec<PermissionRef> {
        let mut found: Vec<PermissionRef> = Vec::new();
        for profile in self
            .profiles
            .iter()
            .filter(|one| one.allow.contains(&permission.name))
        {
            for values in combinations(profile, permission, &texts(objects, arguments)) {
                let reference = PermissionRef {
                    policy: self.name.clone(),
                    permission: permission.name.clone(),
                    values,
                };
                if found.len() < GUESSES_MAX && !found.contains(&reference) {
                    found.push(reference);
                }
            }
        }
        found
    }

    /// How to ask for it; nothing where no profile gives it.
    pub fn ask_for(&self, reference: &PermissionRef) -> Option<Ask> {
        let profile = self.giving(reference).next()?;
        let without = |one: &&Parameter| reference.values.get(&one.name).is_none();
        let open = profile.parameters.iter().filter(without);
        Some(Ask {
            profile: ProfileUse {
                policy: self.name.clone(),
                profile: profile.name.clone(),
                values: reference.values.clone(),
            },
            open: open
                .map(|one| (one.name.clone(), one.domain.example()))
                .collect(),
        })
    }
}

/// What of an action may be a value, or have one in it.
fn texts(objects: &[&Object], arguments: &[Vec<u8>]) -> Vec<String> {
    let mut texts = Vec::new();
    for object in objects {
        match object {
            Object::Path { bytes } => texts.extend(String::from_utf8(bytes.clone())),
            Object::Address { port, .. } => texts.push(port.to_string()),
            _ => {}
        }
    }
    texts.extend(
        arguments
            .iter()
            .filter_map(|one| String::from_utf8(one.clone()).ok()),
    );
    texts
}

fn combinations(profile: &Profile, permission: &Permission, texts: &[String]) -> Vec<Values> {
    let mut all = vec![Vec::new()];
    for name in permission.uses() {
        let Some(parameter) = profile.parameter(name) else {
            return vec![];
        };
        let values = candidates(&parameter.domain, texts);
        let mut next = Vec::new();
        for known in &all {
            for value in &values {
                if next.len() < GUESSES_MAX {
                    next.push([known.as_slice(), &[(name.clone(), value.clone())]].concat());
                }
            }
        }
        all = next;
    }
    all.into_iter()
        .map(|pairs| pairs.into_iter().collect())
        .collect()
}

/// Values of a type that stand in one of these texts.
fn candidates(domain: &Domain, texts: &[String]) -> Vec<String> {
    let mut found: Vec<String> = match domain {
        Domain::Enum(words) => {
            let there = |word: &&String| texts.iter().any(|text| text.contains(word.as_str()));
            words.iter().filter(there).cloned().collect()
        }
        Domain::Integer { .. } => {
            let numbers = texts
                .iter()
                .flat_map(|text| text.split(|c: char| !c.is_ascii_digit()));
            numbers.map(str::to_owned).collect()
        }
        Domain::Path(_) => texts.iter().flat_map(|text| prefixes(text)).collect(),
    };
    found.retain(|value| domain.accepts(value).is_ok());
    found.sort();
    found.dedup();
    found
}

/// A path and all directories above it.
fn prefixes(text: &str) -> Vec<String> {
    let from = text.find('/').unwrap_or(text.len());
    let path = text.get(from..).unwrap_or_default();
    let ends = path
        .match_indices('/')
        .map(|(at, _)| at)
        .filter(|at| *at > 0);
    let cuts = ends.chain([path.len()]).filter_map(|end| path.get(..end));
    cuts.map(str::to_owned).collect()
}
