//! `EventService`.

use stayhand_proto::v1::{
    TailEventsRequest, TailEventsResponse, event_service_server::EventService,
};
use tonic::{Request, Response, Status};

use super::{
    Api,
    grants::some,
    status,
    stream::{Answers, changed},
};
use crate::{app::Error, limits::TAIL_PAGE, store::Stored};

#[tonic::async_trait]
impl EventService for Api {
    type TailEventsStream = Answers<TailEventsResponse>;

    async fn tail_events(
        &self,
        request: Request<TailEventsRequest>,
    ) -> Result<Response<Self::TailEventsStream>, Status> {
        let operator = self.gate.operator(&request).await?;
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
                for Stored { position, event } in found {
                    after = position;
                    outbox
                        .send(TailEventsResponse {
                            position,
                            event: Some(event.into()),
                        })
                        .await?;
                }
            }
        }))
    }
}
