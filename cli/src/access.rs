//! Through which door this program comes: the socket of this machine, a session of somebody who signed in, or a token.
//!
//! Which one is settled before anybody is asked, and never by what somebody answers.

use std::path::{Path, PathBuf};

use stayhand_guardrail::text::safe;
use stayhand_transport::{AccessToken, DialError, dial_again, operator, private_file};
use tonic::transport::Channel;

use crate::{
    args::{Global, SOCKET_DEFAULT, Server},
    client::sign_in,
    failure::{Failure, Kind},
    session_file::{self, SessionFile},
    time::now,
};

/// One of them.
#[derive(Debug)]
pub(crate) enum Access {
    /// The kernel says who this is
    Socket(PathBuf),
    /// A certificate does
    Session(Box<SessionFile>),
    /// A token says for whom this program acts
    Token(Box<AccessToken>, String),
}

impl Access {
    /// What the options and this machine say.
    pub(crate) fn of(global: &Global) -> Result<Self, Failure> {
        if let Some(file) = &global.token_file {
            let address = match &global.server {
                Some(Server::Network(address)) => address.clone(),
                Some(Server::Socket(_)) | None => {
                    let error = "a token is for a control plane over the network";
                    let hint = "name it: --server NAME:PORT, or STAYHAND_SERVER";
                    return Err(Failure::general(error).hint(hint));
                }
            };
            return Ok(Self::Token(Box::new(token(file)?), address));
        }
        if let Some(Server::Socket(path)) = &global.server {
            return Ok(Self::Socket(path.clone()));
        }
        let session = match &global.session_file {
            Some(path) => {
                let session = SessionFile::read(path)?;
                Some(session.ok_or_else(|| {
                    Failure::general(format!("there is no session `{}`", path.display()))
                })?)
            }
            None => match session_file::usual_place() {
                Some(path) => SessionFile::read(&path)?,
                None => None,
            },
        };
        match (session, &global.server) {
            (Some(mut session), server) => {
                if let Some(Server::Network(address)) = server {
                    session.address.clone_from(address);
                }
                Ok(Self::Session(Box::new(session)))
            }
            (None, Some(Server::Network(address))) => {
                let error = format!("nobody is signed in to `{}` here", safe(address));
                let hint = format!("sign in: stayhand login {} --pin PIN", safe(address));
                Err(Failure::new(Kind::Permission, error).hint(hint))
            }
            (None, _) => Ok(Self::Socket(SOCKET_DEFAULT.into())),
        }
    }
}

fn token(file: &Path) -> Result<AccessToken, Failure> {
    let text = private_file::read(file).map_err(|error| Failure::general(error.to_string()))?;
    let text = text
        .ok_or_else(|| Failure::general(format!("there is no token file `{}`", file.display())))?;
    let token = text.parse();
    token.map_err(|error| Failure::general(format!("`{}`: {error}", file.display())))
}

/// Connects with a session.
pub(crate) async fn with_session(session: SessionFile) -> Result<Channel, Failure> {
    if session.expires <= now() {
        let error = format!(
            "the session of `{}` at `{}` is over",
            session.user,
            safe(&session.address)
        );
        return Err(Failure::new(Kind::Permission, error)
            .hint("sign in again: stayhand login")
            .hint("on the control plane's machine: --server unix:///run/stayhand/control.sock"));
    }
    let dialling = operator(session.authorities, &session.credentials);
    let dialling = dialling.map_err(|error| Failure::general(error.to_string()))?;
    let dialled = dial_again(&session.address, dialling).await;
    dialled.map_err(|error| not_dialled(&error))
}

/// Connects with a token: it is exchanged for a certificate that is only in memory.
pub(crate) async fn with_token(token: &AccessToken, address: &str) -> Result<Channel, Failure> {
    with_session(sign_in::exchange(token, address).await?).await
}

/// Why there is no connection.
pub(crate) fn not_dialled(error: &DialError) -> Failure {
    let text = error.to_string();
    match error {
        DialError::Unreachable { .. } | DialError::Silent(_) => {
            Failure::new(Kind::Unavailable, text)
                .hint("see whether the control plane runs, and whether `network.listen` is set there")
        }
        DialError::Stranger(_) => Failure::new(Kind::Permission, text)
            .hint("`stayhand authority ls` on the control plane's machine shows its pins; sign in with one: stayhand login NAME:PORT --pin PIN"),
        DialError::Clock(_) | DialError::Handshake { .. } => Failure::new(Kind::Unavailable, text),
    }
}
