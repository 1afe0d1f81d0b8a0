//! `HostSyncService.PublishEvents`: batches up, cumulative acknowledgement down, after the commit and never
//! before.

use std::sync::Arc;

use bytes::Bytes;
use stayhand_guardrail::{
    event::{Event, EventClass, EventKind, LossStage, Lost},
    id::HostId,
    time::UnixMs,
};
use stayhand_proto::{
    codec,
    convert::Invalid,
    limits::BATCH_EVENTS_MAX,
    v1::{self, PublishEventsRequest, PublishEventsResponse},
};
use tonic::{Status, Streaming};

use super::{
    pace::{Kind, Paces},
    status,
    stream::Outbox,
};
use crate::{
    app::{App, Error, Through},
    limits::ROOM_PAUSE,
    operator::HostAgent,
    store::StoreError,
};

pub(super) async fn publish(
    app: Arc<App>,
    paces: Paces,
    agent: HostAgent,
    mut inbound: Streaming<PublishEventsRequest>,
    outbox: Outbox<PublishEventsResponse>,
) -> Result<(), Status> {
    let failed = |error: Error| status::of(&error);
    loop {
        // ORDER: before a batch is read, so that whoever has to wait does not wait with one in our memory.
        paces.next(agent.host(), Kind::Batch).await;
        room(&app).await.map_err(failed)?;
        let Some(request) = inbound.message().await? else {
            return Ok(());
        };
        let bytes: usize = request.events.iter().map(Bytes::len).sum();
        let kib = u32::try_from(bytes / 1_024).unwrap_or(u32::MAX);
        for acknowledged in taken(&app, &agent, request).await.map_err(failed)? {
            outbox.send(acknowledged).await?;
        }
        paces.many(agent.host(), Kind::BatchKib, kib).await;
    }
}

/// Waits until there is room for events.
async fn room(app: &App) -> Result<(), Error> {
    while !app.store().has_room_for_events().await? {
        tokio::time::sleep(ROOM_PAUSE).await;
    }
    Ok(())
}

/// Stores one batch, once there is room for it. A stream that ended over it would take its host's other one along, with revocations,
/// answers and all, and every host would come again at once and for as long as nobody makes room.
async fn taken(
    app: &App,
    agent: &HostAgent,
    request: PublishEventsRequest,
) -> Result<Vec<PublishEventsResponse>, Error> {
    loop {
        match take(app, agent, request.clone()).await {
            Err(Error::Store(StoreError::Full | StoreError::Reserved)) => {
                tokio::time::sleep(ROOM_PAUSE).await;
            }
            done => return done,
        }
    }
}

/// Stores one batch; what to acknowledge.
pub async fn take(
    app: &App,
    agent: &HostAgent,
    PublishEventsRequest { events }: PublishEventsRequest,
) -> Result<Vec<PublishEventsResponse>, Error> {
    // Before any of them is read: one that is empty takes two bytes of a message and hundreds of memory.
    if events.len() > BATCH_EVENTS_MAX {
        let problem = format!(
            "has {} events, more than the {BATCH_EVENTS_MAX} of one batch",
            events.len()
        );
        return Err(Error::field("events", problem));
    }
    let (mut batch, mut unread) = (Vec::with_capacity(events.len()), Unread::default());
    for bytes in &events {
        batch.push(read(bytes, agent.host(), app.now(), &mut unread)?);
    }
    unread.tell(agent.host());
    let acknowledged = app.store_events(agent, batch).await?;
    let acknowledged =
        acknowledged
            .into_iter()
            .map(|Through { epoch, seq }| PublishEventsResponse {
                epoch: epoch.to_string(),
                acknowledged_through: seq.0,
            });
    Ok(acknowledged.collect())
}

/// Events of a batch that could not be read: one line of the log for all, whatever a host sends.
#[derive(Default)]
struct Unread {
    count: u64,
    first: Option<(u64, Invalid)>,
}

impl Unread {
    fn note(&mut self, sequence: u64, invalid: Invalid) {
        self.count += 1;
        self.first.get_or_insert((sequence, invalid));
    }

    fn tell(&self, host: &HostId) {
        if let Some((sequence, invalid)) = &self.first {
            let count = self.count;
            tracing::error!(%host, count, sequence, %invalid, "events cannot be read and are counted as lost; this is about the first of them");
        }
    }
}

/// Reads an event. One that cannot be read becomes a counted loss under the same number: refusing it would keep
/// every later event in the host's spool for ever. Only without a number there is nothing to be counted.
fn read(bytes: &[u8], host: &HostId, now: UnixMs, unread: &mut Unread) -> Result<Event, Invalid> {
    let own = |wire: v1::Event| v1::Event {
        host: host.to_string(),
        ..wire
    };
    let event = codec::event_of_batch(bytes)
        .and_then(|wire| Event::try_from(own(wire)))
        .and_then(own_word);
    event.or_else(|invalid| {
        let envelope = codec::envelope_of_batch(bytes)?;
        unread.note(envelope.sequence, invalid);
        Event::try_from(own(v1::Event {
            kind: Some(loss(now)),
            ..envelope
        }))
    })
}

/// What operators and the control plane do, a host has no word on: whoever reads the record by kinds is not to be fooled by one. What
/// became of a hold a host says on its Sync stream and by its decisions; the record of it is made here.
fn own_word(event: Event) -> Result<Event, Invalid> {
    match &event.kind {
        EventKind::HoldChanged(_)
        | EventKind::GrantChanged(_)
        | EventKind::PolicyChanged(_)
        | EventKind::FlagChanged(_)
        | EventKind::LockChanged(_)
        | EventKind::MembershipChanged(_)
        | EventKind::JoinTokenChanged(_)
        | EventKind::AuthorityChanged(_)
        | EventKind::SessionChanged(_)
        | EventKind::AccessTokenChanged(_) => Err(Invalid::new(
            "kind",
            "is a record that only a control plane makes",
        )),
        EventKind::Decision(_)
        | EventKind::Lost(_)
        | EventKind::AgentStarted(_)
        | EventKind::AgentStopped(_)
        | EventKind::Enforcement(_)
        | EventKind::Tamper(_) => Ok(event),
    }
}

/// Of the class that must not be lost, because nobody can tell.
fn loss(now: UnixMs) -> v1::event::Kind {
    let lost = Lost {
        class: EventClass::A,
        count: 1,
        stage: LossStage::Decode,
        since: now,
    };
    v1::event::Kind::Lost(lost.into())
}
