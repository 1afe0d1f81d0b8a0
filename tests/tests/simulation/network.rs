//! The network: connections of two streams each. A stream keeps its order; a connection breaks at each end by itself, and
//! what is on its way then is lost from some point on. What was sent before it broke may come late, after a newer
//! connection is there.

use std::collections::VecDeque;

use stayhand_control::api::SyncSession;
use stayhand_proto::v1::{PublishEventsRequest, PublishEventsResponse, SyncRequest, SyncResponse};
use stayhand_transport::Certificate;

use crate::members::Verdict;

/// One connection of one host.
pub(crate) struct Link {
    pub(crate) host: usize,
    /// What the host showed for it, where it has to show something
    pub(crate) shown: Option<Certificate>,
    /// What the control plane said of that when it ended it
    pub(crate) verdict: Option<Verdict>,
    /// Whether each end takes it for open
    pub(crate) agent_open: bool,
    pub(crate) control_open: bool,
    pub(crate) up: VecDeque<SyncRequest>,
    pub(crate) down: VecDeque<SyncResponse>,
    pub(crate) events_up: VecDeque<PublishEventsRequest>,
    pub(crate) events_down: VecDeque<PublishEventsResponse>,
    /// The control plane's side, from the hello on
    pub(crate) session: Option<SyncSession>,
    /// Whether it has looked for the first time
    pub(crate) was_looked_at: bool,
    /// Nothing gets through before this time
    pub(crate) stalled_until_ns: u64,
    /// What the agent has sent on it
    pub(crate) shown_holds: u64,
    pub(crate) sent_events: u64,
    pub(crate) heartbeat_at_ns: u64,
}

impl Link {
    pub(crate) fn new(host: usize, shown: Option<Certificate>, acknowledged: u64) -> Self {
        Self {
            host,
            shown,
            verdict: None,
            agent_open: true,
            control_open: true,
            up: VecDeque::new(),
            down: VecDeque::new(),
            events_up: VecDeque::new(),
            events_down: VecDeque::new(),
            session: None,
            was_looked_at: false,
            stalled_until_ns: 0,
            shown_holds: 0,
            sent_events: acknowledged,
            heartbeat_at_ns: 0,
        }
    }

    /// Nothing can come of it any more.
    pub(crate) fn is_over(&self) -> bool {
        !self.agent_open && !self.control_open
    }
}
