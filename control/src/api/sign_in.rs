//! `SignInService`: how people and programs come to have certificates.

use std::sync::Arc;

use stayhand_proto::{
    convert::{name, span},
    v1::{
        BeginDeviceSignInRequest, BeginDeviceSignInResponse, BeginSignInRequest,
        BeginSignInResponse, ExchangeTokenRequest, ExchangeTokenResponse, FinishSignInRequest,
        FinishSignInResponse, OpenedSession, PollDeviceSignInRequest, PollDeviceSignInResponse,
        sign_in_service_server::SignInService,
    },
};
use stayhand_transport::Secret;
use tonic::{Request, Response, Status};

use super::{Api, sessions::shown};
use crate::{
    app::{NoToken, Opened},
    identity::Visitor,
    oidc::{Begun, Code, Finish},
};

#[tonic::async_trait]
impl SignInService for Api {
    async fn begin_sign_in(
        &self,
        request: Request<BeginSignInRequest>,
    ) -> Result<Response<BeginSignInResponse>, Status> {
        let visitor = visitor(&request)?;
        let BeginSignInRequest {
            redirect_uri,
            code_challenge,
        } = request.into_inner();
        let begun = self.to_the_end(|app| async move {
            let from = visitor.address.ip().to_canonical();
            app.begin_sign_in(&redirect_uri, &code_challenge, from)
                .await
        });
        let Begun {
            sign_in,
            authorization_uri,
            state,
        } = begun.await?;
        Ok(Response::new(BeginSignInResponse {
            sign_in,
            authorization_uri,
            state,
        }))
    }

    async fn finish_sign_in(
        &self,
        request: Request<FinishSignInRequest>,
    ) -> Result<Response<FinishSignInResponse>, Status> {
        let visitor = visitor(&request)?;
        let FinishSignInRequest {
            sign_in,
            code,
            code_verifier,
            certificate_request,
        } = request.into_inner();
        let finish = Finish {
            sign_in,
            code,
            code_verifier,
        };
        let opened = self.to_the_end(|app| async move {
            let address = visitor.address.to_string();
            app.finish_sign_in(finish, &certificate_request, address)
                .await
        });
        Ok(Response::new(FinishSignInResponse {
            opened: Some(opened_session(opened.await?)),
        }))
    }

    async fn begin_device_sign_in(
        &self,
        request: Request<BeginDeviceSignInRequest>,
    ) -> Result<Response<BeginDeviceSignInResponse>, Status> {
        let visitor = visitor(&request)?;
        let begun = self.to_the_end(|app| async move {
            let from = visitor.address.ip().to_canonical();
            app.begin_device_sign_in(from).await
        });
        let Code {
            sign_in,
            verification_uri,
            user_code,
            lifetime,
            poll_interval,
        } = begun.await?;
        Ok(Response::new(BeginDeviceSignInResponse {
            sign_in,
            verification_uri,
            user_code,
            lifetime: Some(span(lifetime)),
            poll_interval: Some(span(poll_interval)),
        }))
    }

    async fn poll_device_sign_in(
        &self,
        request: Request<PollDeviceSignInRequest>,
    ) -> Result<Response<PollDeviceSignInResponse>, Status> {
        let visitor = visitor(&request)?;
        let PollDeviceSignInRequest {
            sign_in,
            certificate_request,
        } = request.into_inner();
        let opened = self.to_the_end(|app| async move {
            let address = visitor.address.to_string();
            app.poll_device_sign_in(&sign_in, &certificate_request, address)
                .await
        });
        Ok(Response::new(PollDeviceSignInResponse {
            opened: opened.await?.map(opened_session),
        }))
    }

    async fn exchange_token(
        &self,
        request: Request<ExchangeTokenRequest>,
    ) -> Result<Response<ExchangeTokenResponse>, Status> {
        let visitor = visitor(&request)?;
        let ExchangeTokenRequest {
            token,
            secret,
            certificate_request,
        } = request.into_inner();
        let opened = self.to_the_end(|app| async move {
            let id = name::parse("token", name::ACCESS_TOKENS, &token)?;
            let secret = Secret::from_slice(&secret).ok_or(NoToken::NotKnown)?;
            let address = visitor.address.to_string();
            app.exchange_token(id, &secret, &certificate_request, address)
                .await
        });
        Ok(Response::new(ExchangeTokenResponse {
            opened: Some(opened_session(opened.await?)),
        }))
    }
}

/// Who wants to sign in: only the listener that is for that says so.
fn visitor<T>(request: &Request<T>) -> Result<Arc<Visitor>, Status> {
    let visitor = request.extensions().get::<Arc<Visitor>>();
    visitor.cloned().ok_or_else(|| {
        Status::unauthenticated("signing in is only possible over the connection that is for it")
    })
}

/// As its owner gets it.
pub(super) fn opened_session(opened: Opened) -> OpenedSession {
    let Opened {
        session,
        certificate,
        authorities,
    } = opened;
    OpenedSession {
        session: Some(shown(session)),
        certificate,
        authorities,
    }
}
