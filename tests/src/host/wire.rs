//! The hosts' streams, spoken by somebody who is no agent: calls that are well formed, with any bytes inside, and what
//! the server says to them.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use stayhand_proto::v1::host_sync_service_client::HostSyncServiceClient;
use stayhand_proto::v1::{SyncRequest, SyncResponse, sync_request};
use tokio::runtime::Runtime;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;

use super::channel;

/// Where agents connect.
const SOCKET: &str = "/run/stayhand/control-host.sock";
/// A stream that was not ended within that time goes on: what came was taken.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often an agent may come back while one stream is tried; it waits longer each time.
const TRIES: usize = 5;

/// A connection to the hosts' socket.
pub struct Wire {
    runtime: Runtime,
    channel: Channel,
}

impl Wire {
    /// Connects, as whoever runs this program.
    pub fn connect() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let channel = runtime.block_on(channel::to(Path::new(SOCKET)))?;
        Ok(Self { runtime, channel })
    }

    /// Sends these in one Sync stream; how the server ended it because of them, if it did.
    pub fn sync(&mut self, messages: &[sync_request::Message]) -> Option<Status> {
        // The host's own agent, whose stream ours has ended, may come back at any moment and end ours.
        let is_own = |ended: &Option<Status>| {
            ended
                .as_ref()
                .is_none_or(|status| status.code() != Code::Aborted)
        };
        let mut tries = std::iter::repeat_with(|| self.sync_once(messages)).take(TRIES);
        tries
            .find(is_own)
            .unwrap_or_else(|| Some(Status::aborted("the agent took over every time")))
    }

    fn sync_once(&self, messages: &[sync_request::Message]) -> Option<Status> {
        let requests = messages.iter().map(|message| SyncRequest {
            message: Some(message.clone()),
        });
        let requests = tokio_stream::iter(requests.collect::<Vec<_>>());
        let mut client = HostSyncServiceClient::new(self.channel.clone());
        self.runtime.block_on(async {
            match client.sync(requests).await {
                Ok(answer) => end_of(answer.into_inner()).await,
                Err(status) => Some(status),
            }
        })
    }

    /// Sends bytes as the first field of messages of a stream, whatever that field is to the server.
    pub fn bytes(&mut self, method: &'static str, messages: Vec<Vec<u8>>) -> Option<Status> {
        let requests = tokio_stream::iter(messages);
        let mut client = Grpc::new(self.channel.clone());
        self.runtime.block_on(async {
            if let Err(error) = client.ready().await {
                return Some(Status::unavailable(error.to_string()));
            }
            let path = PathAndQuery::from_static(method);
            let codec = ProstCodec::<Vec<u8>, SyncResponse>::default();
            match client.streaming(Request::new(requests), path, codec).await {
                Ok(answer) => end_of(answer.into_inner()).await,
                Err(status) => Some(status),
            }
        })
    }
}

async fn end_of<T>(mut stream: Streaming<T>) -> Option<Status> {
    let end = async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(status) => return Some(status),
            }
        }
    };
    tokio::time::timeout(PATIENCE, end)
        .await
        .unwrap_or_default()
}
