//! The dialling end of a connection: reaches somebody, verifies who it is, and hands the connection on.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use rustls::{CertificateError as Bad, Error as TlsError, pki_types::ServerName};
use stayhand_guardrail::text::safe_cut;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::transport::{Channel, Endpoint, Uri};

use crate::{Dialling, EXPORTER_BYTES, EXPORTER_LABEL};

/// Time to reach somebody: several tries of TCP on a bad line.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time to prove who it is.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the other end has to show that it is there.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// See [`PING_INTERVAL`].
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest address: a name of DNS, brackets and a port.
const ADDRESS_BYTES_MAX: usize = 270;

/// A connection to the control plane.
pub struct Dialled {
    /// What calls go over. One connection: when it ends, so do the calls.
    pub channel: Channel,
    /// Secret that only the two ends of this connection have
    pub connection: [u8; EXPORTER_BYTES],
}

impl fmt::Debug for Dialled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dialled(..)")
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// No such address, or nobody there.
    #[error("cannot reach `{address}`: {problem}")]
    Unreachable {
        /// As it was written
        address: String,
        /// Why
        problem: io::Error,
    },
    /// Nobody answers.
    #[error("`{0}` does not answer")]
    Silent(String),
    /// Somebody else answers.
    #[error(
        "whoever answers at `{0}` is not the control plane that is expected there: its authority is another one"
    )]
    Stranger(String),
    /// One of the clocks is wrong.
    #[error(
        "the certificate of `{0}` does not count at the time that this machine's clock shows: set the clock"
    )]
    Clock(String),
    /// Anything else.
    #[error("`{address}` and this machine come to no agreement: {problem}")]
    Handshake {
        /// As it was written
        address: String,
        /// Why
        problem: String,
    },
}

/// An address that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a name or an address and a port, as in control.example:7443")]
pub struct NotAnAddress;

/// `NAME:PORT`, `ADDRESS:PORT` or `[ADDRESS]:PORT`: it is printed into a command that somebody runs as root, so nothing of a shell
/// is in it.
pub fn check_address(text: &str) -> Result<(), NotAnAddress> {
    if text
        .parse::<SocketAddr>()
        .is_ok_and(|address| address.port() != 0)
    {
        return Ok(());
    }
    let (name, port) = text.rsplit_once(':').ok_or(NotAnAddress)?;
    let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    let valid = !name.is_empty()
        && text.len() <= ADDRESS_BYTES_MAX
        && !name.starts_with('-')
        && name.bytes().all(word)
        && port.parse::<u16>().is_ok_and(|port| port != 0);
    valid.then_some(()).ok_or(NotAnAddress)
}

/// Reaches `address` (`NAME:PORT`) and verifies whoever is there.
pub async fn dial(address: &str, dialling: Dialling) -> Result<Dialled, DialError> {
    let stream = reach(address, &dialling).await?;
    let failed = |problem: String| DialError::Handshake {
        address: shown(address),
        problem,
    };
    let connection = stream
        .get_ref()
        .1
        .export_keying_material([0; EXPORTER_BYTES], EXPORTER_LABEL, None)
        .map_err(|error| failed(error.to_string()))?;
    // Not replaced when it ends: another one would have to prove itself first.
    let channel = over(stream, |()| async {
        Err(io::ErrorKind::NotConnected.into())
    })
    .await;
    Ok(Dialled {
        channel: channel.map_err(|error| failed(error.to_string()))?,
        connection,
    })
}

/// The same, for calls that need no more than that: when the connection ends, the next call makes another, which is verified in
/// the same way.
pub async fn dial_again(address: &str, dialling: Dialling) -> Result<Channel, DialError> {
    let stream = reach(address, &dialling).await?;
    let again = Arc::new((address.to_owned(), dialling));
    let channel = over(stream, move |()| {
        let again = Arc::clone(&again);
        async move {
            let (address, dialling) = &*again;
            reach(address, dialling).await.map_err(io::Error::other)
        }
    });
    channel.await.map_err(|error| DialError::Handshake {
        address: shown(address),
        problem: error.to_string(),
    })
}

