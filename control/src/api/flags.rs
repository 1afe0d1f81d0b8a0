//! `FlagService`.

use stayhand_proto::{
    convert::{duration, name, timestamp},
    v1::{
        ClearFlagRequest, ClearFlagResponse, Flag, ListFlagsRequest, ListFlagsResponse,
        SetFlagRequest, flag_service_server::FlagService,
    },
};
use tonic::{Request, Response, Status};

use super::{Api, status};
use crate::{app::Error, authz::Action, store::StoredFlag};

#[tonic::async_trait]
impl FlagService for Api {
    async fn set_flag(&self, request: Request<SetFlagRequest>) -> Result<Response<Flag>, Status> {
        let operator = self.gate.operator(&request, Action::FlagSet).await?;
        let SetFlagRequest {
            name: asked,
            ttl,
            reason,
        } = request.into_inner();
        let set = self.to_the_end(|app| async move {
            let name = name::parse("name", name::FLAGS, &asked)?;
            let ttl = duration("ttl", ttl)?;
            app.set_flag(&operator, name, ttl, reason).await
        });
        Ok(Response::new(shown(set.await?)))
    }

    async fn clear_flag(
        &self,
        request: Request<ClearFlagRequest>,
    ) -> Result<Response<ClearFlagResponse>, Status> {
        let operator = self.gate.operator(&request, Action::FlagClear).await?;
        let ClearFlagRequest {
            name: asked,
            reason,
        } = request.into_inner();
        let cleared = self.to_the_end(|app| async move {
            let name = name::parse("name", name::FLAGS, &asked)?;
            app.clear_flag(&operator, name, reason).await
        });
        cleared.await?;
        Ok(Response::new(ClearFlagResponse {}))
    }

    async fn list_flags(
        &self,
        request: Request<ListFlagsRequest>,
    ) -> Result<Response<ListFlagsResponse>, Status> {
        let operator = self.gate.operator(&request, Action::FlagList).await?;
        let ListFlagsRequest {} = request.into_inner();
        let listed = self.app.flag_list(&operator).await;
        let flags = listed.map_err(|error: Error| status::of(&error))?;
        Ok(Response::new(ListFlagsResponse {
            flags: flags.into_iter().map(shown).collect(),
        }))
    }
}

fn shown(flag: StoredFlag) -> Flag {
    let StoredFlag {
        name: flag,
        until,
        set_by,
        reason,
        set_time,
    } = flag;
    Flag {
        name: name::flag(&flag),
        until_time: Some(timestamp(until)),
        set_by: set_by.into(),
        reason,
        set_time: Some(timestamp(set_time)),
    }
}
