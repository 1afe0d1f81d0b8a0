//! Grants: the life of a time-boxed permission, and how far each host has come with it.
//!
//! A state machine that consumes its state: [`Grant::step`] takes the grant by value, so nothing can go on with
//! a stale copy. It performs nothing; the caller persists the grant and performs the effects.

pub mod enforcement;
mod fact;
mod step;
#[cfg(test)]
mod tests;

pub use enforcement::{Enforcement, HostEnforcement};
pub use fact::{Effect, Fact, Illegal, Invalid, IssueSpec, Step};

use serde::{Deserialize, Serialize};

use crate::{
    id::{GrantId, HostId, Revision, UserName},
    key::PermissionRef,
    time::UnixMs,
    values::ProfileUse,
};

/// A time-boxed permission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Its id
    pub id: GrantId,
    /// Whose it is
    pub user: UserName,
    /// What it permits; never empty
    pub permissions: Vec<PermissionRef>,
    /// The profile that it was asked for by, with its values
    pub profile: Option<ProfileUse>,
    /// Where; empty = on every host that has the permission's policy
    pub hosts: Vec<HostId>,
    /// Why it was issued
    pub reason: String,
    /// Who issued it
    pub created_by: UserName,
    /// When
    pub create_time: UnixMs,
    /// When it ends by itself
    pub expire_time: UnixMs,
    /// Counts changes, starting at 1
    pub revision: Revision,
    /// Where it is in its life
    pub state: GrantState,
}

/// Where a grant is in its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GrantState {
    /// It permits, until its time box closes
    Active,
    /// Its time box closed
    Ended {
        /// When that was noticed
        at: UnixMs,
    },
    /// Somebody took it back
    Revoked {
        /// Who
        by: UserName,
        /// Why
        reason: String,
        /// When
        at: UnixMs,
    },
}

impl GrantState {
    /// The word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Ended { .. } => "ended",
            Self::Revoked { .. } => "revoked",
        }
    }
}

/// What happened to a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GrantChange {
    /// It was issued
    Created,
    /// Its time box closed
    Ended,
    /// Somebody took it back
    Revoked,
}

impl GrantChange {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Ended => "ended",
            Self::Revoked => "revoked",
        }
    }
}