fn shown(address: &str) -> String {
    safe_cut(address.as_bytes(), ADDRESS_BYTES_MAX)
}

async fn reach(address: &str, dialling: &Dialling) -> Result<TlsStream<TcpStream>, DialError> {
    let unreachable = |problem| DialError::Unreachable {
        address: shown(address),
        problem,
    };
    let reached = tokio::time::timeout(CONNECT_TIMEOUT, connect(address, dialling.source)).await;
    let stream = reached
        .map_err(|_| DialError::Silent(shown(address)))?
        .map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    // What is verified is who is there, not under which name.
    let name = ServerName::try_from(dialling.label.clone());
    let name = name.map_err(|error| DialError::Handshake {
        address: shown(address),
        problem: error.to_string(),
    })?;
    let connector = TlsConnector::from(Arc::new(dialling.config.clone()));
    // Some kilobytes, which every caller would carry.
    let shaken = Box::pin(connector.connect(name, stream));
    tokio::time::timeout(HANDSHAKE_TIMEOUT, shaken)
        .await
        .map_err(|_| DialError::Silent(shown(address)))?
        .map_err(|problem| not_proved(shown(address), &problem))
}

/// Over TCP, from an address of this machine where one is named.
async fn connect(address: &str, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let Some(source) = source else {
        return TcpStream::connect(address).await;
    };
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for found in tokio::net::lookup_host(address).await? {
        if found.is_ipv4() != source.is_ipv4() {
            continue;
        }
        let socket = if source.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket.bind(SocketAddr::new(source, 0))?;
        match socket.connect(found).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn not_proved(address: String, problem: &io::Error) -> DialError {
    let tls = problem.get_ref().and_then(|inner| inner.downcast_ref());
    match tls {
        Some(TlsError::InvalidCertificate(
            Bad::Expired
            | Bad::ExpiredContext { .. }
            | Bad::NotValidYet
            | Bad::NotValidYetContext { .. },
        )) => DialError::Clock(address),
        Some(TlsError::InvalidCertificate(_)) => DialError::Stranger(address),
        _ => DialError::Handshake {
            address,
            problem: problem.to_string(),
        },
    }
}

/// Calls over one stream, and over what `next` makes when it has ended.
async fn over<N, F>(
    stream: TlsStream<TcpStream>,
    next: N,
) -> Result<Channel, tonic::transport::Error>
where
    N: Fn(()) -> F + Send + 'static,
    F: Future<Output = io::Result<TlsStream<TcpStream>>> + Send + 'static,
{
    let once = Mutex::new(Some(stream));
    let connector = tower::service_fn(move |_: Uri| {
        let stream = once.lock().unwrap_or_else(PoisonError::into_inner).take();
        let next = stream.is_none().then(|| next(()));
        async move {
            let stream = match (stream, next) {
                (Some(stream), _) => stream,
                (None, Some(next)) => next.await?,
                (None, None) => return Err(io::ErrorKind::NotConnected.into()),
            };
            Ok::<_, io::Error>(TokioIo::new(stream))
        }
    });
    // The authority is never resolved; HTTP/2 wants one.
    Endpoint::from_static("https://control.stayhand.invalid")
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true)
        .connect_with_connector(connector)
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_name_and_a_port_and_nothing_of_a_shell() {
        for bad in [
            "",
            "control.example",
            ":7443",
            "control.example:",
            "control.example:0",
            "control.example:70000",
            "-x:1",
            "a b:1",
            "$(reboot):1",
            "a;b:1",
            "a'b:1",
            "https://control.example:7443",
            "::1:",
        ] {
            assert_eq!(check_address(bad), Err(NotAnAddress), "{bad}");
        }
        for good in [
            "control.example:7443",
            "10.0.0.1:1",
            "[::1]:7443",
            "c:65535",
        ] {
            assert_eq!(check_address(good), Ok(()), "{good}");
        }
    }
}
