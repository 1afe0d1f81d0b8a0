//! What the agent says of itself, and who a process is to it.

use serde::Serialize;
use stayhand_proto::v1;

use super::parts::{self, Subject, Time};

/// State of this host's agent.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AgentStatus {
    pub(crate) version: String,
    pub(crate) enforced: bool,
    pub(crate) problems: Vec<String>,
    pub(crate) hooks: Vec<String>,
    pub(crate) kernel_release: String,
    pub(crate) generation: u64,
    /// Policies of the host's own, each with a digest
    pub(crate) floor: Vec<String>,
    pub(crate) control_connected: bool,
    pub(crate) control_seen_time: Option<Time>,
    pub(crate) holds_pending: u64,
    pub(crate) events_spooled: u64,
    pub(crate) events_sent: u64,
}

/// Who a process is by the kernel's pin.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Identity {
    pub(crate) pinned: bool,
    pub(crate) guarded: bool,
    pub(crate) subject: Option<Subject>,
}

impl AgentStatus {
    pub(crate) fn of(wire: v1::AgentStatus) -> Self {
        Self {
            version: wire.version,
            // Hooks that are not there enforce nothing, whatever the flag says.
            enforced: wire.enforced && !wire.hooks.is_empty(),
            problems: wire.problems,
            hooks: wire.hooks,
            kernel_release: wire.kernel_release,
            generation: wire.generation,
            floor: wire.floor,
            control_connected: wire.control_connected,
            control_seen_time: parts::time(wire.control_seen_time),
            holds_pending: wire.holds_pending,
            events_spooled: wire.events_spooled,
            events_sent: wire.events_sent,
        }
    }
}

impl Identity {
    pub(crate) fn of(wire: v1::IdentifyProcessResponse) -> Self {
        Self {
            pinned: wire.pinned,
            guarded: wire.guarded,
            subject: wire.subject.map(Subject::of),
        }
    }
}
