//! To the control plane: desired state in, acknowledgements, holds and events out. The control plane may be away
//! for as long as it likes: what is enforced stays enforced, and events wait in the spool.
//!
//! Two streams, so that a flood of events cannot delay a revocation. Every failure means the same: connect again,
//! after a while that grows and differs from host to host.

#[cfg(test)]
mod tests;
mod words;

use std::{convert::Infallible, io, path::PathBuf, sync::Arc, time::Duration};

use hyper_util::rt::TokioIo;
use rand::RngExt as _;
use stayhand_guardrail::host::Ack;
use stayhand_proto::{
    limits::MESSAGE_BYTES_MAX,
    message::FromHost,
    v1::{
        Event, PublishEventsRequest, SyncRequest, host_sync_service_client::HostSyncServiceClient,
    },
};
use tokio::{
    net::UnixStream,
    sync::{mpsc, watch},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::{
    clock::Now,
    health::Health,
    holds::Board,
    reconcile::Wake,
    record::Identity,
    spool::{Spool, SpoolError},
};

/// First wait after a failure.
const WAIT_MIN: Duration = Duration::from_millis(200);
/// Longest wait: how late a host notices that the control plane is back.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// The other end proves itself more often than that; silence means that it is gone.
const SILENCE_MAX: Duration = Duration::from_mins(1);
/// How often this end proves itself.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How often the spool is looked at without being told to.
const SPOOL_LOOK: Duration = Duration::from_secs(2);
/// Messages that wait to be sent: each is small, and the stream is otherwise idle.
const OUTGOING_MAX: usize = 64;

/// What the uplink carries, and for whom.
pub struct Uplink {
    /// The control plane's socket for agents
    pub socket: PathBuf,
    /// Uid that may serve it besides root
    pub server_uid: Option<u32>,
    /// Problems and facts
    pub health: Arc<Health>,
    /// Holds
    pub board: Arc<Board>,
    /// How far the host is
    pub acks: watch::Receiver<Option<Ack>>,
    /// Events
    pub spool: Arc<Spool>,
    /// Changes when there are more events
    pub stored: watch::Receiver<u64>,
    /// Whose events they are
    pub identity: Identity,
    /// Where desired states go
    pub wakes: std::sync::mpsc::Sender<Wake>,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum UplinkError {
    /// The socket.
    #[error("cannot connect")]
    Connect(#[from] tonic::transport::Error),
    /// A call.
    #[error("the control plane said {}: {}", .0.code(), stayhand_guardrail::text::safe_cut(.0.message().as_bytes(), 300))]
    Call(#[from] Box<tonic::Status>),
    /// What it sent.
    #[error("the control plane sent something invalid")]
    Invalid(#[from] stayhand_proto::convert::Invalid),
    /// Nothing came.
    #[error("the control plane was silent for {} s", SILENCE_MAX.as_secs())]
    Silence,
    /// The stream ended.
    #[error("the control plane closed the stream")]
    Closed,
    /// The spool.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The agent is ending.
    #[error("the agent is ending")]
    Ending,
}

impl From<tonic::Status> for UplinkError {
    fn from(status: tonic::Status) -> Self {
        Self::Call(Box::new(status))
    }
}

impl Uplink {
    /// Connects again and again; ends only with the agent.
    pub async fn run(self) {
        let mut wait = WAIT_MIN;
        let mut last = String::new();
        loop {
            let was_connected = self.health.now().control_seen;
            let ended = self.session().await;
            self.health
                .change(|health| health.control_connected = false);
            if self.health.now().control_seen != was_connected {
                wait = WAIT_MIN;
                last.clear();
            }
            let Err(error) = ended;
            if matches!(error, UplinkError::Ending) {
                return;
            }
            let text = crate::exit::chain(&error);
            if text == last {
                tracing::debug!(error = text, "still not connected");
            } else {
                tracing::warn!(
                    error = text,
                    "not connected to the control plane; enforcement goes on"
                );
                last = text;
            }
            // Between half and all of it, so that a fleet does not come back at once.
            let part = rand::rng().random_range(0.5..=1.0);
            tokio::time::sleep(wait.mul_f64(part)).await;
            wait = (wait * 2).min(WAIT_MAX);
        }
    }

    async fn session(&self) -> Result<Infallible, UplinkError> {
        let channel = connect(self.socket.clone(), self.server_uid).await?;
        let client = HostSyncServiceClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        tokio::try_join!(self.sync(client.clone()), self.publish(client)).map(|(never, _)| never)
    }

    /// Desired state in; acknowledgements, holds and heartbeats out.
    async fn sync(
        &self,
        mut client: HostSyncServiceClient<Channel>,
    ) -> Result<Infallible, UplinkError> {
        let (outgoing, messages) = mpsc::channel::<SyncRequest>(OUTGOING_MAX);
        let (mut acks, mut holds) = (self.acks.clone(), self.board.watch());
        send(&outgoing, self.hello()).await?;
        let mut incoming = client
            .sync(ReceiverStream::new(messages))
            .await?
            .into_inner();
        let mut shown = self.send_holds(&outgoing, 0).await?;
        let ack = acks.borrow_and_update().clone();
        if let Some(ack) = ack {
            send(&outgoing, FromHost::Ack(ack)).await?;
        }
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        let silence = tokio::time::sleep(SILENCE_MAX);
        tokio::pin!(silence);
        loop {
            tokio::select! {
                received = incoming.message() => {
                    let response = received?.ok_or(UplinkError::Closed)?;
                    silence.as_mut().reset(tokio::time::Instant::now() + SILENCE_MAX);
                    self.received(response.try_into()?, Now::read())?;
                }
                changed = acks.changed() => {
                    changed.map_err(|_| UplinkError::Ending)?;
                    let ack = acks.borrow_and_update().clone();
                    if let Some(ack) = ack {
                        send(&outgoing, FromHost::Ack(ack)).await?;
                    }
                }
                changed = holds.changed() => {
                    changed.map_err(|_| UplinkError::Ending)?;
                    holds.mark_unchanged();
                    shown = self.send_holds(&outgoing, shown).await?;
                }
                _ = heartbeat.tick() => {
                    send(&outgoing, self.heartbeat()).await?;
                }
                () = &mut silence => return Err(UplinkError::Silence),
            }
        }
    }

    /// Holds that changed after `version`; all of them, those that are over included, for a new connection.
    async fn send_holds(
        &self,
        outgoing: &mpsc::Sender<SyncRequest>,
        version: u64,
    ) -> Result<u64, UplinkError> {
        let (now, changed) = self.holds_after(version);
        for hold in changed {
            send(outgoing, hold).await?;
        }
        Ok(now)
    }

    /// Events out, cumulative acknowledgement in.
    async fn publish(
        &self,
        client: HostSyncServiceClient<Channel>,
    ) -> Result<Infallible, UplinkError> {
        let (outgoing, messages) = mpsc::channel::<PublishEventsRequest>(1);
        tokio::try_join!(self.send_events(outgoing), self.take_acks(client, messages))
            .map(|(never, _)| never)
    }

    async fn send_events(
        &self,
        outgoing: mpsc::Sender<PublishEventsRequest>,
    ) -> Result<Infallible, UplinkError> {
        let mut stored = self.stored.clone();
        let mut sent = self.spool.stats().acknowledged;
        loop {
            stored.mark_unchanged();
            let events = match self.batch(sent).await {
                // The disk is no reason to hang up on revocations; it is tried again.
                Err(UplinkError::Spool(error)) => {
                    tracing::warn!(error = crate::exit::chain(&error), "cannot read the spool");
                    vec![]
                }
                other => other?,
            };
            if let Some(last) = events.last() {
                sent = last.sequence;
                outgoing
                    .send(PublishEventsRequest { events })
                    .await
                    .map_err(|_| UplinkError::Closed)?;
            } else {
                let _or_later = tokio::time::timeout(SPOOL_LOOK, stored.changed()).await;
            }
        }
    }

    async fn take_acks(
        &self,
        mut client: HostSyncServiceClient<Channel>,
        messages: mpsc::Receiver<PublishEventsRequest>,
    ) -> Result<Infallible, UplinkError> {
        let epoch = self.epoch();
        let mut incoming = client
            .publish_events(ReceiverStream::new(messages))
            .await?
            .into_inner();
        while let Some(response) = incoming.message().await? {
            // An epoch of an earlier spool has nothing here that could be let go.
            if response.epoch == epoch {
                let (spool, through) = (Arc::clone(&self.spool), response.acknowledged_through);
                match blocking(move || spool.acknowledge(through)).await {
                    // Said again with the next acknowledgement.
                    Err(UplinkError::Spool(error @ SpoolError::Store(_))) => {
                        tracing::warn!(error = crate::exit::chain(&error), "cannot let events go");
                    }
                    other => other?,
                }
            }
        }
        Err(UplinkError::Closed)
    }

    async fn batch(&self, after: u64) -> Result<Vec<Event>, UplinkError> {
        let spool = Arc::clone(&self.spool);
        let now = Now::read().unix;
        let batch = blocking(move || spool.hand_out(after, now)).await?;
        Ok(self.numbered(&batch, now))
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SpoolError> + Send + 'static,
) -> Result<T, UplinkError> {
    let done = tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| UplinkError::Ending)?;
    Ok(done?)
}

async fn send(outgoing: &mpsc::Sender<SyncRequest>, message: FromHost) -> Result<(), UplinkError> {
    outgoing
        .send(message.into())
        .await
        .map_err(|_| UplinkError::Closed)
}

/// Connects and looks who serves: desired state is only taken from root, or from whom the configuration names.
async fn connect(
    socket: PathBuf,
    server_uid: Option<u32>,
) -> Result<Channel, tonic::transport::Error> {
    let connector = tower::service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move {
            let stream = UnixStream::connect(socket).await?;
            let uid = stream.peer_cred()?.uid();
            let own = nix::unistd::geteuid().as_raw();
            if uid != 0 && uid != own && Some(uid) != server_uid {
                return Err(io::Error::other(format!(
                    "the socket is served by uid {uid}, which is not trusted"
                )));
            }
            Ok(TokioIo::new(stream))
        }
    });
    // The authority is never resolved; HTTP/2 wants one.
    Endpoint::from_static("http://control.stayhand.invalid")
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10))
        .keep_alive_while_idle(true)
        .connect_with_connector(connector)
        .await
}
