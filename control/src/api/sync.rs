//! `HostSyncService.Sync`: desired state down, acknowledgements and holds up. Newest state only; a state that no
//! host took yet is never sent after a newer one.

use std::sync::Arc;

use stayhand_proto::{
    message::{FromHost, Hello, ToHost, ToHostMessage},
    v1::{
        PublishEventsRequest, PublishEventsResponse, SyncRequest, SyncResponse,
        host_sync_service_server::HostSyncService,
    },
};
use tonic::{Request, Response, Status, Streaming};

use super::{
    Api, status,
    stream::{Answers, Outbox},
};
use crate::{
    app::{App, Error},
    limits::{BOOKMARK_INTERVAL, HELLO_TIMEOUT},
    operator::HostAgent,
};

#[tonic::async_trait]
impl HostSyncService for Api {
    type SyncStream = Answers<SyncResponse>;

    async fn sync(
        &self,
        request: Request<Streaming<SyncRequest>>,
    ) -> Result<Response<Self::SyncStream>, Status> {
        let agent = self.gate.agent(&request).await?;
        let app = Arc::clone(&self.app);
        Ok(self.stream(|outbox| sync(app, agent, request.into_inner(), outbox)))
    }

    type PublishEventsStream = Answers<PublishEventsResponse>;

    async fn publish_events(
        &self,
        request: Request<Streaming<PublishEventsRequest>>,
    ) -> Result<Response<Self::PublishEventsStream>, Status> {
        let agent = self.gate.agent(&request).await?;
        let app = Arc::clone(&self.app);
        Ok(self.stream(|outbox| {
            super::publish_events::publish(app, agent, request.into_inner(), outbox)
        }))
    }
}

async fn sync(
    app: Arc<App>,
    agent: HostAgent,
    mut inbound: Streaming<SyncRequest>,
    outbox: Outbox<SyncResponse>,
) -> Result<(), Status> {
    let failed = |error: Error| status::of(&error);
    let hello = hello(&mut inbound).await?;
    // ORDER: listen before the state is read, so that no change falls between.
    let mut signal = app.store().signals().host(agent.host());
    let mut session = app.hello(&agent, &hello).await.map_err(failed)?;
    let mut bookmark = tokio::time::interval(BOOKMARK_INTERVAL);
    let mut sent = hello.enforced_generation;
    loop {
        if let Some(state) = app.state_for(&agent, sent).await.map_err(failed)? {
            sent = state.generation;
            say(&app, &outbox, ToHostMessage::State(state)).await?;
        }
        tokio::select! {
            message = inbound.message() => match message? {
                Some(wire) => take(&app, &agent, wire).await.map_err(failed)?,
                None => return Ok(()),
            },
            Ok(()) = signal.changed() => {}
            _ = bookmark.tick() => say(&app, &outbox, ToHostMessage::Bookmark(sent)).await?,
            () = session.taken_over() => {
                return Err(Status::aborted("a newer stream of the same host has taken over"));
            }
        }
    }
}

async fn hello(inbound: &mut Streaming<SyncRequest>) -> Result<Hello, Status> {
    let first = tokio::time::timeout(HELLO_TIMEOUT, inbound.message()).await;
    let first = first.map_err(|_| Status::deadline_exceeded("no hello came"))??;
    match first.map(FromHost::try_from) {
        Some(Ok(FromHost::Hello(hello))) => Ok(hello),
        Some(Ok(_)) | None => Err(Status::invalid_argument(
            "the first message has to be a hello",
        )),
        Some(Err(invalid)) => Err(status::of(&invalid.into())),
    }
}

/// Takes in one message. One that cannot be read is logged and passed over: closing the stream for it would keep
/// revocations from the host for as long as its agent repeats it.
async fn take(app: &App, agent: &HostAgent, wire: SyncRequest) -> Result<(), Error> {
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

/// Stamps the message with the clock as it is now: the host takes what is left of a lease from here on.
async fn say(
    app: &App,
    outbox: &Outbox<SyncResponse>,
    message: ToHostMessage,
) -> Result<(), Status> {
    outbox
        .send(
            ToHost {
                server_time: app.now(),
                message,
            }
            .into(),
        )
        .await
}
