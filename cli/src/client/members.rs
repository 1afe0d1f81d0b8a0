//! Hosts that join and leave.

use stayhand_guardrail::{id::JoinTokenId, time::DurationMs};
use stayhand_proto::{
    convert::span,
    v1::{
        self, authority_service_client::AuthorityServiceClient,
        join_token_service_client::JoinTokenServiceClient,
    },
};
use tonic::transport::Channel;

use super::{ANSWER_BYTES_MAX, Control, answer};
use crate::{
    failure::Failure,
    view::{self, Authority, Token},
};

/// What a token is made from.
#[derive(Clone, Debug)]
pub(crate) struct NewToken {
    pub(crate) ttl: DurationMs,
    pub(crate) uses: u32,
    pub(crate) host: Option<String>,
    pub(crate) replace: bool,
}

impl Control {
    fn tokens(&self) -> JoinTokenServiceClient<Channel> {
        JoinTokenServiceClient::new(self.channel()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    pub(crate) async fn create_token(&self, ask: NewToken) -> Result<view::NewToken, Failure> {
        let NewToken {
            ttl,
            uses,
            host,
            replace,
        } = ask;
        let request = v1::CreateJoinTokenRequest {
            ttl: Some(span(ttl)),
            uses,
            host: host.map(|host| format!("hosts/{host}")).unwrap_or_default(),
            replace,
        };
        let mut tokens = self.tokens();
        let call = tokens.create_join_token(request);
        answer("make a join token", self.patience(), call)
            .await
            .map(view::NewToken::of)
    }

    pub(crate) async fn list_tokens(&self) -> Result<Vec<Token>, Failure> {
        let mut tokens = self.tokens();
        let call = tokens.list_join_tokens(v1::ListJoinTokensRequest {});
        let listed = answer("list the join tokens", self.patience(), call).await?;
        Ok(listed.tokens.into_iter().map(Token::of).collect())
    }

    pub(crate) async fn revoke_token(&self, id: JoinTokenId) -> Result<(), Failure> {
        let mut tokens = self.tokens();
        let call = tokens.revoke_join_token(v1::RevokeJoinTokenRequest {
            name: format!("joinTokens/{id}"),
        });
        answer("take the join token away", self.patience(), call)
            .await
            .map(|_| ())
    }

    fn authorities(&self) -> AuthorityServiceClient<Channel> {
        AuthorityServiceClient::new(self.channel()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    pub(crate) async fn list_authorities(&self) -> Result<Vec<Authority>, Failure> {
        let mut authorities = self.authorities();
        let call = authorities.list_authorities(v1::ListAuthoritiesRequest {});
        let listed = answer("list the authorities", self.patience(), call).await?;
        Ok(listed.authorities.into_iter().map(Authority::of).collect())
    }

    pub(crate) async fn rotate_authority(&self, reason: String) -> Result<Authority, Failure> {
        let mut authorities = self.authorities();
        let call = authorities.rotate_authority(v1::RotateAuthorityRequest { reason });
        answer("make another authority", self.patience(), call)
            .await
            .map(Authority::of)
    }

    /// Returns the hosts that are cut off, as far as they are named, and how many they are.
    pub(crate) async fn retire_authority(
        &self,
        number: u32,
        reason: String,
    ) -> Result<(Vec<String>, u32), Failure> {
        let mut authorities = self.authorities();
        let call = authorities.retire_authority(v1::RetireAuthorityRequest {
            name: format!("authorities/{number}"),
            reason,
        });
        let retired = answer("end the authority", self.patience(), call).await?;
        let bare = |name: &String| name.trim_start_matches("hosts/").to_owned();
        let named = retired.cut_off.iter().map(bare).collect();
        Ok((named, retired.cut_off_count))
    }

    /// Takes the certificates of a host away.
    pub(crate) async fn revoke_host(&self, host: &str, reason: String) -> Result<(), Failure> {
        let mut hosts = self.hosts();
        let call = hosts.revoke_host(v1::RevokeHostRequest {
            name: format!("hosts/{host}"),
            reason,
        });
        answer("revoke the host", self.patience(), call)
            .await
            .map(|_| ())
    }
}
