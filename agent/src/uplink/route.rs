//! How the control plane is reached: over the socket of this machine, or over the network where this host has joined. Looked up
//! for every connection, so that a host that joins while its agent runs is served without a restart.

use std::{io, path::PathBuf, time::Duration};

use hyper_util::rt::TokioIo;
use stayhand_guardrail::id::HostId;
use stayhand_transport::{dial, member};
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};

use super::UplinkError;
use crate::membership::{IdentityFile, Member};

/// Where to look.
pub struct Route {
    /// The control plane's socket for agents
    pub socket: PathBuf,
    /// Uid that may serve it besides root
    pub server_uid: Option<u32>,
    /// Where it is written that this host has joined
    pub membership: IdentityFile,
    /// Where the control plane is, whatever is written there
    pub address: Option<String>,
    /// Under which name this host reports
    pub host: HostId,
}

/// A connection, with what was shown for it.
pub(super) struct Connected {
    pub(super) channel: Channel,
    pub(super) member: Option<Member>,
}

impl Route {
    /// What this host has, where it has joined.
    pub(super) fn member(&self) -> Result<Option<Member>, UplinkError> {
        let Some(mut member) = self.membership.member()? else {
            return Ok(None);
        };
        if member.host != self.host {
            return Err(UplinkError::OtherName {
                joined: member.host,
                now: self.host.clone(),
            });
        }
        if let Some(address) = &self.address {
            member.address.clone_from(address);
        }
        Ok(Some(member))
    }

    pub(super) async fn connect(&self) -> Result<Connected, UplinkError> {
        let Some(member) = self.member()? else {
            let channel = over_socket(self.socket.clone(), self.server_uid).await?;
            return Ok(Connected {
                channel,
                member: None,
            });
        };
        let config = self::member(member.authorities.clone(), &member.credentials);
        let config = config.map_err(|error| UplinkError::Tls(error.to_string()))?;
        let dialled = dial(&member.address, config).await?;
        Ok(Connected {
            channel: dialled.channel,
            member: Some(member),
        })
    }
}

/// Connects and looks who serves: desired state is only taken from root, or from whom the configuration names.
async fn over_socket(
    socket: PathBuf,
    server_uid: Option<u32>,
) -> Result<Channel, tonic::transport::Error> {
    let connector = tower::service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move {
            let stream = UnixStream::connect(socket).await?;
            let uid = stream.peer_cred()?.uid();
            let own = nix::unistd::geteuid().as_raw();
            if uid != 0 && uid != own && Some(uid) != server_uid {
                return Err(io::Error::other(format!(
                    "the socket is served by uid {uid}, which is not trusted"
                )));
            }
            Ok(TokioIo::new(stream))
        }
    });
    // The authority is never resolved; HTTP/2 wants one.
    Endpoint::from_static("http://control.stayhand.invalid")
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10))
        .keep_alive_while_idle(true)
        .connect_with_connector(connector)
        .await
}
