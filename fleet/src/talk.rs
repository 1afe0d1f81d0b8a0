//! The protocol, and the only place of the generator that speaks it: what the agent's uplink says on its two streams, in the
//! same order and with the same types of `stayhand-proto`. The uplink itself is not used because each one has a spool, a journal
//! and threads of its own, and ten thousand of those would be what is measured.

use anyhow::Result;
use stayhand_guardrail::{
    host::{Ack, HostState, Phase},
    id::{Generation, GrantId},
    policy::HostLabels,
};
use stayhand_proto::{
    limits::MESSAGE_BYTES_MAX,
    message::{FromHost, Hello, HostHealth, ToHost, ToHostMessage},
    protocol::{CAPABILITIES, PROTOCOL},
    resources::Resources,
    v1::{
        PublishEventsRequest, PublishEventsResponse, SyncRequest, SyncResponse,
        host_sync_service_client::HostSyncServiceClient,
    },
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, transport::Channel};
use uuid::Uuid;

/// Messages that wait to be sent, as the agent's.
const OUTGOING_MAX: usize = 64;
/// Hooks of a host that enforces.
const HOOKS: [&str; 4] = [
    "bprm_check_security",
    "file_open",
    "inode_create",
    "socket_connect",
];

/// Both streams of one connection.
pub(crate) struct Talk {
    up: mpsc::Sender<SyncRequest>,
    down: Streaming<SyncResponse>,
    /// What was delivered on this connection, which begins with everything
    held: (Generation, Resources),
    nonce: u64,
    _events: mpsc::Sender<PublishEventsRequest>,
    _acknowledged: Streaming<PublishEventsResponse>,
}

/// What the control plane says.
pub(crate) enum Word {
    /// What is to be enforced
    State {
        generation: Generation,
        leases: Vec<GrantId>,
    },
    /// That it is there
    Bookmark,
}

impl Talk {
    /// Says hello.
    pub(crate) async fn open(
        channel: Channel,
        boot_id: Uuid,
        enforced: Generation,
    ) -> Result<Self, Status> {
        let mut client =
            HostSyncServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let (up, messages) = mpsc::channel(OUTGOING_MAX);
        say(&up, hello(boot_id, enforced)).await?;
        let down = client.sync(ReceiverStream::new(messages)).await?;
        let (events, batches) = mpsc::channel(1);
        let acknowledged = client.publish_events(ReceiverStream::new(batches)).await?;
        Ok(Self {
            up,
            down: down.into_inner(),
            held: (Generation(0), Resources::default()),
            nonce: 0,
            _events: events,
            _acknowledged: acknowledged.into_inner(),
        })
    }

    /// Waits for the next word; none where the stream ends.
    pub(crate) async fn next(&mut self) -> Result<Option<Word>, Status> {
        let Some(wire) = self.down.message().await? else {
            return Ok(None);
        };
        let invalid = |_| Status::data_loss("the control plane sent something invalid");
        let ToHost {
            server_time,
            message,
            ..
        } = ToHost::try_from(wire).map_err(invalid)?;
        Ok(Some(match message {
            ToHostMessage::State(state) => word(&state),
            ToHostMessage::Delivery(delivery) => {
                let (nonce, to) = (delivery.nonce, delivery.to);
                let (from, resources) = &self.held;
                let misfit = |_| Status::data_loss("a delivery does not fit what was delivered");
                let next = resources.taking(*from, delivery).map_err(misfit)?;
                let unreadable = |_| Status::data_loss("a delivery cannot be read");
                let state = next.state(to, server_time).map_err(unreadable)?;
                self.held = (to, next);
                self.nonce = nonce;
                word(&state)
            }
            // The state that follows says the same; nothing is measured by it.
            ToHostMessage::Withdrawal(_) | ToHostMessage::Bookmark { .. } => Word::Bookmark,
        }))
    }

    /// That it is enforced.
    pub(crate) async fn enforced(&self, generation: Generation) -> Result<(), Status> {
        let (held, resources) = &self.held;
        let ack = Ack {
            digest: (*held == generation).then(|| resources.digest()),
            ..Ack::new(generation, Phase::Enforced)
        };
        let nonce = self.nonce;
        say(&self.up, FromHost::Ack { ack, nonce }).await
    }

    /// That the host goes on.
    pub(crate) async fn heartbeat(&self) -> Result<(), Status> {
        let health = HostHealth {
            hooks: HOOKS.map(str::to_owned).to_vec(),
            ..HostHealth::default()
        };
        let beat = FromHost::Heartbeat {
            events_lost: 0,
            health: Some(health),
            beat: 0,
        };
        say(&self.up, beat).await
    }
}

fn word(state: &HostState) -> Word {
    Word::State {
        generation: state.generation,
        leases: state.leases.iter().map(|lease| lease.grant).collect(),
    }
}

fn hello(boot_id: Uuid, enforced: Generation) -> FromHost {
    FromHost::Hello(Hello {
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel_release: "6.12.0-simulated".to_owned(),
        boot_id,
        hooks: HOOKS.map(str::to_owned).to_vec(),
        enforced_generation: enforced,
        labels: HostLabels::default(),
        floor: vec![],
        watches_shadows: true,
        protocol: PROTOCOL,
        capabilities: CAPABILITIES.map(str::to_owned).into(),
        held: None,
        fresh_for: None,
    })
}

async fn say(up: &mpsc::Sender<SyncRequest>, word: FromHost) -> Result<(), Status> {
    let sent = up.send(word.into()).await;
    sent.map_err(|_| Status::cancelled("the stream is closed"))
}
