//! `IdentityService`.

use stayhand_proto::{
    convert::{name, timestamp},
    v1::{
        GetIdentityRequest, GetIdentityResponse, Right, identity_service_server::IdentityService,
    },
};
use tonic::{Request, Response, Status};

use super::{Api, status};
use crate::authz::{Action, Caller, May};

#[tonic::async_trait]
impl IdentityService for Api {
    async fn get_identity(
        &self,
        request: Request<GetIdentityRequest>,
    ) -> Result<Response<GetIdentityResponse>, Status> {
        let operator = self.gate.operator(&request, Action::IdentityRead).await?;
        let GetIdentityRequest {} = request.into_inner();
        let identity = self.app.identity(&operator);
        let (caller, rights) = identity.map_err(|error| status::of(&error))?;
        let session = operator.session();
        let Caller {
            user,
            groups,
            is_operator,
            is_guarded: _,
            transport,
            scope,
        } = caller;
        Ok(Response::new(GetIdentityResponse {
            user: user.into(),
            groups: groups.into_iter().map(Into::into).collect(),
            transport: transport.as_str().to_owned(),
            is_operator,
            rights: rights.into_iter().map(right).collect(),
            session: session.map(|(id, _)| name::session(id)).unwrap_or_default(),
            expire_time: session.map(|(_, expires)| timestamp(expires)),
            token_purpose: scope.map(|scope| scope.purpose).unwrap_or_default(),
        }))
    }
}

fn right(may: May) -> Right {
    let May {
        action,
        rules,
        depends,
    } = may;
    Right {
        action: action.to_string(),
        rules,
        depends,
    }
}
