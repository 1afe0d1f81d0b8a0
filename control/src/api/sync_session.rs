//! One Sync stream without its transport and without its timers: what a host is to be told, and what is done with what it
//! says. The stream of `sync` waits for it; a simulation steps it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use stayhand_guardrail::id::Generation;
use stayhand_proto::{
    convert::Invalid,
    message::{FromHost, Hello, ToHost, ToHostMessage},
    protocol::PROTOCOL,
    v1::{SyncRequest, SyncResponse},
};
use tokio::sync::watch;

use crate::{
    app::{App, Error, Session},
    operator::HostAgent,
    store::Looked,
};

use super::delivery::{Delivering, Misfit};

/// The stream of one host, from its hello on.
pub struct SyncSession {
    app: Arc<App>,
    agent: HostAgent,
    signal: watch::Receiver<Generation>,
    session: Session,
    sent: Generation,
    /// For a host that understands deliveries; one from before is sent whole states
    delivering: Option<Delivering>,
    /// The host's newest beat that is committed: whatever is said of it is no older than when the host was last heard of
    heard: Arc<AtomicU64>,
    /// The newest beat after which the host had been sent the newest state
    newest_at: u64,
}

/// What a stream waits for besides its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// There may be a newer state
    Published,
    /// A newer stream of the same host is there: this one ends
    TakenOver,
}

impl SyncSession {
    /// Takes in the hello.
    pub async fn open(app: Arc<App>, agent: HostAgent, hello: &Hello) -> Result<Self, Error> {
        // ORDER: listen before the state is read, so that no change falls between.
        let signal = app.store().signals().host(agent.host());
        let session = app.hello(&agent, hello).await?;
        Ok(Self {
            app,
            agent,
            signal,
            session,
            sent: hello.enforced_generation,
            delivering: Delivering::to(hello),
            heard: Arc::default(),
            newest_at: 0,
        })
    }

    /// What the host is to be sent now, if it has something else than it should; to be asked again until there is nothing.
    pub async fn next_state(&mut self) -> Result<Option<SyncResponse>, Error> {
        self.next(true).await
    }

    /// The same where only time has passed. Something that changes meanwhile does not wait for it.
    pub async fn missed_state(&mut self) -> Result<Option<SyncResponse>, Error> {
        self.next(false).await
    }

    /// Whether the host is to have something else than it was sent, as far as that is known without a look at the store.
    pub fn is_behind(&self) -> bool {
        let after = self.delivering.as_ref().and_then(Delivering::wants);
        after.is_some_and(|after| *self.signal.borrow() > after)
    }

    async fn next(&mut self, urgent: bool) -> Result<Option<SyncResponse>, Error> {
        let after = match &self.delivering {
            None => Some(self.sent),
            Some(delivering) => delivering.wants(),
        };
        let Some(after) = after else {
            return Ok(None);
        };
        let (app, agent) = (&self.app, &self.agent);
        // ORDER: before the look, which then sees everything that was committed before the host spoke.
        let heard = self.heard.load(Ordering::Acquire);
        let looked = if urgent {
            app.state_for(agent, after, true).await?
        } else {
            tokio::select! {
                biased;
                Ok(()) = self.signal.changed() => app.state_for(agent, after, true).await?,
                looked = app.state_for(agent, after, false) => looked?,
            }
        };
        let state = match looked {
            Looked::Another(state) => state,
            Looked::Same if after == self.newest_sent() => {
                self.newest_at = heard;
                return Ok(None);
            }
            Looked::Same | Looked::Unknown => return Ok(None),
        };
        let message = if let Some(delivering) = &mut self.delivering {
            delivering.next(state)
        } else {
            self.sent = state.generation;
            Some(ToHostMessage::State(state))
        };
        Ok(message.map(|message| self.say(message)))
    }

    /// A word that the control plane is there.
    pub fn bookmark(&mut self) -> SyncResponse {
        let digest = self.delivering.as_mut().and_then(Delivering::bookmark);
        self.say(ToHostMessage::Bookmark {
            generation: self.newest_sent(),
            authorities: self.app.authorities_revision(),
            digest,
            beat: self.newest_at,
        })
    }

    /// Generation of the newest state that was sent.
    fn newest_sent(&self) -> Generation {
        self.delivering.as_ref().map_or(self.sent, Delivering::sent)
    }

    /// Waits for a change.
    pub async fn changed(&mut self) -> Change {
        tokio::select! {
            Ok(()) = self.signal.changed() => Change::Published,
            () = self.session.taken_over() => Change::TakenOver,
        }
    }

    /// The change that is there already, if one is.
    pub fn changed_by_now(&mut self) -> Option<Change> {
        if self.session.is_taken_over() {
            return Some(Change::TakenOver);
        }
        let published = self.signal.has_changed().unwrap_or(false);
        self.signal.mark_unchanged();
        published.then_some(Change::Published)
    }

    /// Takes in one message. One that cannot be read is logged and passed over: closing the stream for it would keep
    /// revocations from the host for as long as its agent repeats it.
    pub async fn take(&mut self, wire: SyncRequest) -> Result<(), Error> {
        self.taking(wire).await
    }

    /// The same for whoever goes on with the stream meanwhile: a state waits for nothing that its host says. What it means for the
    /// next delivery counts at once, and for the record once it is committed.
    pub fn taking(
        &mut self,
        wire: SyncRequest,
    ) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let said = FromHost::try_from(wire);
        let misfit = match (&said, &mut self.delivering) {
            (Ok(FromHost::Ack { ack, nonce }), Some(delivering)) => {
                delivering.acknowledged(ack, *nonce).err()
            }
            (Ok(FromHost::Relist(relist)), Some(delivering)) => Some(delivering.misfits(relist)),
            _ => None,
        };
        let heard = Arc::clone(&self.heard);
        take(
            Arc::clone(&self.app),
            self.agent.clone(),
            said,
            misfit,
            heard,
        )
    }

    /// Stamps the message with the clock as it is now: the host takes what is left of a lease from here on.
    fn say(&self, message: ToHostMessage) -> SyncResponse {
        let server_time = self.app.now();
        ToHost {
            server_time,
            protocol: PROTOCOL,
            message,
        }
        .into()
    }
}

async fn take(
    app: Arc<App>,
    agent: HostAgent,
    said: Result<FromHost, Invalid>,
    misfit: Option<Misfit>,
    heard: Arc<AtomicU64>,
) -> Result<(), Error> {
    let agent = &agent;
    if let Some(misfit) = misfit {
        app.relisted(agent, &misfit.0).await?;
    }
    match said {
        Ok(FromHost::Ack { ack, nonce: _ }) => app.acknowledge(agent, ack).await,
        // Its stream knows what to do about it; from a host that is sent whole states it means nothing.
        Ok(FromHost::Relist(_)) => Ok(()),
        Ok(FromHost::Hold(hold)) => app.report_hold(agent, *hold).await,
        Ok(FromHost::Heartbeat {
            events_lost,
            health,
            beat,
        }) => {
            app.heartbeat(agent, events_lost, health).await?;
            // ORDER: after the commit, see the field.
            heard.fetch_max(beat, Ordering::AcqRel);
            Ok(())
        }
        Ok(FromHost::Hello(_)) => {
            tracing::warn!(host = %agent.host(), "a second hello on one stream is passed over");
            Ok(())
        }
        Err(invalid) => {
            tracing::error!(host = %agent.host(), %invalid, "a host's message cannot be read");
            Ok(())
        }
    }
}
