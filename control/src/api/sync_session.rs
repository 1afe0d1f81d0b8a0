//! One Sync stream without its transport and without its timers: what a host is to be told, and what is done with what it
//! says. The stream of `sync` waits for it; a simulation steps it.

use std::sync::Arc;

use stayhand_guardrail::{host::HostState, id::Generation};
use stayhand_proto::{
    message::{FromHost, Hello, ToHost, ToHostMessage},
    v1::{SyncRequest, SyncResponse},
};
use tokio::sync::watch;

use crate::{
    app::{App, Error, Session},
    operator::HostAgent,
};

/// The stream of one host, from its hello on.
pub struct SyncSession {
    app: Arc<App>,
    agent: HostAgent,
    signal: watch::Receiver<Generation>,
    session: Session,
    sent: Generation,
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
        })
    }

    /// The state that the host is to be sent now, if it is another than it has.
    pub async fn next_state(&mut self) -> Result<Option<SyncResponse>, Error> {
        let state = self.app.state_for(&self.agent, self.sent, true).await?;
        Ok(self.sent_next(state))
    }

    /// The same where only time has passed. Something that changes meanwhile does not wait for it.
    pub async fn missed_state(&mut self) -> Result<Option<SyncResponse>, Error> {
        let (app, agent, sent) = (&self.app, &self.agent, self.sent);
        let state = tokio::select! {
            biased;
            Ok(()) = self.signal.changed() => app.state_for(agent, sent, true).await?,
            state = app.state_for(agent, sent, false) => state?,
        };
        Ok(self.sent_next(state))
    }

    fn sent_next(&mut self, state: Option<HostState>) -> Option<SyncResponse> {
        let state = state?;
        self.sent = state.generation;
        Some(self.say(ToHostMessage::State(state)))
    }

    /// A word that the control plane is there.
    pub fn bookmark(&self) -> SyncResponse {
        self.say(ToHostMessage::Bookmark {
            generation: self.sent,
            authorities: self.app.authorities_revision(),
        })
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
    pub async fn take(&self, wire: SyncRequest) -> Result<(), Error> {
        self.taking(wire).await
    }

    /// The same for whoever goes on with the stream meanwhile: a state waits for nothing that its host says.
    pub fn taking(
        &self,
        wire: SyncRequest,
    ) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        take(Arc::clone(&self.app), self.agent.clone(), wire)
    }

    /// Stamps the message with the clock as it is now: the host takes what is left of a lease from here on.
    fn say(&self, message: ToHostMessage) -> SyncResponse {
        let server_time = self.app.now();
        ToHost {
            server_time,
            message,
        }
        .into()
    }
}

async fn take(app: Arc<App>, agent: HostAgent, wire: SyncRequest) -> Result<(), Error> {
    let agent = &agent;
    match FromHost::try_from(wire) {
        Ok(FromHost::Ack(ack)) => app.acknowledge(agent, ack).await,
        Ok(FromHost::Hold(hold)) => app.report_hold(agent, *hold).await,
        Ok(FromHost::Heartbeat {
            events_lost,
            health,
        }) => app.heartbeat(agent, events_lost, health).await,
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
