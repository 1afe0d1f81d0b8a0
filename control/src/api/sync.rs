//! `HostSyncService.Sync`: desired state down, acknowledgements and holds up. Newest state only; a state that no
//! host took yet is never sent after a newer one.

use std::sync::Arc;

use stayhand_proto::{
    message::{FromHost, Hello},
    v1::{
        PublishEventsRequest, PublishEventsResponse, SyncRequest, SyncResponse,
        host_sync_service_server::HostSyncService,
    },
};
use tonic::{Request, Response, Status, Streaming};

use super::{
    Api,
    pace::{Kind, Paces},
    status,
    stream::{Answers, Outbox},
    sync_session::{Change, SyncSession},
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
        let (app, paces) = (Arc::clone(&self.app), self.paces.clone());
        paces.next(agent.host(), Kind::Message).await;
        Ok(self.stream(|outbox| sync(app, paces, agent, request.into_inner(), outbox)))
    }

    type PublishEventsStream = Answers<PublishEventsResponse>;

    async fn publish_events(
        &self,
        request: Request<Streaming<PublishEventsRequest>>,
    ) -> Result<Response<Self::PublishEventsStream>, Status> {
        let agent = self.gate.agent(&request).await?;
        let (app, paces) = (Arc::clone(&self.app), self.paces.clone());
        paces.next(agent.host(), Kind::Message).await;
        Ok(self.stream(|outbox| {
            super::publish_events::publish(app, paces, agent, request.into_inner(), outbox)
        }))
    }
}

async fn sync(
    app: Arc<App>,
    paces: Paces,
    agent: HostAgent,
    mut inbound: Streaming<SyncRequest>,
    outbox: Outbox<SyncResponse>,
) -> Result<(), Status> {
    let failed = |error: Error| status::of(&error);
    let hello = hello(&mut inbound).await?;
    let host = agent.host().clone();
    let mut session = SyncSession::open(app, agent, &hello)
        .await
        .map_err(failed)?;
    let mut bookmark = tokio::time::interval(BOOKMARK_INTERVAL);
    loop {
        if let Some(state) = session.next_state().await.map_err(failed)? {
            outbox.send(state).await?;
        }
        tokio::select! {
            message = inbound.message() => match message? {
                Some(wire) => {
                    paces.next(&host, Kind::Message).await;
                    session.take(wire).await.map_err(failed)?;
                }
                None => return Ok(()),
            },
            change = session.changed() => match change {
                Change::Published => {}
                Change::TakenOver => {
                    return Err(Status::aborted("a newer stream of the same host has taken over"));
                }
            },
            _ = bookmark.tick() => outbox.send(session.bookmark()).await?,
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
