//! How many streams one host may have open: each keeps a message that began and answers that nobody took in memory, and a host has as
//! many connections as it has certificates.

use std::sync::Arc;

use stayhand_guardrail::id::HostId;
use stayhand_proto::failure::Failure;
use tonic::{Code, Status};

use crate::{
    limits::{HOST_CONNECTIONS_MAX, STREAMS_PER_HOST_MAX},
    places::{Place, Places},
};

/// The streams of every host.
#[derive(Clone)]
pub struct HostStreams(Arc<Places<HostId>>);

impl Default for HostStreams {
    fn default() -> Self {
        let all_max = HOST_CONNECTIONS_MAX * STREAMS_PER_HOST_MAX;
        Self(Arc::new(Places::new(STREAMS_PER_HOST_MAX, all_max)))
    }
}

impl HostStreams {
    /// A stream's place; free again when it is dropped.
    pub(super) fn open(&self, host: &HostId) -> Result<Place<HostId>, Status> {
        self.0.take(host.clone()).ok_or_else(|| {
            tracing::warn!(%host, max = STREAMS_PER_HOST_MAX, "refused: too many streams of one host");
            let says = format!("host `{host}` has {STREAMS_PER_HOST_MAX} streams open, which is all that a host may have");
            Failure::new(Code::ResourceExhausted, "TOO_MANY_STREAMS", says)
                .remedy("end other agents of its name; streams that are not noticed to be gone end within a minute")
                .into()
        })
    }
}
