//! `GrantService`.

use std::time::Instant;

use stayhand_guardrail::id::{HostId, UserName};
use stayhand_proto::{
    convert::{Invalid, duration},
    v1::{
        CreateGrantRequest, GetGrantRequest, Grant, ListGrantsRequest, ListGrantsResponse,
        RevokeGrantRequest, WatchGrantRequest, grant_service_server::GrantService,
    },
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{
    Api,
    page::Page,
    status,
    stream::{Answers, changed},
};
use crate::{
    app::{AskedProfile, CreateGrant, Error},
    authz::Action,
    limits::WATCH_REST,
    store::GrantFilter,
};

#[tonic::async_trait]
impl GrantService for Api {
    async fn create_grant(
        &self,
        request: Request<CreateGrantRequest>,
    ) -> Result<Response<Grant>, Status> {
        let operator = self.gate.operator(&request, Action::GrantCreate).await?;
        let create = read(request.into_inner()).map_err(|error| status::of(&error))?;
        let view = self
            .to_the_end(|app| async move { app.create_grant(&operator, create).await })
            .await?;
        Ok(Response::new(view.into()))
    }

    async fn get_grant(
        &self,
        request: Request<GetGrantRequest>,
    ) -> Result<Response<Grant>, Status> {
        let operator = self.gate.operator(&request, Action::GrantRead).await?;
        let GetGrantRequest { name } = request.into_inner();
        let id = self
            .app
            .grant_id(&name)
            .await
            .map_err(|error| status::of(&error))?;
        let view = self
            .app
            .grant(&operator, id)
            .await
            .map_err(|error| status::of(&error))?;
        Ok(Response::new(view.into()))
    }

    async fn list_grants(
        &self,
        request: Request<ListGrantsRequest>,
    ) -> Result<Response<ListGrantsResponse>, Status> {
        let operator = self.gate.operator(&request, Action::GrantList).await?;
        let ListGrantsRequest {
            page_size,
            page_token,
            show_ended,
            user,
        } = request.into_inner();
        let list = async {
            let filter = GrantFilter {
                show_ended,
                user: some(&user, "user")?,
            };
            let page = Page::of("grants", &filter, page_size, &page_token)?;
            let found = self
                .app
                .grant_list(&operator, &filter, page.before()?, page.size)
                .await?;
            let next_page_token = page.next(found.len(), found.last().map(|(number, _)| *number));
            let grants = found.into_iter().filter_map(|(_, view)| view);
            let grants = grants.map(Into::into).collect();
            Ok(ListGrantsResponse {
                grants,
                next_page_token,
            })
        };
        list.await
            .map(Response::new)
            .map_err(|error: Error| status::of(&error))
    }

    async fn revoke_grant(
        &self,
        request: Request<RevokeGrantRequest>,
    ) -> Result<Response<Grant>, Status> {
        let operator = self.gate.operator(&request, Action::GrantRevoke).await?;
        let RevokeGrantRequest { name, reason, etag } = request.into_inner();
        let view = self.to_the_end(|app| async move {
            let id = app.grant_id(&name).await?;
            app.revoke_grant(&operator, id, reason, &etag).await
        });
        Ok(Response::new(view.await?.into()))
    }

    type WatchGrantStream = Answers<Grant>;

    async fn watch_grant(
        &self,
        request: Request<WatchGrantRequest>,
    ) -> Result<Response<Self::WatchGrantStream>, Status> {
        let operator = self.gate.operator(&request, Action::GrantRead).await?;
        let WatchGrantRequest { name } = request.into_inner();
        let id = self
            .app
            .grant_id(&name)
            .await
            .map_err(|error| status::of(&error))?;
        let app = self.app.clone();
        Ok(self.stream(|outbox| async move {
            let mut signal = app.store().signals().grants();
            let mut last = None;
            loop {
                let begun = Instant::now();
                let view = app
                    .grant(&operator, id)
                    .await
                    .map_err(|error| status::of(&error))?;
                if last.as_ref() != Some(&view) {
                    outbox.send(view.clone().into()).await?;
                    last = Some(view);
                }
                // While a whole fleet answers there is always something new.
                tokio::time::sleep(begun.elapsed() * WATCH_REST).await;
                changed(&mut signal).await;
            }
        }))
    }
}

fn read(request: CreateGrantRequest) -> Result<CreateGrant, Error> {
    let CreateGrantRequest {
        user,
        permissions,
        ttl,
        reason,
        request_id,
        validate_only,
        hosts,
        profile,
        values,
    } = request;
    let hosts: Result<Vec<HostId>, Error> = hosts
        .iter()
        .map(|host| {
            host.parse()
                .map_err(|problem| Error::field("hosts", problem))
        })
        .collect();
    let values: Result<Vec<(String, String)>, Error> = values
        .iter()
        .map(|pair| {
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| Error::field("values", "a value is written as NAME=VALUE"))?;
            Ok((name.to_owned(), value.to_owned()))
        })
        .collect();
    let values = values?;
    if profile.is_empty() && !values.is_empty() {
        let problem = "only a profile takes values; name one";
        return Err(Error::field("values", problem));
    }
    Ok(CreateGrant {
        user: user
            .parse::<UserName>()
            .map_err(|problem| Error::field("user", problem))?,
        permissions,
        profile: (!profile.is_empty()).then_some(AskedProfile {
            name: profile,
            values,
        }),
        hosts: hosts?,
        duration: duration("ttl", ttl)?,
        reason,
        request_id: some::<Uuid>(&request_id, "request_id")?,
        validate_only,
    })
}

/// A text that may be empty, which means that there is none.
pub(super) fn some<T: std::str::FromStr<Err: std::fmt::Display>>(
    text: &str,
    field: &str,
) -> Result<Option<T>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .map_err(|problem: T::Err| Invalid::new(field, problem).into())
}
