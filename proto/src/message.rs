//! What a host's agent and the control plane say to each other, in domain words.

use stayhand_guardrail::{
    hold::Hold,
    host::{Ack, HostState},
    id::{AuthoritiesRevision, Generation},
    policy::HostLabels,
    time::UnixMs,
};
use uuid::Uuid;

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
}

/// From an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromHost {
    /// First message of a stream
    Hello(Hello),
    /// How far the host is
    Ack(Ack),
    /// A hold was opened or changed
    Hold(Box<Hold>),
    /// The agent is there; recorded decisions that left no event so far
    Heartbeat {
        /// How many
        events_lost: u64,
        /// How the host is; none from agents that do not say
        health: Option<HostHealth>,
    },
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
    },
}

/// Who a process is by the kernel's pin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its pinned subject; none where it has no pin
    pub subject: Option<stayhand_guardrail::subject::Subject>,
    /// Whether at least one policy guards that subject
    pub guarded: bool,
}
