//! Stable 64-bit keys under which the kernel knows rules and permissions, and references to both by name.
//!
//! A key depends on the names only, never on a revision or a position, so that a lease and a record mean the
//! same rule before and after a swap. Rules of a shadow, which no lease is about, have keys of their own.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    id::{IdError, PermissionName, PolicyName, Revision, RuleId},
    values::{self, Values},
};

macro_rules! key {
    ($(#[$doc:meta])* $name:ident, $tag:literal, $of:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            /// Derives the key.
            pub fn of(policy: &PolicyName, id: &$of) -> Self {
                Self(derive($tag, policy.as_str(), id.as_str()))
            }

            /// The number that the kernel sees; never 0.
            pub fn get(self) -> u64 {
                self.0
            }

            /// Reads the kernel's number; 0 is none.
            pub fn from_raw(raw: u64) -> Option<Self> {
                (raw != 0).then_some(Self(raw))
            }
        }
    };
}

key!(
    /// Key of `policy/rule`.
    RuleKey, "rule", RuleId
);
key!(
    /// Key of `policy/permission`.
    PermissionKey, "permission", PermissionName
);

/// Key of what counts a rate: a rule that says another rate counts anew.
pub(crate) fn bucket_key(policy: &PolicyName, rule: &RuleId, rate: &str) -> u64 {
    derive("rate", policy.as_str(), &format!("{rule}\0{rate}"))
}

/// The key of a rule of a revision that only watches, beside another revision of its policy.
pub(crate) fn shadow_key(policy: &PolicyName, revision: Revision, rule: &RuleId) -> RuleKey {
    RuleKey(derive(
        "shadow",
        policy.as_str(),
        &format!("{revision}\0{rule}"),
    ))
}

/// First eight bytes of SHA-256 over `tag NUL policy NUL id`. Names cannot contain NUL, so no two pairs collide
/// by concatenation; 0 would read as none in the kernel.
fn derive(tag: &str, policy: &str, id: &str) -> u64 {
    let digest = Sha256::new()
        .chain_update(tag)
        .chain_update([0])
        .chain_update(policy)
        .chain_update([0])
        .chain_update(id);
    let first = digest
        .finalize()
        .iter()
        .take(8)
        .fold(0u64, |key, byte| (key << 8) | u64::from(*byte));
    first.max(1)
}

/// How permissions are journaled: those with values apart, because an agent from before there were any could not read the rest of
/// its journal otherwise. It finds none of those with values there, and permits nothing by them.
pub mod apart {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::PermissionRef;

    #[derive(Serialize, Deserialize)]
    struct Apart {
        permissions: Vec<PermissionRef>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        with_values: Vec<PermissionRef>,
    }

    /// As two lists.
    pub fn serialize<S: Serializer>(all: &[PermissionRef], to: S) -> Result<S::Ok, S::Error> {
        let (permissions, with_values) = all.iter().cloned().partition(|one| one.values.is_empty());
        Apart {
            permissions,
            with_values,
        }
        .serialize(to)
    }

    /// As one again.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<PermissionRef>, D::Error> {
        let Apart {
            mut permissions,
            with_values,
        } = Apart::deserialize(from)?;
        permissions.extend(with_values);
        Ok(permissions)
    }
}

/// A permission by name: `policy/permission`, and with values where it has parameters: `policy/permission(service=nginx)`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PermissionRef {
    /// The policy that defines it
    pub policy: PolicyName,
    /// Its name there
    pub permission: PermissionName,
    /// A value for each parameter that it uses
    pub values: Values,
}

impl PermissionRef {
    /// One without parameters.
    pub fn plain(policy: PolicyName, permission: PermissionName) -> Self {
        Self {
            policy,
            permission,
            values: Values::default(),
        }
    }

    /// Its key; with other values it is another one.
    pub fn key(&self) -> PermissionKey {
        if self.values.is_empty() {
            return PermissionKey::of(&self.policy, &self.permission);
        }
        // No name has a NUL or a `(`.
        let id = format!("{}\0{}", self.permission, self.values);
        PermissionKey(derive("permission", self.policy.as_str(), &id))
    }
}

impl fmt::Display for PermissionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.policy, self.permission, self.values)
    }
}

impl FromStr for PermissionRef {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let (name, values) = values::split("permission", text)?;
        let Some((policy, permission)) = name.split_once('/') else {
            return Err(IdError::Malformed {
                what: "permission",
                shown: crate::text::Safe(text.as_bytes()).to_string(),
                rule: "write it as `policy/permission`",
            });
        };
        Ok(Self {
            policy: policy.parse()?,
            permission: permission.parse()?,
            values,
        })
    }
}

impl TryFrom<String> for PermissionRef {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<PermissionRef> for String {
    fn from(reference: PermissionRef) -> Self {
        reference.to_string()
    }
}
