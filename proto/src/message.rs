//! What a host's agent and the control plane say to each other, in domain words.

use std::collections::BTreeSet;

use stayhand_guardrail::{
    hold::Hold,
    host::{Ack, HoldAnswer, HostState},
    id::{AuthoritiesRevision, Generation, GrantId},
    policy::HostLabels,
    resource::StateDigest,
    time::{DurationMs, UnixMs},
};
use uuid::Uuid;

use crate::resources::Versions;

/// First word of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Version of the agent
    pub agent_version: String,
    /// Kernel of the host
    pub kernel_release: String,
    /// Boot of the host
    pub boot_id: Uuid,
    /// Hooks that are attached
    pub hooks: Vec<String>,
    /// What the kernel enforces; 0 for nothing
    pub enforced_generation: Generation,
    /// What the host is
    pub labels: HostLabels,
    /// Policies of its own floor, each with a digest
    pub floor: Vec<String>,
    /// Whether it watches revisions beside those that it enforces
    pub watches_shadows: bool,
    /// Which protocol it speaks, see [`crate::protocol`]
    pub protocol: u32,
    /// What it understands besides, see [`crate::protocol`]
    pub capabilities: BTreeSet<String>,
    /// What it holds, so that only what differs has to be sent
    pub held: Option<Held>,
    /// For how long its kernel lets leases count after a proof; none where each counts until its own end
    pub fresh_for: Option<DurationMs>,
}

impl Hello {
    /// Whether it understands that.
    pub fn can(&self, capability: &str) -> bool {
        self.capabilities.contains(capability)
    }
}

/// What a host holds of its state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Its generation
    pub generation: Generation,
    /// Its resources
    pub versions: Versions,
}

/// Why a host asks for everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfitting {
    /// It misses something
    Gap,
    /// What comes of a delivery is not what was meant
    Digest,
}

/// What was sent does not fit what a host holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relist {
    /// Of the delivery; 0 where none came
    pub nonce: u64,
    /// Why
    pub why: Misfitting,
    /// What the host holds
    pub held_generation: Generation,
    /// What the host holds
    pub held_digest: StateDigest,
}

/// From an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromHost {
    /// First message of a stream
    Hello(Hello),
    /// How far the host is
    Ack {
        /// Its word
        ack: Ack,
        /// Of the newest delivery that this is about; 0 where a whole state came
        nonce: u64,
    },
    /// A hold was opened or changed
    Hold(Box<Hold>),
    /// The agent is there; recorded decisions that left no event so far
    Heartbeat {
        /// How many
        events_lost: u64,
        /// How the host is; none from agents that do not say
        health: Option<HostHealth>,
        /// The agent's number for this moment; 0 from agents that ask for no proof
        beat: u64,
    },
    /// What was sent does not fit
    Relist(Relist),
}

impl From<Ack> for FromHost {
    fn from(ack: Ack) -> Self {
        Self::Ack { ack, nonce: 0 }
    }
}

/// How a host is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostHealth {
    /// Hooks that are attached
    pub hooks: Vec<String>,
    /// Hooks that were attached and are gone
    pub hooks_gone: Vec<String>,
    /// What is wrong
    pub problems: Vec<String>,
}

/// To an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToHost {
    /// The control plane's clock
    pub server_time: UnixMs,
    /// Which protocol it speaks, see [`crate::protocol`]
    pub protocol: u32,
    /// What it says
    pub message: ToHostMessage,
}

/// What the control plane says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToHostMessage {
    /// The whole desired state
    State(HostState),
    /// Nothing new
    Bookmark {
        /// What the host was sent last
        generation: Generation,
        /// Which set of authorities counts; 0 where hosts need no certificates
        authorities: AuthoritiesRevision,
        /// Of what the host should hold; none where nobody says
        digest: Option<StateDigest>,
        /// The newest beat after which `generation` was found to be the newest; 0 for none
        beat: u64,
    },
    /// From what the host holds to the desired state
    Delivery(Delivery),
    /// What counts no more, before anything that is larger
    Withdrawal(Withdrawal),
}

/// From one state of a host to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Goes back with the acknowledgement
    pub nonce: u64,
    /// What the host has to hold for this to fit; none where everything comes
    pub from: Option<Generation>,
    /// The desired generation
    pub to: Generation,
    /// What is new or another
    pub upserted: Vec<Resource>,
    /// What is gone, by name
    pub removed: Vec<String>,
    /// Over everything that the host holds then
    pub digest_after: StateDigest,
}

/// One resource of a host's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// collection/name
    pub name: String,
    /// As it travels
    pub body: Vec<u8>,
}

/// What counts no more, whatever any state up to this generation says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawal {
    /// In which it counts no more
    pub generation: Generation,
    /// Grants whose leases go
    pub grants: Vec<GrantId>,
    /// Refusals
    pub refusals: Vec<HoldAnswer>,
}

/// Who a process is by the kernel's pin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its pinned subject; none where it has no pin
    pub subject: Option<stayhand_guardrail::subject::Subject>,
    /// Whether at least one policy guards that subject
    pub guarded: bool,
}
