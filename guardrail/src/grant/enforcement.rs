//! How far one host has come with a grant. The server's yes is not enforcement; only the host's word is.

use serde::{Deserialize, Serialize};

use crate::{
    host::{Ack, Phase},
    id::{Generation, HostId},
};

/// How far a host is with the generation that brings or removes a lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Enforcement {
    /// Wanted, the host has not said anything
    Desired,
    /// Stored on the host
    Received,
    /// In the kernel, read back
    Enforced,
    /// Refused by the host; its last good generation stays
    Rejected {
        /// Every reason
        reasons: Vec<String>,
    },
    /// The lease is out of the kernel again
    Removed,
}

impl Enforcement {
    /// The word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Desired => "desired",
            Self::Received => "received",
            Self::Enforced => "enforced",
            Self::Rejected { .. } => "rejected",
            Self::Removed => "removed",
        }
    }
}

/// Enforcement of a grant on one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostEnforcement {
    /// The host
    pub host: HostId,
    /// First generation in which the grant's lease came, or went
    pub generation: Generation,
    /// Whether that generation removes the lease
    pub removes: bool,
    /// How far it is
    pub enforcement: Enforcement,
}

impl HostEnforcement {
    /// A lease that `generation` brings, or takes away.
    pub fn desired(host: HostId, generation: Generation, removes: bool) -> Self {
        Self {
            host,
            generation,
            removes,
            enforcement: Enforcement::Desired,
        }
    }

    /// Takes in a host's word. A word about an older generation says nothing about this one; a later one
    /// includes it. An enforced lease does not fall back to received.
    #[must_use]
    pub fn acknowledged(mut self, ack: &Ack) -> Self {
        if ack.generation < self.generation
            || matches!(
                self.enforcement,
                Enforcement::Enforced | Enforcement::Removed
            )
        {
            return self;
        }
        self.enforcement = match &ack.phase {
            Phase::Received => Enforcement::Received,
            Phase::Enforced if self.removes => Enforcement::Removed,
            Phase::Enforced => Enforcement::Enforced,
            Phase::Rejected { reasons } => Enforcement::Rejected {
                reasons: reasons.clone(),
            },
        };
        self
    }
}
