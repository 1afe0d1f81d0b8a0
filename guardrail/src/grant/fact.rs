//! What a grant is issued from, what can happen to it, what follows, and why it cannot.

use super::Grant;
use crate::{
    event::GrantChanged,
    id::{GrantId, HostId, UserName},
    key::PermissionRef,
    limits::{GRANT_DURATION_MAX, GRANT_DURATION_MIN, GRANT_PERMISSIONS_MAX, REASON_BYTES_MAX},
    time::{DurationMs, UnixMs},
    values::ProfileUse,
};

/// What a grant is issued from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssueSpec {
    /// Id, made by the caller
    pub id: GrantId,
    /// Whose it becomes
    pub user: UserName,
    /// What it permits
    pub permissions: Vec<PermissionRef>,
    /// The profile that gives them, with its values
    pub profile: Option<ProfileUse>,
    /// Where; empty = everywhere
    pub hosts: Vec<HostId>,
    /// Why
    pub reason: String,
    /// Who issues it
    pub created_by: UserName,
    /// For how long
    pub duration: DurationMs,
}

/// Why a grant cannot be issued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Nothing would be permitted.
    #[error("a grant needs at least one permission")]
    NoPermission,
    /// More than the bound.
    #[error("a grant has at most {GRANT_PERMISSIONS_MAX} permissions, not {0}")]
    TooManyPermissions(usize),
    /// Twice the same.
    #[error("permission `{0}` is named twice")]
    Duplicate(PermissionRef),
    /// Nothing says why.
    #[error("a grant needs a reason")]
    NoReason,
    /// Longer than the bound.
    #[error("the reason has {0} bytes, more than the {REASON_BYTES_MAX} that are allowed")]
    LongReason(usize),
    /// Nobody could use it.
    #[error("a grant lasts at least {GRANT_DURATION_MIN}, not {0}")]
    TooShort(DurationMs),
    /// Not a time box any more.
    #[error("a grant lasts at most {GRANT_DURATION_MAX}, not {0}")]
    TooLong(DurationMs),
}

/// What can happen to a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Its end has passed
    Expire,
    /// Somebody takes it back
    Revoke {
        /// Who
        by: UserName,
        /// Why
        reason: String,
    },
}

/// What the caller does after it persisted the grant, in the same transaction where that is possible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Append this audit record
    Record(GrantChanged),
    /// Send the hosts that the grant is for a new state: the lease comes or goes
    PublishHosts,
}

/// A grant after a step, and what is to be done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Step {
    /// The grant now
    pub grant: Grant,
    /// In this order
    pub effects: Vec<Effect>,
}

/// A fact that cannot happen in this state. The grant comes back unchanged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Illegal {
    /// It is over.
    #[error("grant `{}` ended at {at}; create a new one", .grant.id)]
    Ended {
        /// The grant
        grant: Box<Grant>,
        /// Since when
        at: UnixMs,
    },
    /// It was taken back before.
    #[error("grant `{}` was revoked by {by} at {at}; create a new one", .grant.id)]
    Revoked {
        /// The grant
        grant: Box<Grant>,
        /// By whom
        by: UserName,
        /// When
        at: UnixMs,
    },
    /// Its end has not come.
    #[error("grant `{}` ends at {}, which has not come", .grant.id, .grant.expire_time)]
    NotYet {
        /// The grant
        grant: Box<Grant>,
    },
}
