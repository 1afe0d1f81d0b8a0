//! To the control plane: desired state in, acknowledgements, holds and events out. The control plane may be away
//! for as long as it likes: what is enforced stays enforced, and events wait in the spool.
//!
//! Two streams, so that a flood of events cannot delay a revocation. Every failure means the same: connect again,
//! after a while that grows and differs from host to host.

mod beats;
mod credentials;
#[cfg(test)]
mod delivery_tests;
mod holding;
mod route;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod words;

pub use beats::Beats;
pub use holding::Holding;
pub use route::Route;

use std::{convert::Infallible, sync::Arc, time::Duration};

use stayhand_guardrail::{
    host::{Ack, Phase},
    id::{AuthoritiesRevision, HostId},
};
use stayhand_proto::{
    codec,
    failure::{AGENT_TOO_OLD, Failure},
    limits::MESSAGE_BYTES_MAX,
    message::FromHost,
    v1::{
        Event, PublishEventsRequest, SyncRequest, host_sync_service_client::HostSyncServiceClient,
    },
};
use stayhand_transport::{DialError, WAIT_MAX, Wait};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use self::{
    credentials::{REFUSED_WAIT, Verdict},
    route::Connected,
};
use crate::{
    clock::Now,
    health::{Health, Part},
    holds::Board,
    membership::{AskError, FileError},
    port::PortError,
    reconcile::Wake,
    record::Identity,
    spool::{Spool, SpoolError},
};

/// The other end proves itself more often than that; silence means that it is gone.
const SILENCE_MAX: Duration = Duration::from_mins(1);
/// How often this end proves itself.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// That a state came is said where it is not enforced so soon: mostly it is, and a fleet of hosts says half as much at once.
const RECEIVED_PAUSE: Duration = Duration::from_millis(250);
/// How often the spool is looked at without being told to.
const SPOOL_LOOK: Duration = Duration::from_secs(2);
/// Messages that wait to be sent: each is small, and the stream is otherwise idle.
const OUTGOING_MAX: usize = 64;

/// Takes in the moment of a proof.
pub type Prove = Box<dyn Fn(&Now) -> Result<(), PortError> + Send + Sync>;

