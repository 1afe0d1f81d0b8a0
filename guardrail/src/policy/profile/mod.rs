//! Profiles: bundles of permissions that a grant carries, with parameters that whoever asks for one gives values.
//!
//! Says what a profile gives for which values, and nothing about who holds one: that is the control plane's to know.

pub(super) mod domain;
mod guess;
pub(super) mod template;

use std::fmt;

pub use domain::{Domain, NotOne};
pub use guess::Ask;
pub use template::Template;

use super::{HostSelector, Place, Policy, Target, diagnostic::nearest};
use crate::{
    id::{ParameterName, PermissionName, ProfileName},
    key::PermissionRef,
    text::safe_cut,
    time::DurationMs,
    values::{ProfileUse, Values},
};

/// Permissions with values that stand for all of a policy where many actions are judged: each is read anew for each of them.
const EXAMPLES_MAX: usize = 32;

/// A bundle of permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its name
    pub name: ProfileName,
    /// What it gives, at least one
    pub allow: Vec<PermissionName>,
    /// In document order
    pub parameters: Vec<Parameter>,
    /// Longest grant of it, if that is shorter than any grant's
    pub max_duration: Option<DurationMs>,
    /// What its holder cannot have at the same time
    pub excludes: Excludes,
    /// Where it is written
    pub at: Place,
}

/// What a profile leaves to whoever asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name
    pub name: ParameterName,
    /// What it can be
    pub domain: Domain,
    /// Where it is written
    pub at: Place,
}

/// What cannot be had beside a profile, whichever of the two came first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Excludes {
    /// Grants of these profiles of the same policy
    pub profiles: Vec<ProfileName>,
    /// Grants of whatever on hosts with these labels; none if it names no label
    pub hosts: HostSelector,
}

/// Why nothing comes of values. Each says what is possible; safe to show.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The profile has no such parameter.
    #[error("profile `{profile}` has no parameter `{shown}`{hint}")]
    Unknown {
        /// The profile
        profile: ProfileName,
        /// What was given
        shown: String,
        /// What it has, or what was meant
        hint: String,
    },
    /// A parameter without a value.
    #[error("profile `{profile}` needs `{parameter}`, {possible}: --with {parameter}={example}")]
    Missing {
        /// The profile
        profile: ProfileName,
        /// The parameter
        parameter: ParameterName,
        /// What it can be
        possible: String,
        /// One of them
        example: String,
    },
    /// A value that the parameter does not have.
    #[error("`{shown}` is no `{parameter}` of profile `{profile}`: {why}")]
    NotOne {
        /// The profile
        profile: ProfileName,
        /// The parameter
        parameter: ParameterName,
        /// What was given
        shown: String,
        /// Why not, and what it can be
        why: String,
    },
    /// The value fits its type and not the place where it is used.
    #[error(
        "with these values permission `{permission}` of profile `{profile}` is none that a host can enforce: \
             what they are part of becomes too long or means nothing"
    )]
    DoesNotFit {
        /// The profile
        profile: ProfileName,
        /// The permission
        permission: PermissionName,
    },
}

/// Why a policy does not give what a grant carries.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Gone {
    /// There is no such profile.
    #[error("it has no profile `{0}`")]
    Profile(ProfileName),
    /// The profile does not have it.
    #[error("its profile `{profile}` does not give `{permission}`")]
    Permission {
        /// The profile
        profile: ProfileName,
        /// The permission
        permission: PermissionName,
    },
    /// The permission has other parameters.
    #[error("its permission `{0}` has other parameters")]
    Parameters(PermissionName),
    /// The value is none any more.
    #[error("{0}")]
    Value(Refusal),
}

impl Profile {
    fn parameter(&self, name: &ParameterName) -> Option<&Parameter> {
        self.parameters.iter().find(|one| one.name == *name)
    }

    fn accepts(&self, name: &ParameterName, value: &str) -> Result<(), Refusal> {
        let Some(parameter) = self.parameter(name) else {
            return Err(self.unknown(name.as_str()));
        };
        parameter
            .domain
            .accepts(value)
            .map_err(|why| Refusal::NotOne {
                profile: self.name.clone(),
                parameter: name.clone(),
                shown: shown(value),
                why: format!("{why}; it is {}", parameter.domain),
            })
    }

    /// What is said of a parameter that it does not have.
    pub fn unknown(&self, name: &str) -> Refusal {
        let known = || self.parameters.iter().map(|one| one.name.as_str());
        let hint = match nearest(name, known()) {
            Some(near) => format!("; did you mean `{near}`?"),
            None if self.parameters.is_empty() => "; it has none".to_owned(),
            None => format!("; it has {}", known().collect::<Vec<_>>().join(", ")),
        };
        Refusal::Unknown {
            profile: self.name.clone(),
            shown: shown(name),
            hint,
        }
    }

    /// Whether every parameter has a value that it can have.
    pub fn check(&self, values: &Values) -> Result<(), Refusal> {
        for (name, value) in values.iter() {
            self.accepts(name, value)?;
        }
        match self
            .parameters
            .iter()
            .find(|one| values.get(&one.name).is_none())
        {
            None => Ok(()),
            Some(missing) => Err(Refusal::Missing {
                profile: self.name.clone(),
                parameter: missing.name.clone(),
                possible: missing.domain.to_string(),
                example: missing.domain.example(),
            }),
        }
    }

