//! `HostSyncService.Sync`: desired state down, acknowledgements and holds up. Newest state only; a state that no
//! host took yet is never sent after a newer one.

use std::{pin::Pin, sync::Arc};

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
        let place = self.streams.open(agent.host())?;
        Ok(self.stream(|outbox| async move {
            let _until_the_end = place;
            sync(app, paces, agent, request.into_inner(), outbox).await
        }))
    }

    type PublishEventsStream = Answers<PublishEventsResponse>;

    async fn publish_events(
        &self,
        request: Request<Streaming<PublishEventsRequest>>,
    ) -> Result<Response<Self::PublishEventsStream>, Status> {
        let agent = self.gate.agent(&request).await?;
        let (app, paces) = (Arc::clone(&self.app), self.paces.clone());
        paces.next(agent.host(), Kind::Message).await;
        let place = self.streams.open(agent.host())?;
        Ok(self.stream(|outbox| async move {
            let _until_the_end = place;
            super::publish_events::publish(app, paces, agent, request.into_inner(), outbox).await
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
    // What the host said and is not committed yet: one word at a time, so that the next one waits on the host.
    let mut word: Option<Committing> = None;
    let mut look = Look::Now;
    loop {
        match look {
            Look::Now => {
                while let Some(state) = session.next_state().await.map_err(failed)? {
                    outbox.send(state).await?;
                }
            }
            Look::Regularly => {
                let mut missed = session.missed_state().await.map_err(failed)?;
                while let Some(state) = missed {
                    outbox.send(state).await?;
                    missed = session.next_state().await.map_err(failed)?;
                }
                // After the look, so that it says what was found.
                outbox.send(session.bookmark()).await?;
            }
            Look::Not => {}
        }
        look = tokio::select! {
            message = inbound.message(), if word.is_none() => match message? {
                Some(wire) => {
                    let (paces, host, taking) = (paces.clone(), host.clone(), session.taking(wire));
                    word = Some(Box::pin(async move {
                        paces.next(&host, Kind::Message).await;
                        taking.await
                    }));
                    // What the host has said may be all that the next delivery waited for.
                    if session.is_behind() { Look::Now } else { Look::Not }
                }
                None => return Ok(()),
            },
            taken = taken(&mut word) => {
                taken.map_err(failed)?;
                word = None;
                Look::Not
            }
            change = session.changed() => match change {
                Change::Published => Look::Now,
                Change::TakenOver => {
                    return Err(Status::aborted("a newer stream of the same host has taken over"));
                }
            },
            // A signal may have been missed.
            _ = bookmark.tick() => Look::Regularly
        };
    }
}

/// A word on its way into the store.
type Committing = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// Whether a host may be to have another state.
enum Look {
    /// Something changed
    Now,
    /// Some time has passed
    Regularly,
    Not,
}

/// Waits until a word is committed; for ever where there is none.
async fn taken<F: Future + Unpin>(word: &mut Option<F>) -> F::Output {
    match word {
        Some(word) => word.await,
        None => std::future::pending().await,
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