/// What the uplink carries, and for whom.
pub struct Uplink {
    /// How the control plane is reached
    pub route: Route,
    /// Which set of authorities counts, as the control plane said last
    pub authorities: watch::Sender<AuthoritiesRevision>,
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
    /// The oldest protocol of a control plane that is listened to
    pub oldest_protocol: u32,
    /// What of the desired state is here
    pub held: Holding,
    /// When it spoke
    pub beats: Beats,
    /// Told of a moment at which this host had the newest state
    pub prove: Prove,
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
    /// There is nobody at the other end who should be.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// What this host has.
    #[error(transparent)]
    Membership(#[from] FileError),
    /// It joined under another name.
    #[error(
        "this host joined as `{joined}`, and its name is `{now}` now: set host = \"{joined}\" in agent.toml, or join anew (stayhand-agent join \
         --replace)"
    )]
    OtherName {
        /// Then
        joined: HostId,
        /// Now
        now: HostId,
    },
    /// No certificate.
    #[error("this host's certificate does not count any more, and there is no other: {0}")]
    Ask(#[from] AskError),
    /// The library.
    #[error("TLS: {0}")]
    Tls(String),
    /// There is another certificate to show.
    #[error("another certificate is shown from here on")]
    Renewed,
    /// It speaks a protocol that this agent does not know any more.
    #[error("{what}: {remedy}")]
    TooOld {
        /// What is wrong
        what: String,
        /// What to do
        remedy: String,
    },
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
        let mut wait = Wait::default();
        let mut last = String::new();
        loop {
            let was_connected = self.health.now().control_seen;
            let Err(mut error) = self.session().await;
            self.health
                .change(|health| health.control_connected = false);
            if self.health.now().control_seen != was_connected {
                wait = Wait::default();
                last.clear();
            }
            match Verdict::of(&error) {
                Verdict::Over => match self.recover().await {
                    Ok(()) => error = UplinkError::Renewed,
                    Err(why) => error = why,
                },
                Verdict::Nothing | Verdict::Revoked => {}
            }
            match error {
                UplinkError::Ending => return,
                UplinkError::Renewed => continue,
                _ => {}
            }
            self.say(&error, &mut last);
            if Verdict::of(&error) == Verdict::Revoked || too_old(&error).is_some() {
                wait.at_least(REFUSED_WAIT);
            }
            // Another agent has this host's certificate: the two of them would take over from each other without end.
            if matches!(&error, UplinkError::Call(status) if status.code() == tonic::Code::Aborted)
            {
                wait.at_least(WAIT_MAX);
            }
            tokio::time::sleep(wait.next(rand::random())).await;
        }
    }

    /// Says why there is no connection, once for each reason.
    fn say(&self, error: &UplinkError, last: &mut String) {
        let text = crate::exit::chain(error);
        let theirs = matches!(
            error,
            UplinkError::Membership(_)
                | UplinkError::OtherName { .. }
                | UplinkError::Ask(_)
                | UplinkError::Dial(DialError::Stranger(_) | DialError::Clock(_))
        );
        if theirs || Verdict::of(error) == Verdict::Revoked {
            self.note(Some(text.clone()));
        }
        if let Some(too_old) = too_old(error) {
            self.health.note(Part::Delivery, Some(too_old));
        }
        if text == *last {
            tracing::debug!(error = text, "still not connected");
        } else {
            tracing::warn!(
                error = text,
                "not connected to the control plane; enforcement goes on"
            );
            *last = text;
        }
    }

    async fn session(&self) -> Result<Infallible, UplinkError> {
        let Connected { channel, member } = self.route.connect().await?;
        let client = HostSyncServiceClient::new(channel.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        tokio::try_join!(
            self.sync(client.clone()),
            self.publish(client),
            self.renew(member, channel)
        )
        .map(|(never, _, _)| never)
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
            send(&outgoing, self.word(ack)).await?;
        }
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        let silence = tokio::time::sleep(SILENCE_MAX);
        tokio::pin!(silence);
        let mut unsaid: Option<Instant> = None;
        loop {
            tokio::select! {
                received = incoming.message() => {
                    let response = received?.ok_or(UplinkError::Closed)?;
                    silence.as_mut().reset(Instant::now() + SILENCE_MAX);
                    if let Some(answer) = self.received(response.try_into()?, Now::read())? {
                        send(&outgoing, answer).await?;
                    }
                }
                changed = acks.changed() => {
                    changed.map_err(|_| UplinkError::Ending)?;
                    let ack = acks.borrow_and_update().clone();
                    match ack {
                        Some(ack) if ack.phase == Phase::Received => {
                            unsaid.get_or_insert_with(|| Instant::now() + RECEIVED_PAUSE);
                        }
                        // At once: the next one replaces it.
                        Some(ack) => {
                            unsaid = None;
                            send(&outgoing, self.word(ack)).await?;
                        }
                        None => {}
                    }
                }
                () = come(unsaid) => {
                    unsaid = None;
                    let ack = acks.borrow_and_update().clone();
                    if let Some(ack) = ack {
                        send(&outgoing, self.word(ack)).await?;
                    }
                }
                changed = holds.changed() => {
                    changed.map_err(|_| UplinkError::Ending)?;
                    holds.mark_unchanged();
                    shown = self.send_holds(&outgoing, shown).await?;
                }
                _ = heartbeat.tick() => {
                    send(&outgoing, self.heartbeat(Now::read())).await?;
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
                    .send(codec::batch(&events))
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
                    // Let go of as soon as there is room.
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

/// What both ends cannot do anything about but be replaced.
fn too_old(error: &UplinkError) -> Option<String> {
    match error {
        UplinkError::TooOld { what, remedy } => Some(format!("{what}: {remedy}")),
        UplinkError::Call(status) => {
            let failure = Failure::from(&**status);
            let is_it = failure.reason == AGENT_TOO_OLD;
            is_it.then(|| format!("{}: {}", failure.message, failure.remedy))
        }
        _ => None,
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

/// Waits for a moment; for ever where there is none.
async fn come(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn send(outgoing: &mpsc::Sender<SyncRequest>, message: FromHost) -> Result<(), UplinkError> {
    outgoing
        .send(message.into())
        .await
        .map_err(|_| UplinkError::Closed)
}
