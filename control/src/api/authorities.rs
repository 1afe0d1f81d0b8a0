//! `AuthorityService`.

use stayhand_guardrail::id::HostId;
use stayhand_proto::{
    convert::{name, timestamp},
    v1::{
        Authority, ListAuthoritiesRequest, ListAuthoritiesResponse, RetireAuthorityRequest,
        RetireAuthorityResponse, RotateAuthorityRequest,
        authority_service_server::AuthorityService,
    },
};
use tonic::{Request, Response, Status};

use super::{Api, status};
use crate::{app::SeenAuthority, authz::Action};

/// Hosts that an answer names; of more it says how many.
const NAMED_MAX: usize = 20;

#[tonic::async_trait]
impl AuthorityService for Api {
    async fn list_authorities(
        &self,
        request: Request<ListAuthoritiesRequest>,
    ) -> Result<Response<ListAuthoritiesResponse>, Status> {
        let operator = self.gate.operator(&request, Action::HostList).await?;
        let ListAuthoritiesRequest {} = request.into_inner();
        let listed = self.app.authority_list(&operator).await;
        let authorities = listed.map_err(|error| status::of(&error))?;
        Ok(Response::new(ListAuthoritiesResponse {
            authorities: authorities.into_iter().map(shown).collect(),
        }))
    }

    async fn rotate_authority(
        &self,
        request: Request<RotateAuthorityRequest>,
    ) -> Result<Response<Authority>, Status> {
        let operator = self.gate.operator(&request, Action::HostAdminister).await?;
        let RotateAuthorityRequest { reason } = request.into_inner();
        let made =
            self.to_the_end(|app| async move { app.rotate_authority(&operator, reason).await });
        Ok(Response::new(shown(made.await?)))
    }

    async fn retire_authority(
        &self,
        request: Request<RetireAuthorityRequest>,
    ) -> Result<Response<RetireAuthorityResponse>, Status> {
        let operator = self.gate.operator(&request, Action::HostAdminister).await?;
        let RetireAuthorityRequest {
            name: asked,
            reason,
        } = request.into_inner();
        let retired = self.to_the_end(|app| async move {
            let number = name::parse("name", name::AUTHORITIES, &asked)?;
            app.retire_authority(&operator, number, reason).await
        });
        let (cut_off, cut_off_count) = named(&retired.await?);
        Ok(Response::new(RetireAuthorityResponse {
            cut_off,
            cut_off_count,
        }))
    }
}

fn named(hosts: &[HostId]) -> (Vec<String>, u32) {
    let named = hosts.iter().take(NAMED_MAX).map(name::host);
    (
        named.collect(),
        u32::try_from(hosts.len()).unwrap_or(u32::MAX),
    )
}

fn shown(seen: SeenAuthority) -> Authority {
    let SeenAuthority {
        number,
        pin,
        issues,
        created,
        expires,
        behind,
        hosts,
    } = seen;
    let (behind, behind_count) = named(&behind);
    Authority {
        name: name::authority(number),
        pin: pin.to_string(),
        issues,
        create_time: Some(timestamp(created)),
        expire_time: Some(timestamp(expires)),
        behind,
        behind_count,
        hosts: u32::try_from(hosts).unwrap_or(u32::MAX),
    }
}