    /// What somebody has who has it with these values: each permission with those that it uses.
    pub fn gives(&self, policy: &Policy, values: &Values) -> Result<Vec<PermissionRef>, Refusal> {
        self.check(values)?;
        let mut all = Vec::new();
        for permission in policy
            .permissions
            .iter()
            .filter(|one| self.allow.contains(&one.name))
        {
            let used = permission.uses().cloned();
            let reference = PermissionRef {
                policy: policy.name.clone(),
                permission: permission.name.clone(),
                values: used
                    .filter_map(|name| {
                        values
                            .get(&name)
                            .map(|value| (name.clone(), value.to_owned()))
                    })
                    .collect(),
            };
            if permission.template.is_some() && policy.instance(&reference).is_none() {
                return Err(Refusal::DoesNotFit {
                    profile: self.name.clone(),
                    permission: permission.name.clone(),
                });
            }
            all.push(reference);
        }
        Ok(all)
    }

    /// Whether it still gives this, whatever else it gives or asks for now.
    fn still_gives(&self, policy: &Policy, reference: &PermissionRef) -> Result<(), Gone> {
        let name = &reference.permission;
        let permission = policy
            .permission(name)
            .filter(|_| self.allow.contains(name));
        let Some(permission) = permission else {
            return Err(Gone::Permission {
                profile: self.name.clone(),
                permission: name.clone(),
            });
        };
        if !permission.uses().eq(reference.values.names()) {
            return Err(Gone::Parameters(name.clone()));
        }
        for (name, value) in reference.values.iter() {
            self.accepts(name, value).map_err(Gone::Value)?;
        }
        Ok(())
    }
}

impl Policy {
    /// A profile by its name.
    pub fn profile(&self, name: &ProfileName) -> Option<&Profile> {
        self.profiles.iter().find(|one| one.name == *name)
    }

    /// What profiles give, with values that stand for all of them: of each parameter each word and both ends, beside one of
    /// the others; some of them where there are many.
    pub fn examples(&self) -> Vec<PermissionRef> {
        let first = |one: &Parameter| (one.name.clone(), one.domain.example());
        let mut all: Vec<PermissionRef> = Vec::new();
        for profile in &self.profiles {
            for parameter in &profile.parameters {
                for value in parameter.domain.tried() {
                    if all.len() >= EXAMPLES_MAX {
                        return all;
                    }
                    let others = profile.parameters.iter().map(first);
                    let pairs = others.chain([(parameter.name.clone(), value)]);
                    let given = profile.gives(self, &pairs.collect()).unwrap_or_default();
                    let new = given.into_iter().filter(|one| !one.values.is_empty());
                    for one in new {
                        if !all.contains(&one) {
                            all.push(one);
                        }
                    }
                }
            }
        }
        all
    }

    /// Whether a grant that carries this, by that profile of this policy, still gets it here.
    pub fn still_gives(&self, by: &ProfileUse, carried: &[PermissionRef]) -> Result<(), Gone> {
        let profile = self
            .profile(&by.profile)
            .ok_or_else(|| Gone::Profile(by.profile.clone()))?;
        carried
            .iter()
            .try_for_each(|one| profile.still_gives(self, one))
    }

    /// The actions of a permission with these values; nothing unless some profile gives exactly that. Whoever sends the values,
    /// they are looked at again: a host believes nobody that they fit.
    pub fn instance(&self, reference: &PermissionRef) -> Option<Vec<Target>> {
        if reference.policy != self.name || reference.values.is_empty() {
            return None;
        }
        let given = |profile: &Profile| profile.still_gives(self, reference).is_ok();
        if !self.profiles.iter().any(given) {
            return None;
        }
        let template = self.permission(&reference.permission)?.template.as_ref()?;
        template.targets(&self.sets, &reference.values)
    }

    /// The profiles that give a permission with values, or without any.
    pub fn giving<'p>(&'p self, reference: &'p PermissionRef) -> impl Iterator<Item = &'p Profile> {
        let given = move |profile: &&Profile| profile.still_gives(self, reference).is_ok();
        self.profiles.iter().filter(given)
    }
}

fn shown(text: &str) -> String {
    safe_cut(text.as_bytes(), crate::limits::EXCERPT_BYTES_MAX)
}

/// `restart, logs; service: one of nginx, postgres; at most 4h`.
impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join("; "))
    }
}

impl Profile {
    /// What it says, a line each.
    pub fn words(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .allow
            .iter()
            .map(|one| format!("allows {one}"))
            .collect();
        lines.extend(
            self.parameters
                .iter()
                .map(|one| format!("{}: {}", one.name, one.domain)),
        );
        lines.extend(self.max_duration.map(|max| format!("for at most {max}")));
        lines.extend(
            self.excludes
                .profiles
                .iter()
                .map(|one| format!("excludes profile {one}")),
        );
        if !self.excludes.hosts.0.is_empty() {
            lines.push(format!("excludes hosts with {}", self.excludes.hosts));
        }
        lines
    }
}
