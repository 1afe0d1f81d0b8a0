//! The agent's side: a local service whose answers a test chooses, and a host's streams.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex},
};

use stayhand_proto::{
    codec,
    message::{FromHost, Hello, Identity, ToHost, ToHostMessage},
    v1::{
        self, PublishEventsRequest, PublishEventsResponse,
        host_sync_service_client::HostSyncServiceClient,
        local_service_server::{LocalService, LocalServiceServer},
    },
};
use tokio::{net::UnixListener, sync::mpsc, task::JoinHandle};
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::{Request, Response, Status, Streaming, transport::Channel};
use uuid::Uuid;

/// Who the test's own process is said to be.
#[derive(Clone)]
pub(crate) struct FakeAgent(Arc<Mutex<Identity>>);

impl FakeAgent {
    pub(crate) fn serve(socket: &Path) -> (Self, JoinHandle<()>) {
        let fake = Self(Arc::new(Mutex::new(Identity {
            subject: None,
            guarded: false,
        })));
        let listener = UnixListenerStream::new(UnixListener::bind(socket).unwrap());
        let server =
            tonic::transport::Server::builder().add_service(LocalServiceServer::new(fake.clone()));
        let task = tokio::spawn(async move { server.serve_with_incoming(listener).await.unwrap() });
        (fake, task)
    }

    pub(crate) fn says(&self, identity: Identity) {
        *self.0.lock().unwrap() = identity;
    }
}

#[tonic::async_trait]
impl LocalService for FakeAgent {
    async fn why(&self, _: Request<v1::WhyRequest>) -> Result<Response<v1::WhyResponse>, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    async fn get_status(
        &self,
        _: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::AgentStatus>, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    async fn identify_process(
        &self,
        request: Request<v1::IdentifyProcessRequest>,
    ) -> Result<Response<v1::IdentifyProcessResponse>, Status> {
        assert_eq!(
            request.into_inner().pid,
            std::process::id(),
            "the peer is this process"
        );
        Ok(Response::new(self.0.lock().unwrap().clone().into()))
    }
}

/// A host's Sync stream.
pub(crate) struct HostStream {
    up: mpsc::Sender<v1::SyncRequest>,
    down: Streaming<v1::SyncResponse>,
}

pub(crate) fn hello(enforced: u64) -> Hello {
    Hello {
        agent_version: "0.1.0-test".into(),
        kernel_release: "6.12.0".into(),
        boot_id: Uuid::from_u128(1),
        hooks: vec!["file_open".into()],
        enforced_generation: stayhand_guardrail::id::Generation(enforced),
        labels: stayhand_guardrail::policy::HostLabels::default(),
        floor: vec![],
        watches_shadows: true,
        protocol: 0,
        capabilities: BTreeSet::new(),
        held: None,
        fresh_for: None,
    }
}

impl HostStream {
    pub(crate) async fn open(channel: Channel, hello: Hello) -> Self {
        let (up, requests) = mpsc::channel(64);
        up.send(FromHost::Hello(hello).into()).await.unwrap();
        let mut client = HostSyncServiceClient::new(channel).max_decoding_message_size(16 << 20);
        let down = client
            .sync(ReceiverStream::new(requests))
            .await
            .unwrap()
            .into_inner();
        Self { up, down }
    }

    pub(crate) async fn say(&self, message: FromHost) {
        self.up.send(message.into()).await.unwrap();
    }

    pub(crate) async fn say_raw(&self, message: v1::SyncRequest) {
        self.up.send(message).await.unwrap();
    }

    pub(crate) async fn next(&mut self) -> Result<ToHost, Status> {
        let wire = self
            .down
            .message()
            .await?
            .ok_or_else(|| Status::aborted("the stream ended"))?;
        Ok(wire.try_into().unwrap())
    }

    /// The next desired state; bookmarks in between are passed over.
    pub(crate) async fn state(&mut self) -> stayhand_guardrail::host::HostState {
        loop {
            if let ToHostMessage::State(state) = self.next().await.unwrap().message {
                return state;
            }
        }
    }

    /// Whether no desired state comes for so long.
    pub(crate) async fn no_state_for(&mut self, long: std::time::Duration) -> bool {
        tokio::time::timeout(long, self.state()).await.is_err()
    }

    /// The next desired state that has what the test waits for.
    pub(crate) async fn state_with(
        &mut self,
        wanted: impl Fn(&stayhand_guardrail::host::HostState) -> bool,
    ) -> stayhand_guardrail::host::HostState {
        loop {
            let state = self.state().await;
            if wanted(&state) {
                return state;
            }
        }
    }
}

/// A host's event stream.
pub(crate) struct EventStream {
    up: mpsc::Sender<PublishEventsRequest>,
    down: Streaming<PublishEventsResponse>,
}

impl EventStream {
    pub(crate) async fn open(channel: Channel) -> Self {
        let (up, requests) = mpsc::channel(64);
        let mut client = HostSyncServiceClient::new(channel);
        let down = client
            .publish_events(ReceiverStream::new(requests))
            .await
            .unwrap()
            .into_inner();
        Self { up, down }
    }

    pub(crate) async fn publish(&mut self, events: Vec<v1::Event>) -> Result<u64, Status> {
        self.up.send(codec::batch(&events)).await.unwrap();
        let answer = self.down.message().await?;
        Ok(answer
            .ok_or_else(|| Status::aborted("the stream ended"))?
            .acknowledged_through)
    }
}
