//! The agent of this host, on its local socket. Its answers are about whoever asks.

use std::{path::Path, time::Duration};

use stayhand_proto::v1::{
    GetStatusRequest, IdentifyProcessRequest, WhyRequest, local_service_client::LocalServiceClient,
};
use tonic::transport::Channel;

use super::{ANSWER_BYTES_MAX, answer};
use crate::{
    connect::{Listener, connect},
    failure::Failure,
    time::Moment,
    view::{AgentStatus, Explanation, Identity},
};

const AGENT: Listener = Listener {
    name: "the agent of this host",
    unit: "stayhand-agent",
    elsewhere: "its socket is named by --agent-socket or STAYHAND_AGENT_SOCKET",
};

/// A connection to the agent.
#[derive(Debug)]
pub(crate) struct Agent {
    channel: Channel,
    patience: Duration,
}

impl Agent {
    pub(crate) async fn connect(socket: &Path, patience: Duration) -> Result<Self, Failure> {
        let channel = connect(socket, AGENT, patience).await?;
        Ok(Self { channel, patience })
    }

    fn local(&self) -> LocalServiceClient<Channel> {
        LocalServiceClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// Why the caller's own actions were stopped, newest first.
    pub(crate) async fn why(
        &self,
        last: u32,
        pid: Option<u32>,
        moment: &Moment,
    ) -> Result<Vec<Explanation>, Failure> {
        let request = WhyRequest {
            last,
            pid: pid.unwrap_or(0),
        };
        let mut local = self.local();
        let told = answer("ask why", self.patience, local.why(request)).await?;
        let explanations = told.explanations.into_iter();
        Ok(explanations
            .map(|told| Explanation::of(told, moment))
            .collect())
    }

    pub(crate) async fn status(&self) -> Result<AgentStatus, Failure> {
        let mut local = self.local();
        let call = local.get_status(GetStatusRequest {});
        answer("read the agent's status", self.patience, call)
            .await
            .map(AgentStatus::of)
    }

    /// Who a process is; only for callers that are not guarded and have uid 0.
    pub(crate) async fn identify(&self, pid: u32) -> Result<Identity, Failure> {
        let mut local = self.local();
        let call = local.identify_process(IdentifyProcessRequest { pid });
        answer("identify the process", self.patience, call)
            .await
            .map(Identity::of)
    }
}
