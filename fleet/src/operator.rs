//! Somebody at the operators' socket.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use hyper_util::rt::TokioIo;
use stayhand_guardrail::id::GrantId;
use stayhand_proto::{
    convert::name,
    v1::{
        ApplyPolicyRequest, CreateGrantRequest, CreateJoinTokenRequest, EnforcementPhase,
        GetIdentityRequest, Grant, RevokeGrantRequest, WatchGrantRequest,
        grant_service_client::GrantServiceClient, identity_service_client::IdentityServiceClient,
        join_token_service_client::JoinTokenServiceClient,
        policy_service_client::PolicyServiceClient,
    },
};
use stayhand_transport::JoinToken;
use tokio::net::UnixStream;
use tonic::{
    Streaming,
    transport::{Channel, Endpoint, Uri},
};

/// Who is guarded and gets grants: a user that every system has, who is never the operator.
const GUARDED: &str = "nobody";
/// What hosts are told to enforce.
const POLICY: &str = include_str!("../policy.yaml");
/// Bytes of an answer: a grant names every host that it is for.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Hosts that one token lets in, the most that there may be.
const TOKEN_USES: u32 = 1_000;
/// How long grants and tokens are good, which is longer than one size takes.
const TTL: Duration = Duration::from_hours(8);

/// An operator who is connected.
pub(crate) struct Operator {
    channel: Channel,
}

/// A change that somebody asked for.
pub(crate) struct Asked {
    /// Of which grant
    pub(crate) grant: GrantId,
    /// When the request went out, which is before the commit
    pub(crate) at: Instant,
    /// When the answer came, which is after it
    pub(crate) answered: Instant,
}

impl Operator {
    /// Connects and asks something, so that whoever returns is served.
    pub(crate) async fn connect(socket: PathBuf) -> Result<Self> {
        let connector = tower::service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        // The name is never resolved; HTTP/2 wants one.
        let endpoint = Endpoint::from_static("http://control.stayhand.invalid");
        let channel = endpoint.connect_with_connector(connector).await?;
        let mut identity = IdentityServiceClient::new(channel.clone());
        identity.get_identity(GetIdentityRequest {}).await?;
        Ok(Self { channel })
    }

    pub(crate) async fn apply_policy(&self) -> Result<()> {
        let request = ApplyPolicyRequest {
            source: POLICY.to_owned(),
            ..Default::default()
        };
        let mut policies = PolicyServiceClient::new(self.channel.clone());
        policies.apply_policy(request).await?;
        Ok(())
    }

    /// Tokens that let so many hosts in, each with how many it is for.
    pub(crate) async fn tokens(&self, hosts: u32) -> Result<Vec<(JoinToken, u32)>> {
        let mut client = JoinTokenServiceClient::new(self.channel.clone());
        let (mut tokens, mut left) = (vec![], hosts);
        while left > 0 {
            let uses = left.min(TOKEN_USES);
            let request = CreateJoinTokenRequest {
                ttl: Some(span()?),
                uses,
                ..Default::default()
            };
            let made = client.create_join_token(request).await?.into_inner();
            tokens.push((made.secret.parse()?, uses));
            left -= uses;
        }
        Ok(tokens)
    }

    /// Grants to the guarded user, on these hosts or on all.
    pub(crate) async fn grant(&self, hosts: Vec<String>) -> Result<Asked> {
        let request = CreateGrantRequest {
            user: GUARDED.to_owned(),
            permissions: vec!["db".to_owned()],
            ttl: Some(span()?),
            reason: "measured".to_owned(),
            hosts,
            ..Default::default()
        };
        let mut grants = self.grants();
        let at = Instant::now();
        let made = grants.create_grant(request).await?.into_inner();
        Ok(Asked {
            grant: name::parse("name", name::GRANTS, &made.name)?,
            at,
            answered: Instant::now(),
        })
    }

    pub(crate) async fn revoke(&self, grant: GrantId) -> Result<Asked> {
        let request = RevokeGrantRequest {
            name: name::grant(grant),
            reason: "measured".to_owned(),
            etag: String::new(),
        };
        let mut grants = self.grants();
        let at = Instant::now();
        grants.revoke_grant(request).await?;
        Ok(Asked {
            grant,
            at,
            answered: Instant::now(),
        })
    }

    /// Waits until the control plane counts a grant, or its end, as enforced on so many hosts that are online.
    pub(crate) async fn counted(&self, grant: GrantId, hosts: usize) -> Result<Instant> {
        let request = WatchGrantRequest {
            name: name::grant(grant),
        };
        let mut stream: Streaming<Grant> = self.grants().watch_grant(request).await?.into_inner();
        loop {
            let seen = stream.message().await?.context("the watch ended")?;
            let enforced = i32::from(EnforcementPhase::Enforced);
            let on = seen.enforcement.iter();
            let enforced = on.filter(|on| on.online && on.phase == enforced);
            if enforced.count() >= hosts {
                return Ok(Instant::now());
            }
        }
    }

    fn grants(&self) -> GrantServiceClient<Channel> {
        GrantServiceClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }
}

fn span() -> Result<prost_types::Duration> {
    Ok(TTL.try_into()?)
}
