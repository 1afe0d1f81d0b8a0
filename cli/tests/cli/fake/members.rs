//! Hosts, and the tokens with which they join.

use stayhand_proto::v1::{self, host_service_server as hosts, join_token_service_server as tokens};
use tonic::{Request, Response};

use super::{Answer, Service, unique};

#[tonic::async_trait]
impl hosts::HostService for Service {
    async fn list_hosts(&self, _: Request<v1::ListHostsRequest>) -> Answer<v1::ListHostsResponse> {
        let told = self.told("list hosts").await?;
        Ok(Response::new(v1::ListHostsResponse {
            hosts: told.hosts.clone(),
            next_page_token: String::new(),
        }))
    }

    async fn get_host(&self, request: Request<v1::GetHostRequest>) -> Answer<v1::Host> {
        let name = request.into_inner().name;
        let told = self.told(format!("get {name}")).await?;
        unique(&told.hosts, &name, |host| &host.name).map(Response::new)
    }

    async fn revoke_host(
        &self,
        request: Request<v1::RevokeHostRequest>,
    ) -> Answer<v1::RevokeHostResponse> {
        let v1::RevokeHostRequest { name, reason } = request.into_inner();
        let told = self.told(format!("revoke {name}: {reason}")).await?;
        let host = unique(&told.hosts, &name, |host| &host.name)?;
        Ok(Response::new(v1::RevokeHostResponse {
            membership: host.membership,
        }))
    }
}

#[tonic::async_trait]
impl tokens::JoinTokenService for Service {
    async fn create_join_token(
        &self,
        request: Request<v1::CreateJoinTokenRequest>,
    ) -> Answer<v1::CreateJoinTokenResponse> {
        let v1::CreateJoinTokenRequest {
            ttl,
            uses,
            host,
            replace,
        } = request.into_inner();
        let seconds = ttl.map_or(0, |ttl| ttl.seconds);
        let asked =
            format!("make a token: {seconds} s, {uses} uses, host `{host}`, replace {replace}");
        let told = self.told(asked).await?;
        let mut token = told.tokens.first().cloned().unwrap_or_default();
        (token.host, token.replace) = (host, replace);
        Ok(Response::new(v1::CreateJoinTokenResponse {
            token: Some(token),
            secret: "shj1.pin.id.secret".into(),
            address: "control.example:7443".into(),
        }))
    }

    async fn list_join_tokens(
        &self,
        _: Request<v1::ListJoinTokensRequest>,
    ) -> Answer<v1::ListJoinTokensResponse> {
        let told = self.told("list tokens").await?;
        Ok(Response::new(v1::ListJoinTokensResponse {
            tokens: told.tokens.clone(),
        }))
    }

    async fn revoke_join_token(
        &self,
        request: Request<v1::RevokeJoinTokenRequest>,
    ) -> Answer<v1::JoinToken> {
        let name = request.into_inner().name;
        let told = self.told(format!("revoke {name}")).await?;
        unique(&told.tokens, &name, |token| &token.name).map(Response::new)
    }
}
