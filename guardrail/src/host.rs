//! What one host is to enforce, and how far it has come: desired state with a generation, never commands.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    id::{Generation, GrantId, HoldId, PolicyName, Revision, UserName},
    key::PermissionRef,
    policy::Flags,
    resource::{ResourceError, StateDigest},
    time::{DurationMs, UnixMs},
};

/// The whole desired state of one host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostState {
    /// Higher than every earlier state of this host; a host refuses a lower one
    pub generation: Generation,
    /// Policies by name, each once
    pub policies: Vec<PolicyRevision>,
    /// Live grants as far as this host needs them
    pub leases: Vec<Lease>,
    /// Answers to holds that the host has not yet carried out
    pub answers: Vec<HoldAnswer>,
    /// Flags that are set, each until then; none in what was written before there were any
    #[serde(default)]
    pub flags: Flags,
    /// Revisions that are only watched beside the policies, by name, each once; none in what was written before there were
    /// any
    #[serde(default)]
    pub shadows: Vec<PolicyRevision>,
    /// For how long leases count after the last proof that this is the newest state; none where each counts until its own end
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh_for: Option<DurationMs>,
    /// Over its resources as they came; none where it came as a whole, and in what was written before there were any
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<StateDigest>,
}

impl HostState {
    /// Whether what is enforced of both is the same, but for leases of what is there and answers.
    pub fn compiles_as(&self, other: &Self) -> bool {
        self.policies == other.policies
            && self.shadows == other.shadows
            && self.flags == other.flags
            && self.with_values() == other.with_values()
    }

    /// Permissions with parameters that leases carry: what the policies alone do not say.
    pub fn with_values(&self) -> BTreeSet<PermissionRef> {
        let carried = self.leases.iter().flat_map(|lease| &lease.permissions);
        let with_values = carried.filter(|one| !one.values.is_empty());
        with_values.cloned().collect()
    }
}

/// One accepted version of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRevision {
    /// The policy
    pub name: PolicyName,
    /// Its version
    pub revision: Revision,
    /// The YAML document, byte for byte
    pub source: String,
}

/// What a host knows of a grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The grant
    pub grant: GrantId,
    /// Whose it is
    pub user: UserName,
    /// What it permits
    #[serde(flatten, with = "crate::key::apart")]
    pub permissions: Vec<PermissionRef>,
    /// When it ends, on the control plane's clock
    pub expire_time: UnixMs,
    /// The control plane's clock when the state was sent: the host measures what is left by the difference, so a
    /// wrong wall clock on the host cannot lengthen a lease
    pub server_time: UnixMs,
}

impl Lease {
    /// What is left of it when the state is sent.
    pub fn left(&self) -> DurationMs {
        self.expire_time.since(self.server_time)
    }
}

/// What somebody decided on a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// The very same call may go on, once
    Approved,
    /// The call gets `EPERM`
    Refused,
}

/// The answer to one hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldAnswer {
    /// The hold
    pub hold: HoldId,
    /// The answer
    pub answer: Answer,
    /// Who decided; none where a stage of the approval was not complete in its time, which only refuses
    pub by: Option<UserName>,
    /// Why
    pub reason: String,
}

/// A host's word on a generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The generation
    pub generation: Generation,
    /// How far it is
    pub phase: Phase,
    /// Of the resources that are enforced; none where nobody said what they are
    pub digest: Option<StateDigest>,
    /// What is wrong with single resources, as far as it is known
    pub errors: Vec<ResourceError>,
    /// For how long the kernel lets leases count after a proof; none where each counts until its own end, or nothing is enforced
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh_for: Option<DurationMs>,
}

impl Ack {
    /// A word on a generation, and nothing about its resources.
    pub fn new(generation: Generation, phase: Phase) -> Self {
        Self {
            generation,
            phase,
            digest: None,
            errors: vec![],
            fresh_for: None,
        }
    }
}

/// How far a host is with a generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Stored on the host
    Received,
    /// In the kernel, read back
    Enforced,
    /// Refused; the last good generation stays
    Rejected {
        /// Every reason
        reasons: Vec<String>,
    },
}

impl Phase {
    /// The word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Enforced => "enforced",
            Self::Rejected { .. } => "rejected",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lease(permissions: &[&str]) -> Lease {
        Lease {
            grant: GrantId(uuid::Uuid::from_u128(7)),
            user: "alice".parse().unwrap(),
            permissions: permissions.iter().map(|one| one.parse().unwrap()).collect(),
            expire_time: UnixMs(2),
            server_time: UnixMs(1),
        }
    }

    /// It would not read the rest of its journal otherwise, and enforce nothing.
    #[test]
    fn an_agent_from_before_values_finds_the_permissions_without_and_no_other() {
        let both = lease(&["p/db", "p/restart(service=nginx)"]);
        let written = serde_json::to_value(&both).unwrap();
        assert_eq!(written["permissions"], json!(["p/db"]));
        assert_eq!(written["with_values"], json!(["p/restart(service=nginx)"]));
        assert_eq!(serde_json::from_value::<Lease>(written).unwrap(), both);
        let plain = serde_json::to_value(lease(&["p/db"])).unwrap();
        assert!(
            plain.get("with_values").is_none(),
            "as it was written before"
        );
        assert_eq!(
            serde_json::from_value::<Lease>(plain).unwrap(),
            lease(&["p/db"])
        );
    }
}
