//! Asks the control plane for certificates: the first one, the next one, and one after the last one was over.

use stayhand_guardrail::{id::HostId, text::safe_cut, time::UnixMs};
use stayhand_proto::{
    convert::name,
    failure::Failure,
    v1::{
        JoinRequest, RecoverRequest, RenewCertificateRequest,
        host_certificate_service_client::HostCertificateServiceClient,
        join_service_client::JoinServiceClient,
    },
};
use stayhand_transport::{
    DialError, Dialled, JoinToken, Key, KeyError, Occasion, Proof, dial, joining, recovering,
};
use tonic::{Status, transport::Channel};

use super::{Issued, Member, NotTaken};

/// Characters of what the control plane says.
const SAID_CHARS_MAX: usize = 600;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The control plane cannot be reached, or is somebody else.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// It refuses.
    #[error("{}", said(.0))]
    Refused(Box<Status>),
    /// A key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// What it issued.
    #[error(transparent)]
    NotTaken(#[from] NotTaken),
    /// The library.
    #[error("TLS: {0}")]
    Tls(String),
}

impl From<Status> for AskError {
    fn from(status: Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

fn said(status: &Status) -> String {
    let Failure {
        message, remedy, ..
    } = Failure::from(status);
    let message = safe_cut(message.as_bytes(), SAID_CHARS_MAX);
    match safe_cut(remedy.as_bytes(), SAID_CHARS_MAX) {
        remedy if remedy.is_empty() => message,
        remedy => format!("{message}; {remedy}"),
    }
}

/// Joins with a token.
pub(super) async fn first(
    address: &str,
    token: &JoinToken,
    host: &HostId,
    bound: &Key,
    now: UnixMs,
) -> Result<(Issued, Key), AskError> {
    let config = joining(token.pin).map_err(|error| AskError::Tls(error.to_string()))?;
    let Dialled {
        channel,
        connection,
    } = dial(address, config).await?;
    let key = Key::generate()?;
    let request = key.request()?;
    let proof = Proof {
        occasion: Occasion::Join,
        connection: &connection,
        host,
        request: &request,
    };
    let ask = JoinRequest {
        token: name::join_token(token.id),
        secret: token.secret.reveal().to_vec(),
        host: name::host(host),
        proof: proof.sign(bound)?,
        bound_key: bound.public(),
        certificate_request: request,
    };
    let joined = JoinServiceClient::new(channel).join(ask).await?;
    let issued = Issued::read(joined.into_inner().issued, host, now, rand::random())?;
    Ok((issued, key))
}

impl Member {
    /// Gets another certificate, over a connection that shows the one that it has.
    pub(crate) async fn renewed(self, channel: Channel, now: UnixMs) -> Result<Self, AskError> {
        let key = Key::generate()?;
        let ask = RenewCertificateRequest {
            certificate_request: key.request()?,
        };
        let mut client = HostCertificateServiceClient::new(channel);
        let renewed = client.renew_certificate(ask).await?.into_inner();
        let issued = Issued::read(renewed.issued, &self.host, now, rand::random())?;
        Ok(self.with(issued, key))
    }

    /// Gets one by the key to which the host is bound, because the one that it has does not count any more.
    pub(crate) async fn recovered(self, now: UnixMs) -> Result<Self, AskError> {
        let config = recovering(self.authorities.clone());
        let config = config.map_err(|error| AskError::Tls(error.to_string()))?;
        let Dialled {
            channel,
            connection,
        } = dial(&self.address, config).await?;
        let key = Key::generate()?;
        let request = key.request()?;
        let proof = Proof {
            occasion: Occasion::Recover,
            connection: &connection,
            host: &self.host,
            request: &request,
        };
        let ask = RecoverRequest {
            host: name::host(&self.host),
            proof: proof.sign(&self.bound)?,
            certificate_request: request,
        };
        let recovered = JoinServiceClient::new(channel).recover(ask).await?;
        let issued = Issued::read(
            recovered.into_inner().issued,
            &self.host,
            now,
            rand::random(),
        )?;
        Ok(self.with(issued, key))
    }
}
