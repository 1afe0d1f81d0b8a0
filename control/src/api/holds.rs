//! `HoldService`.

use stayhand_guardrail::host::Answer;
use stayhand_proto::v1::{
    ApproveHoldRequest, GetHoldRequest, Hold, ListHoldsRequest, ListHoldsResponse,
    RefuseHoldRequest, WatchHoldsRequest, hold_service_server::HoldService,
};
use tonic::{Request, Response, Status};

use super::{
    Api,
    page::Page,
    status,
    stream::{Answers, changed},
};
use crate::{
    app::{Error, SeenHold},
    authz::Action,
    limits::HOLDS_PAGE_SIZE_MAX,
    operator::Operator,
};

#[tonic::async_trait]
impl HoldService for Api {
    async fn list_holds(
        &self,
        request: Request<ListHoldsRequest>,
    ) -> Result<Response<ListHoldsResponse>, Status> {
        let operator = self.gate.operator(&request, Action::HoldList).await?;
        let ListHoldsRequest {
            page_size,
            page_token,
            show_ended,
        } = request.into_inner();
        let list = async {
            let page = Page::of("holds", &show_ended, page_size, &page_token)?
                .at_most(HOLDS_PAGE_SIZE_MAX);
            let found = self
                .app
                .hold_list(&operator, show_ended, page.before()?, page.size)
                .await?;
            let next_page_token = page.next(found.len(), found.last().map(|(changed, _)| *changed));
            let holds = found.into_iter().filter_map(|(_, hold)| hold);
            let holds = holds.map(shown).collect();
            Ok(ListHoldsResponse {
                holds,
                next_page_token,
            })
        };
        list.await
            .map(Response::new)
            .map_err(|error: Error| status::of(&error))
    }

    async fn get_hold(&self, request: Request<GetHoldRequest>) -> Result<Response<Hold>, Status> {
        let operator = self.gate.operator(&request, Action::HoldRead).await?;
        let GetHoldRequest { name } = request.into_inner();
        let id = self
            .app
            .hold_id(&name)
            .await
            .map_err(|error| status::of(&error))?;
        let hold = self
            .app
            .hold(&operator, id)
            .await
            .map_err(|error| status::of(&error))?;
        Ok(Response::new(shown(hold)))
    }

    async fn approve_hold(
        &self,
        request: Request<ApproveHoldRequest>,
    ) -> Result<Response<Hold>, Status> {
        let operator = self.gate.operator(&request, Action::HoldApprove).await?;
        let ApproveHoldRequest { name, reason } = request.into_inner();
        self.answer(operator, name, Answer::Approved, reason).await
    }

    async fn refuse_hold(
        &self,
        request: Request<RefuseHoldRequest>,
    ) -> Result<Response<Hold>, Status> {
        let operator = self.gate.operator(&request, Action::HoldRefuse).await?;
        let RefuseHoldRequest { name, reason } = request.into_inner();
        self.answer(operator, name, Answer::Refused, reason).await
    }

    type WatchHoldsStream = Answers<Hold>;

    async fn watch_holds(
        &self,
        request: Request<WatchHoldsRequest>,
    ) -> Result<Response<Self::WatchHoldsStream>, Status> {
        let operator = self.gate.operator(&request, Action::HoldList).await?;
        let WatchHoldsRequest {} = request.into_inner();
        let app = self.app.clone();
        Ok(self.stream(|outbox| async move {
            let mut signal = app.store().signals().holds();
            let failed = |error: Error| status::of(&error);
            // ORDER: the number first; what changes while the open ones are listed is sent again after them.
            let mut after = app
                .store()
                .hold_change()
                .await
                .map_err(|error| failed(error.into()))?;
            let mut before = u64::MAX;
            loop {
                let open = app
                    .hold_list(&operator, false, before, HOLDS_PAGE_SIZE_MAX)
                    .await
                    .map_err(failed)?;
                let Some((last, _)) = open.last() else { break };
                before = *last;
                for hold in open.into_iter().filter_map(|(_, hold)| hold) {
                    outbox.send(shown(hold)).await?;
                }
            }
            loop {
                let found = app
                    .holds_after(&operator, after, HOLDS_PAGE_SIZE_MAX)
                    .await
                    .map_err(failed)?;
                if found.is_empty() {
                    changed(&mut signal).await;
                }
                for (number, hold) in found {
                    after = number;
                    if let Some(hold) = hold {
                        outbox.send(shown(hold)).await?;
                    }
                }
            }
        }))
    }
}

impl Api {
    async fn answer(
        &self,
        operator: Operator,
        name: String,
        answer: Answer,
        reason: String,
    ) -> Result<Response<Hold>, Status> {
        let hold = self.to_the_end(|app| async move {
            let id = app.hold_id(&name).await?;
            app.answer_hold(&operator, id, answer, reason).await
        });
        Ok(Response::new(shown(hold.await?)))
    }
}

/// A hold as its caller gets to see it.
fn shown(SeenHold { hold, is_withheld }: SeenHold) -> Hold {
    let mut wire = Hold::from(hold);
    if let Some(process) = &mut wire.process {
        process.arguments_withheld = is_withheld;
    }
    wire
}
