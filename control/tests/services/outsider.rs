//! Somebody at the other end of the network, who does what a test wants.

use stayhand_guardrail::id::HostId;
use stayhand_proto::v1::{
    CreateJoinTokenRequest, IssuedCertificate, JoinRequest, RecoverRequest,
    RenewCertificateRequest, host_certificate_service_client::HostCertificateServiceClient,
    join_service_client::JoinServiceClient,
};
use stayhand_transport::{
    Authorities, Credentials, DialError, Dialled, Dialling, JoinToken, Key, Occasion, Proof, dial,
    joining, member,
};
use tonic::{Status, transport::Channel};

use crate::world::World;

/// A control plane that serves the network.
pub(crate) async fn world() -> World {
    World::with(|config| config.network.listen = Some("127.0.0.1:0".parse().unwrap())).await
}

/// A token that an operator made.
pub(crate) async fn token(world: &World, ask: CreateJoinTokenRequest) -> JoinToken {
    let made = world.tokens().await.create_join_token(ask).await.unwrap();
    made.into_inner().secret.parse().unwrap()
}

/// A host before it joins.
pub(crate) struct Outsider {
    pub(crate) host: HostId,
    pub(crate) bound: Key,
}

/// A host that joined.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) authorities: Authorities,
    pub(crate) credentials: Credentials,
    pub(crate) revision: u64,
}

impl Outsider {
    pub(crate) fn new(host: &str) -> Self {
        Self {
            host: host.parse().unwrap(),
            bound: Key::generate().unwrap(),
        }
    }

    /// What it would send to join over this connection.
    pub(crate) fn ask(&self, token: &JoinToken, key: &Key, connection: &[u8; 32]) -> JoinRequest {
        let request = key.request().unwrap();
        let proof = Proof {
            occasion: Occasion::Join,
            connection,
            host: &self.host,
            request: &request,
        };
        JoinRequest {
            token: format!("joinTokens/{}", token.id),
            secret: token.secret.reveal().to_vec(),
            host: format!("hosts/{}", self.host),
            proof: proof.sign(&self.bound).unwrap(),
            certificate_request: request,
            bound_key: self.bound.public(),
        }
    }

    pub(crate) async fn join(&self, world: &World, token: &JoinToken) -> Result<Member, Status> {
        let dialled = reach(world, joining(token.pin).unwrap()).await.unwrap();
        let key = Key::generate().unwrap();
        let ask = self.ask(token, &key, &dialled.connection);
        let mut client = JoinServiceClient::new(dialled.channel);
        let joined = client.join(ask).await?.into_inner();
        Ok(Member::new(joined.issued.unwrap(), key))
    }

    pub(crate) async fn recover(&self, world: &World, token: &JoinToken) -> Result<Member, Status> {
        let dialled = reach(world, joining(token.pin).unwrap()).await.unwrap();
        let key = Key::generate().unwrap();
        let request = key.request().unwrap();
        let proof = Proof {
            occasion: Occasion::Recover,
            connection: &dialled.connection,
            host: &self.host,
            request: &request,
        };
        let ask = RecoverRequest {
            host: format!("hosts/{}", self.host),
            proof: proof.sign(&self.bound).unwrap(),
            certificate_request: request,
        };
        let mut client = JoinServiceClient::new(dialled.channel);
        let recovered = client.recover(ask).await?.into_inner();
        Ok(Member::new(recovered.issued.unwrap(), key))
    }
}

impl Member {
    fn new(issued: IssuedCertificate, key: Key) -> Self {
        Self {
            authorities: Authorities::new(issued.authorities).unwrap(),
            credentials: Credentials {
                certificate: issued.certificate,
                key,
            },
            revision: issued.authorities_revision,
        }
    }

    pub(crate) fn config(&self) -> Dialling {
        member(self.authorities.clone(), &self.credentials).unwrap()
    }

    pub(crate) async fn channel(&self, world: &World) -> Channel {
        reach(world, self.config()).await.unwrap().channel
    }

    pub(crate) async fn renew(&self, world: &World) -> Result<Self, Status> {
        let key = Key::generate().unwrap();
        let mut client = HostCertificateServiceClient::new(self.channel(world).await);
        let ask = RenewCertificateRequest {
            certificate_request: key.request().unwrap(),
        };
        let renewed = client.renew_certificate(ask).await?.into_inner();
        Ok(Self::new(renewed.issued.unwrap(), key))
    }
}

pub(crate) async fn reach(world: &World, config: Dialling) -> Result<Dialled, DialError> {
    dial(&world.network().to_string(), config).await
}
