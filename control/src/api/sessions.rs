//! `SessionService`.

use stayhand_proto::{
    convert::{duration, name},
    v1::{
        CreateBreakGlassRequest, CreateBreakGlassResponse, ListSessionsRequest,
        ListSessionsResponse, RevokeSessionsRequest, RevokeSessionsResponse, Session,
        session_service_server::SessionService,
    },
    view::SessionView,
};
use tonic::{Request, Response, Status};

use super::{Api, sign_in::opened_session, status};
use crate::{
    app::{Ended, Error},
    authz::Action,
    store::{StoredSession, Whose},
};

#[tonic::async_trait]
impl SessionService for Api {
    async fn list_sessions(
        &self,
        request: Request<ListSessionsRequest>,
    ) -> Result<Response<ListSessionsResponse>, Status> {
        let operator = self.gate.operator(&request, Action::SessionList).await?;
        let ListSessionsRequest { user } = request.into_inner();
        let listed = match optional_user(&user) {
            Ok(user) => self.app.session_list(&operator, user).await,
            Err(error) => Err(error),
        };
        let sessions = listed.map_err(|error| status::of(&error))?;
        Ok(Response::new(ListSessionsResponse {
            sessions: sessions.into_iter().map(shown).collect(),
        }))
    }

    async fn revoke_sessions(
        &self,
        request: Request<RevokeSessionsRequest>,
    ) -> Result<Response<RevokeSessionsResponse>, Status> {
        let operator = self.gate.operator(&request, Action::SessionRevoke).await?;
        let RevokeSessionsRequest {
            name: session,
            user,
            reason,
        } = request.into_inner();
        let ended = self.to_the_end(|app| async move {
            let session = name::optional("name", name::SESSIONS, &session)?;
            let whose = match (session, optional_user(&user)?) {
                (Some(id), None) => Whose::One(id),
                (None, Some(user)) => Whose::User(user),
                (None, None) | (Some(_), Some(_)) => {
                    let problem = "name one session, or one person";
                    return Err(Error::field("name", problem));
                }
            };
            app.revoke_sessions(&operator, whose, reason).await
        });
        let Ended { sessions, tokens } = ended.await?;
        Ok(Response::new(RevokeSessionsResponse {
            sessions: sessions.into_iter().map(shown).collect(),
            tokens: tokens.into_iter().map(name::access_token).collect(),
        }))
    }

    async fn create_break_glass(
        &self,
        request: Request<CreateBreakGlassRequest>,
    ) -> Result<Response<CreateBreakGlassResponse>, Status> {
        let operator = self
            .gate
            .operator(&request, Action::BreakGlassCreate)
            .await?;
        let CreateBreakGlassRequest {
            certificate_request,
            ttl,
            reason,
        } = request.into_inner();
        let made = self.to_the_end(|app| async move {
            let ttl = duration("ttl", ttl)?;
            app.create_break_glass(&operator, &certificate_request, ttl, reason)
                .await
        });
        let (opened, address) = made.await?;
        Ok(Response::new(CreateBreakGlassResponse {
            opened: Some(opened_session(opened)),
            address,
        }))
    }
}

fn optional_user(text: &str) -> Result<Option<stayhand_guardrail::id::UserName>, Error> {
    let given = Some(text).filter(|text| !text.is_empty());
    let user = given.map(str::parse).transpose();
    user.map_err(|problem| Error::field("user", problem))
}

pub(super) fn shown(session: StoredSession) -> Session {
    let StoredSession {
        id,
        serial: _,
        digest: _,
        authority: _,
        user,
        door,
        subject,
        token,
        address,
        created,
        expires,
        used,
        revoked: _,
    } = session;
    SessionView {
        id,
        user,
        door,
        subject,
        token,
        created,
        expires,
        used,
        address,
    }
    .into()
}
