//! `HostService`.

use stayhand_proto::{
    convert::name,
    v1::{
        GetHostRequest, Host, ListHostsRequest, ListHostsResponse, RevokeHostRequest,
        RevokeHostResponse, host_service_server::HostService,
    },
};
use tonic::{Request, Response, Status};

use super::{Api, page::Page, status};
use crate::{app::Error, authz::Action};

#[tonic::async_trait]
impl HostService for Api {
    async fn list_hosts(
        &self,
        request: Request<ListHostsRequest>,
    ) -> Result<Response<ListHostsResponse>, Status> {
        let operator = self.gate.operator(&request, Action::HostList).await?;
        let ListHostsRequest {
            page_size,
            page_token,
        } = request.into_inner();
        let list = async {
            let page = Page::of("hosts", &(), page_size, &page_token)?;
            let after = page.cursor.clone().unwrap_or_default();
            let found = self.app.host_list(&operator, &after, page.size).await?;
            let next_page_token = page.next(found.len(), found.last().map(|(id, _)| id.clone()));
            let hosts = found.into_iter().filter_map(|(_, host)| host);
            Ok(ListHostsResponse {
                hosts: hosts.map(Into::into).collect(),
                next_page_token,
            })
        };
        list.await
            .map(Response::new)
            .map_err(|error: Error| status::of(&error))
    }

    async fn revoke_host(
        &self,
        request: Request<RevokeHostRequest>,
    ) -> Result<Response<RevokeHostResponse>, Status> {
        let operator = self.gate.operator(&request, Action::HostAdminister).await?;
        let RevokeHostRequest {
            name: asked,
            reason,
        } = request.into_inner();
        let revoked = self.to_the_end(|app| async move {
            let id = name::parse("name", name::HOSTS, &asked)?;
            app.revoke_host(&operator, id, reason).await
        });
        Ok(Response::new(RevokeHostResponse {
            membership: Some(revoked.await?.into()),
        }))
    }

    async fn get_host(&self, request: Request<GetHostRequest>) -> Result<Response<Host>, Status> {
        let operator = self.gate.operator(&request, Action::HostRead).await?;
        let GetHostRequest { name: asked } = request.into_inner();
        let get = async {
            let id = name::parse("name", name::HOSTS, &asked)?;
            self.app.host(&operator, id).await
        };
        get.await
            .map(|view| Response::new(view.into()))
            .map_err(|error| status::of(&error))
    }
}
