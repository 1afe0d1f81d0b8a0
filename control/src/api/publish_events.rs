//! `HostSyncService.PublishEvents`: batches up, cumulative acknowledgement down, after the commit and never
//! before.

use std::sync::Arc;

use stayhand_guardrail::{
    event::{Event, EventClass, EventKind, LossStage, Lost},
    id::HostId,
    time::UnixMs,
};
use stayhand_proto::{
    convert::Invalid,
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
    operator::HostAgent,
};

pub(super) async fn publish(
    app: Arc<App>,
    paces: Paces,
    agent: HostAgent,
    mut inbound: Streaming<PublishEventsRequest>,
    outbox: Outbox<PublishEventsResponse>,
) -> Result<(), Status> {
    let failed = |error: Error| status::of(&error);
    while let Some(request) = inbound.message().await? {
        paces.next(agent.host(), Kind::Batch).await;
        for acknowledged in take(&app, &agent, request).await.map_err(failed)? {
            outbox.send(acknowledged).await?;
        }
    }
    Ok(())
}

/// Stores one batch; what to acknowledge.
pub async fn take(
    app: &App,
    agent: &HostAgent,
    PublishEventsRequest { events }: PublishEventsRequest,
) -> Result<Vec<PublishEventsResponse>, Error> {
    let now = app.now();
    let batch: Result<Vec<Event>, Invalid> = events
        .into_iter()
        .map(|wire| read(wire, agent.host(), now))
        .collect();
    let acknowledged = app.store_events(agent, batch?).await?;
    let acknowledged =
        acknowledged
            .into_iter()
            .map(|Through { epoch, seq }| PublishEventsResponse {
                epoch: epoch.to_string(),
                acknowledged_through: seq.0,
            });
    Ok(acknowledged.collect())
}

/// Reads an event. One that cannot be read becomes a counted loss under the same number: refusing it would keep
/// every later event in the host's spool for ever. Only without a number there is nothing to be counted.
fn read(mut wire: v1::Event, host: &HostId, now: UnixMs) -> Result<Event, Invalid> {
    wire.host = host.to_string();
    let envelope = v1::Event {
        kind: Some(loss(now)),
        ..envelope(&wire)
    };
    Event::try_from(wire).and_then(own_word).or_else(|invalid| {
        tracing::error!(%host, %invalid, sequence = envelope.sequence, "an event cannot be read and is counted as lost");
        Event::try_from(envelope)
    })
}

/// What operators and the control plane do, a host has no word on: whoever reads the record by kinds is not to be fooled by one.
fn own_word(event: Event) -> Result<Event, Invalid> {
    match &event.kind {
        EventKind::GrantChanged(_)
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
        | EventKind::HoldChanged(_)
        | EventKind::Lost(_)
        | EventKind::AgentStarted(_)
        | EventKind::AgentStopped(_)
        | EventKind::Enforcement(_)
        | EventKind::Tamper(_) => Ok(event),
    }
}

/// Everything but the content.
fn envelope(wire: &v1::Event) -> v1::Event {
    let v1::Event {
        host,
        boot_id,
        epoch,
        sequence,
        time,
        kind: _,
    } = wire;
    v1::Event {
        host: host.clone(),
        boot_id: boot_id.clone(),
        epoch: epoch.clone(),
        sequence: *sequence,
        time: *time,
        kind: None,
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
