//! `AccessTokenService`.

use stayhand_proto::{
    convert::{duration, name},
    v1::{
        AccessToken, CreateAccessTokenRequest, CreateAccessTokenResponse, ListAccessTokensRequest,
        ListAccessTokensResponse, RevokeAccessTokenRequest,
        access_token_service_server::AccessTokenService,
    },
    view::AccessTokenView,
};
use tonic::{Request, Response, Status};

use super::{Api, status};
use crate::{
    app::{CreateAccessToken, CreatedAccessToken, Error},
    authz::Action,
    store::StoredAccessToken,
};

#[tonic::async_trait]
impl AccessTokenService for Api {
    async fn create_access_token(
        &self,
        request: Request<CreateAccessTokenRequest>,
    ) -> Result<Response<CreateAccessTokenResponse>, Status> {
        let operator = self.gate.operator(&request, Action::TokenCreate).await?;
        let CreateAccessTokenRequest {
            purpose,
            actions,
            ttl,
        } = request.into_inner();
        let created = self.to_the_end(|app| async move {
            let ask = CreateAccessToken {
                purpose,
                actions: read(&actions)?,
                ttl: duration("ttl", ttl)?,
            };
            app.create_access_token(&operator, ask).await
        });
        let CreatedAccessToken {
            stored,
            token,
            address,
        } = created.await?;
        Ok(Response::new(CreateAccessTokenResponse {
            token: Some(shown(stored)),
            secret: token.reveal(),
            address,
        }))
    }

    async fn list_access_tokens(
        &self,
        request: Request<ListAccessTokensRequest>,
    ) -> Result<Response<ListAccessTokensResponse>, Status> {
        let operator = self.gate.operator(&request, Action::TokenList).await?;
        let ListAccessTokensRequest {} = request.into_inner();
        let listed = self.app.access_token_list(&operator).await;
        let tokens = listed.map_err(|error| status::of(&error))?;
        Ok(Response::new(ListAccessTokensResponse {
            tokens: tokens.into_iter().map(shown).collect(),
        }))
    }

    async fn revoke_access_token(
        &self,
        request: Request<RevokeAccessTokenRequest>,
    ) -> Result<Response<AccessToken>, Status> {
        let operator = self.gate.operator(&request, Action::TokenRevoke).await?;
        let RevokeAccessTokenRequest { name: asked } = request.into_inner();
        let revoked = self.to_the_end(|app| async move {
            let id = name::parse("name", name::ACCESS_TOKENS, &asked)?;
            app.revoke_access_token(&operator, id).await
        });
        Ok(Response::new(shown(revoked.await?)))
    }
}

/// Actions, and `read` for all that only show something: written out, so that a later action is not in an older token.
fn read(words: &[String]) -> Result<Vec<Action>, Error> {
    let mut actions = vec![];
    for word in words {
        if word == Action::READ {
            actions.extend(Action::reads());
            continue;
        }
        let action = Action::from_word(word).ok_or_else(|| {
            let word = stayhand_guardrail::text::safe_cut(word.as_bytes(), 64);
            let known = Action::ALL.map(Action::as_str).join(", ");
            let problem = format!("`{word}` is no action; there are {}, {known}", Action::READ);
            Error::field("actions", problem)
        })?;
        actions.push(action);
    }
    Ok(actions)
}

fn shown(token: StoredAccessToken) -> AccessToken {
    let StoredAccessToken {
        id,
        digest: _,
        purpose,
        user,
        actions,
        created,
        expires,
        used,
        revoked,
        refused: _,
    } = token;
    AccessTokenView {
        id,
        purpose,
        user,
        actions: actions.iter().map(ToString::to_string).collect(),
        created,
        expires,
        used,
        revoked,
    }
    .into()
}
