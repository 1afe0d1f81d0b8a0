//! Sessions over the network, and tokens of programs.

use stayhand_guardrail::{
    id::{AccessTokenId, SessionId, UserName},
    time::DurationMs,
};
use stayhand_proto::{
    convert::{name, span},
    v1::{
        self, access_token_service_client::AccessTokenServiceClient,
        session_service_client::SessionServiceClient,
    },
};
use tonic::transport::Channel;

use super::{
    ANSWER_BYTES_MAX, Control, answer,
    sign_in::{generated, requested, session},
};
use crate::{
    failure::Failure,
    session_file::SessionFile,
    view::{AccessToken, NewAccessToken, Session},
};

/// Whose sessions are ended.
#[derive(Clone, Debug)]
pub(crate) enum Ending {
    /// One
    One(SessionId),
    /// Everything of somebody's, tokens included
    User(UserName),
}

impl Control {
    fn sessions(&self) -> SessionServiceClient<Channel> {
        SessionServiceClient::new(self.channel()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    fn access_tokens(&self) -> AccessTokenServiceClient<Channel> {
        AccessTokenServiceClient::new(self.channel()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    pub(crate) async fn list_sessions(
        &self,
        user: Option<&UserName>,
    ) -> Result<Vec<Session>, Failure> {
        let mut sessions = self.sessions();
        let user = user.map(ToString::to_string).unwrap_or_default();
        let call = sessions.list_sessions(v1::ListSessionsRequest { user });
        let listed = answer("list the sessions", self.patience(), call).await?;
        Ok(listed.sessions.into_iter().map(Session::of).collect())
    }

    /// Returns what was ended: sessions, and how many tokens.
    pub(crate) async fn revoke_sessions(
        &self,
        ending: Ending,
        reason: String,
    ) -> Result<(Vec<Session>, usize), Failure> {
        let (session, user) = match ending {
            Ending::One(id) => (name::session(id), String::new()),
            Ending::User(user) => (String::new(), user.into()),
        };
        let mut sessions = self.sessions();
        let call = sessions.revoke_sessions(v1::RevokeSessionsRequest {
            name: session,
            user,
            reason,
        });
        let ended = answer("end the session", self.patience(), call).await?;
        let tokens = ended.tokens.len();
        Ok((
            ended.sessions.into_iter().map(Session::of).collect(),
            tokens,
        ))
    }

    /// A certificate for the caller, for when nobody can sign in.
    pub(crate) async fn create_break_glass(
        &self,
        ttl: DurationMs,
        reason: String,
    ) -> Result<SessionFile, Failure> {
        let key = generated()?;
        let mut sessions = self.sessions();
        let call = sessions.create_break_glass(v1::CreateBreakGlassRequest {
            certificate_request: requested(&key)?,
            ttl: Some(span(ttl)),
            reason,
        });
        let made = answer("make the certificate", self.patience(), call).await?;
        session(made.opened, key, &made.address)
    }

    pub(crate) async fn create_access_token(
        &self,
        purpose: String,
        actions: Vec<String>,
        ttl: DurationMs,
    ) -> Result<NewAccessToken, Failure> {
        let mut tokens = self.access_tokens();
        let call = tokens.create_access_token(v1::CreateAccessTokenRequest {
            purpose,
            actions,
            ttl: Some(span(ttl)),
        });
        answer("make a token", self.patience(), call)
            .await
            .map(NewAccessToken::of)
    }

    pub(crate) async fn list_access_tokens(&self) -> Result<Vec<AccessToken>, Failure> {
        let mut tokens = self.access_tokens();
        let call = tokens.list_access_tokens(v1::ListAccessTokensRequest {});
        let listed = answer("list the tokens", self.patience(), call).await?;
        Ok(listed.tokens.into_iter().map(AccessToken::of).collect())
    }

    pub(crate) async fn revoke_access_token(&self, id: AccessTokenId) -> Result<(), Failure> {
        let mut tokens = self.access_tokens();
        let call = tokens.revoke_access_token(v1::RevokeAccessTokenRequest {
            name: name::access_token(id),
        });
        answer("take the token away", self.patience(), call)
            .await
            .map(|_| ())
    }
}
