//! `EventService`.

use stayhand_proto::v1::{
    Event, TailEventsRequest, TailEventsResponse, event::Kind, event_service_server::EventService,
};
use tonic::{Request, Response, Status};

use super::{
    Api,
    grants::some,
    status,
    stream::{Answers, changed},
};
use crate::{
    app::{Error, SeenEvent},
    authz::Action,
    limits::TAIL_PAGE,
};

#[tonic::async_trait]
impl EventService for Api {
    type TailEventsStream = Answers<TailEventsResponse>;

    async fn tail_events(
        &self,
        request: Request<TailEventsRequest>,
    ) -> Result<Response<Self::TailEventsStream>, Status> {
        let operator = self.gate.operator(&request, Action::EventRead).await?;
        let TailEventsRequest {
            follow,
            after,
            last,
            host,
        } = request.into_inner();
        let failed = |error: Error| status::of(&error);
        let host = some(&host, "host").map_err(failed)?;
        if after != 0 && last != 0 {
            return Err(failed(Error::field(
                "last",
                "cannot be used together with `after`",
            )));
        }
        let app = self.app.clone();
        Ok(self.stream(|outbox| async move {
            let mut signal = app.store().signals().events();
            let mut after = after;
            if last != 0 {
                after = app
                    .position_before_last(&operator, last, host.as_ref())
                    .await
                    .map_err(failed)?;
            }
            loop {
                let found = app
                    .events_after(&operator, after, host.as_ref(), TAIL_PAGE)
                    .await
                    .map_err(failed)?;
                if found.is_empty() {
                    if !follow {
                        return Ok(());
                    }
                    changed(&mut signal).await;
                }
                for seen in found {
                    after = seen.stored.position;
                    outbox.send(shown(seen)).await?;
                }
            }
        }))
    }
}

/// An event as its caller gets to see it.
fn shown(
    SeenEvent {
        stored,
        is_withheld,
    }: SeenEvent,
) -> TailEventsResponse {
    let mut event = Event::from(stored.event);
    let process = match &mut event.kind {
        Some(Kind::Decision(decision)) => decision.process.as_mut(),
        Some(Kind::Tamper(tamper)) => tamper.process.as_mut(),
        _ => None,
    };
    if let Some(process) = process {
        process.arguments_withheld = is_withheld;
    }
    TailEventsResponse {
        position: stored.position,
        event: Some(event),
    }
}
