//! `JoinTokenService`.

use stayhand_proto::{
    convert::{duration, name},
    v1::{
        CreateJoinTokenRequest, CreateJoinTokenResponse, JoinToken, ListJoinTokensRequest,
        ListJoinTokensResponse, RevokeJoinTokenRequest,
        join_token_service_server::JoinTokenService,
    },
    view::JoinTokenView,
};
use tonic::{Request, Response, Status};

use super::{Api, status};
use crate::{
    app::{CreateToken, CreatedToken},
    authz::Action,
    limits::JOIN_TOKEN_DEFAULT,
    store::StoredToken,
};

#[tonic::async_trait]
impl JoinTokenService for Api {
    async fn create_join_token(
        &self,
        request: Request<CreateJoinTokenRequest>,
    ) -> Result<Response<CreateJoinTokenResponse>, Status> {
        let operator = self.gate.operator(&request, Action::HostAdminister).await?;
        let CreateJoinTokenRequest {
            ttl,
            uses,
            host,
            replace,
        } = request.into_inner();
        let created = self.to_the_end(|app| async move {
            let ttl = match ttl {
                None => JOIN_TOKEN_DEFAULT,
                ttl => duration("ttl", ttl)?,
            };
            let ask = CreateToken {
                ttl,
                uses: uses.max(1),
                host: name::optional("host", name::HOSTS, &host)?,
                replaces: replace,
            };
            app.create_token(&operator, ask).await
        });
        let CreatedToken {
            stored,
            token,
            address,
        } = created.await?;
        Ok(Response::new(CreateJoinTokenResponse {
            token: Some(shown(stored)),
            secret: token.reveal(),
            address,
        }))
    }

    async fn list_join_tokens(
        &self,
        request: Request<ListJoinTokensRequest>,
    ) -> Result<Response<ListJoinTokensResponse>, Status> {
        let operator = self.gate.operator(&request, Action::HostList).await?;
        let ListJoinTokensRequest {} = request.into_inner();
        let listed = self.app.token_list(&operator).await;
        let tokens = listed.map_err(|error| status::of(&error))?;
        Ok(Response::new(ListJoinTokensResponse {
            tokens: tokens.into_iter().map(shown).collect(),
        }))
    }

    async fn revoke_join_token(
        &self,
        request: Request<RevokeJoinTokenRequest>,
    ) -> Result<Response<JoinToken>, Status> {
        let operator = self.gate.operator(&request, Action::HostAdminister).await?;
        let RevokeJoinTokenRequest { name: asked } = request.into_inner();
        let revoked = self.to_the_end(|app| async move {
            let id = name::parse("name", name::JOIN_TOKENS, &asked)?;
            app.revoke_token(&operator, id).await
        });
        Ok(Response::new(shown(revoked.await?)))
    }
}

fn shown(token: StoredToken) -> JoinToken {
    let StoredToken {
        id,
        digest: _,
        created_by,
        created,
        expires,
        uses_left,
        host,
        replaces,
        revoked,
        refused: _,
    } = token;
    JoinTokenView {
        id,
        created_by,
        created,
        expires,
        uses_left,
        host,
        replace: replaces,
        revoked,
    }
    .into()
}
