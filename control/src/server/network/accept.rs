//! From a connection that somebody made to one that is proved. A handshake has little time and a bounded number of places, so
//! that whoever does nothing but begin them keeps nobody out for long.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use rustls::server::Acceptor;
use stayhand_guardrail::{event::Door, time::UnixMs};
use stayhand_transport::{
    ALPN_HOST, ALPN_JOIN, ALPN_OPERATOR, ALPN_SIGN_IN, Certificate, EXPORTER_BYTES, EXPORTER_LABEL,
    Role, Serial,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};
use tokio_stream::wrappers::ReceiverStream;

use super::{
    NetworkConnection,
    full::Full,
    live::Live,
    tls::{Tls, TlsError},
};
use crate::{
    app::App,
    identity::{HostPeer, Joiner, OperatorPeer, Visitor, place_of},
    limits::{
        CONNECTIONS_PER_CERTIFICATE_MAX, CONNECTIONS_PER_SESSION_MAX, HANDSHAKE_TIMEOUT,
        HANDSHAKES_MAX, HANDSHAKES_PER_ADDRESS_MAX, HOST_CONNECTIONS_MAX, JOIN_TIMEOUT,
        JOINERS_MAX, JOINERS_PER_ADDRESS_MAX, OPERATOR_CONNECTIONS_MAX, REFUSED_TIMEOUT,
        SESSION_USE_PAUSE,
    },
    places::{Held, Places},
    seldom::Seldom,
    store::Standing,
};

/// After a failed accept, such as too many open files: not in a tight loop.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

type Proved<I> = NetworkConnection<Arc<I>>;

/// Connections that are proved, by what they may do.
pub(crate) struct Incoming {
    /// Of hosts
    pub(crate) hosts: ReceiverStream<io::Result<Proved<HostPeer>>>,
    /// Of whoever wants to become one
    pub(crate) joiners: ReceiverStream<io::Result<Proved<Joiner>>>,
    /// Of operators
    pub(crate) operators: ReceiverStream<io::Result<Proved<OperatorPeer>>>,
    /// Of whoever wants to sign in
    pub(crate) visitors: ReceiverStream<io::Result<Proved<Visitor>>>,
}

/// Why a connection is not served.
#[derive(Debug, thiserror::Error)]
enum NotProved {
    #[error("the handshake took too long")]
    Slow,
    #[error("the handshake failed: {0}")]
    Handshake(#[from] io::Error),
    #[error("it speaks no protocol of ours")]
    Protocol,
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("it shows no certificate of whom it says that it is")]
    Certificate,
    #[error("too many connections of {0}")]
    TooMany(String),
}

struct Listener {
    app: Arc<App>,
    tls: Tls,
    live: Live,
    full: Full,
    handshakes: Places<IpAddr>,
    /// By certificate and not by host: whoever has an old one of a host takes no place of the host itself
    by_serial: Places<Serial>,
    by_address: Places<IpAddr>,
    by_session: Places<Serial>,
    /// Apart from hosts that join: neither keeps the other out
    visitors_by_address: Places<IpAddr>,
    /// Operators whose sessions could not be looked at or noted
    unasked: Seldom<&'static str>,
    hosts: mpsc::Sender<io::Result<Proved<HostPeer>>>,
    joiners: mpsc::Sender<io::Result<Proved<Joiner>>>,
    operators: mpsc::Sender<io::Result<Proved<OperatorPeer>>>,
    visitors: mpsc::Sender<io::Result<Proved<Visitor>>>,
}

/// Accepts for as long as it is not told to stop.
pub(crate) fn listen(
    listener: TcpListener,
    app: Arc<App>,
    stop: watch::Receiver<bool>,
) -> Incoming {
    let (hosts, hosts_in) = mpsc::channel(1);
    let (joiners, joiners_in) = mpsc::channel(1);
    let (operators, operators_in) = mpsc::channel(1);
    let (visitors, visitors_in) = mpsc::channel(1);
    let live = Live::default();
    tokio::spawn(live.clone().cut_revoked(Arc::clone(&app), stop.clone()));
    let own = Arc::new(Listener {
        app,
        tls: Tls::new(),
        live,
        full: Full::default(),
        handshakes: Places::new(HANDSHAKES_PER_ADDRESS_MAX, HANDSHAKES_MAX),
        by_serial: Places::new(CONNECTIONS_PER_CERTIFICATE_MAX, HOST_CONNECTIONS_MAX),
        by_address: Places::new(JOINERS_PER_ADDRESS_MAX, JOINERS_MAX),
        by_session: Places::new(CONNECTIONS_PER_SESSION_MAX, OPERATOR_CONNECTIONS_MAX),
        visitors_by_address: Places::new(JOINERS_PER_ADDRESS_MAX, JOINERS_MAX),
        unasked: Seldom::new(SESSION_USE_PAUSE),
        hosts,
        joiners,
        operators,
        visitors,
    });
    tokio::spawn(accept(listener, own, stop));
    Incoming {
        hosts: ReceiverStream::new(hosts_in),
        joiners: ReceiverStream::new(joiners_in),
        operators: ReceiverStream::new(operators_in),
        visitors: ReceiverStream::new(visitors_in),
    }
}

async fn accept(listener: TcpListener, own: Arc<Listener>, mut stop: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((stream, address)) => {
                // Closed without a word: whoever comes again in a while finds a place.
                let Some(place) = own.handshakes.take(place_of(address.ip())) else {
                    own.full.note(address, "too many handshakes at once");
                    continue;
                };
                let own = Arc::clone(&own);
                tokio::spawn(async move {
                    let proved = own.prove(stream, address).await;
                    drop(place);
                    match proved {
                        Ok(()) => {}
                        // Ours to mend: nobody gets in.
                        Err(NotProved::Tls(why)) => {
                            tracing::error!(%address, %why, "nobody can be served over the network");
                        }
                        Err(NotProved::TooMany(of)) => {
                            own.full
                                .note(address, &format!("too many connections of {of}"));
                        }
                        Err(why) => tracing::debug!(%address, %why, "connection closed"),
                    }
                });
            }
            Err(problem) => {
                tracing::error!(%problem, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

impl Listener {
    /// Lets the other end prove who it is, and hands the connection on.
    async fn prove(&self, stream: TcpStream, address: SocketAddr) -> Result<(), NotProved> {
        stream.set_nodelay(true)?;
        let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, self.handshake(stream));
        match handshake.await.map_err(|_| NotProved::Slow)?? {
            Shaken::Host(stream) => self.host(stream, address).await,
            Shaken::Join(stream) => self.joiner(stream, address).await,
            Shaken::Operator(stream) => self.operator(stream, address).await,
            Shaken::SignIn(stream) => self.visitor(stream, address).await,
        }
    }

    async fn handshake(&self, stream: TcpStream) -> Result<Shaken, NotProved> {
        let begun = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let offered: Vec<&[u8]> = begun.client_hello().alpn().into_iter().flatten().collect();
        let configs = self.tls.configs(self.app.authority(), self.app.now())?;
        match offered.as_slice() {
            [only] if *only == ALPN_HOST => {
                Ok(Shaken::Host(begun.into_stream(configs.host).await?))
            }
            [only] if *only == ALPN_JOIN => {
                Ok(Shaken::Join(begun.into_stream(configs.join).await?))
            }
            [only] if *only == ALPN_OPERATOR => {
                Ok(Shaken::Operator(begun.into_stream(configs.operator).await?))
            }
            [only] if *only == ALPN_SIGN_IN => {
                Ok(Shaken::SignIn(begun.into_stream(configs.sign_in).await?))
            }
            _ => Err(NotProved::Protocol),
        }
    }

    async fn host(
        &self,
        stream: TlsStream<TcpStream>,
        address: SocketAddr,
    ) -> Result<(), NotProved> {
        let certificate = shown(&stream)?;
        let Role::Host(host) = certificate.name.role.clone() else {
            return Err(NotProved::Certificate);
        };
        let place = self.by_serial.take(certificate.serial.clone());
        let place = place.ok_or_else(|| NotProved::TooMany(format!("host {host}")))?;
        // ORDER: before anybody asks whether the certificate counts, so that one that is taken away meanwhile is cut.
        let open = self.live.enter(&certificate.serial);
        // Every call asks again; here it is only about how long whoever is refused may keep a place.
        let standing = self.app.certificate_standing(&certificate).await;
        let now = self.app.now();
        let counts = matches!(standing, Ok(Standing::Good { .. })) && certificate.not_before <= now;
        let time = time_of(counts.then_some(certificate.not_after), now);
        let who = Arc::new(HostPeer {
            certificate,
            address,
        });
        hand_on(&self.hosts, stream, who, Some(open), time, place).await
    }

    async fn joiner(
        &self,
        stream: TlsStream<TcpStream>,
        address: SocketAddr,
    ) -> Result<(), NotProved> {
        let place = self.by_address.take(place_of(address.ip()));
        let place =
            place.ok_or_else(|| NotProved::TooMany(format!("joining from {}", address.ip())))?;
        let connection = stream
            .get_ref()
            .1
            .export_keying_material([0; EXPORTER_BYTES], EXPORTER_LABEL, None)
            .map_err(TlsError::from)?;
        let who = Arc::new(Joiner {
            connection,
            address,
        });
        hand_on(&self.joiners, stream, who, None, JOIN_TIMEOUT, place).await
    }

    async fn operator(
        &self,
        stream: TlsStream<TcpStream>,
        address: SocketAddr,
    ) -> Result<(), NotProved> {
        let certificate = shown(&stream)?;
        let place = self.by_session.take(certificate.serial.clone());
        let place = place.ok_or_else(|| NotProved::TooMany(certificate.name.to_string()))?;
        // ORDER: before anybody asks whether the session counts, so that one that is ended meanwhile is cut.
        let open = self.live.enter(&certificate.serial);
        let end = self.session_end(&certificate, address).await;
        // Only now: the store may have taken its time.
        let now = self.app.now();
        let (time, refused) = match end {
            Ok(end) => (time_of(end, now), None),
            // Served for as long as it takes to say so with every call.
            Err(error) => {
                if let Some(more) = self.unasked.next("session", now) {
                    tracing::warn!(%address, name = %certificate.name, more, %error, "an operator's connection is refused; the control plane's disk may be full");
                }
                (REFUSED_TIMEOUT, Some(Arc::new(error)))
            }
        };
        let who = Arc::new(OperatorPeer {
            certificate,
            address,
            refused,
        });
        hand_on(&self.operators, stream, who, Some(open), time, place).await
    }

    /// Until when a session counts, if it does, and notes that it is used.
    async fn session_end(
        &self,
        certificate: &Certificate,
        address: SocketAddr,
    ) -> Result<Option<UnixMs>, crate::app::Error> {
        let found = self.app.session_of(certificate).await?;
        let now = self.app.now();
        let live = found.filter(|(session, _)| session.revoked.is_none() && session.expires > now);
        let Some((session, _)) = live else {
            return Ok(None);
        };
        match self.app.session_used(&session, &address.to_string()).await {
            Ok(()) => {}
            // Break-glass is never used without a trace. Of another session only the list does not know when it was used last, and
            // whoever comes because the disk is full can look.
            Err(error) if session.door == Door::BreakGlass => return Err(error),
            Err(error) => {
                if let Some(more) = self.unasked.next("session", now) {
                    tracing::warn!(session = %session.id, more, %error, "that a session is used cannot be written down; free space on the control plane's disk");
                }
            }
        }
        Ok(Some(session.expires))
    }

    async fn visitor(
        &self,
        stream: TlsStream<TcpStream>,
        address: SocketAddr,
    ) -> Result<(), NotProved> {
        let place = self.visitors_by_address.take(place_of(address.ip()));
        let place =
            place.ok_or_else(|| NotProved::TooMany(format!("signing in from {}", address.ip())))?;
        let who = Arc::new(Visitor { address });
        hand_on(&self.visitors, stream, who, None, JOIN_TIMEOUT, place).await
    }
}

/// For how long a connection is served: until what was shown for it is over, and where that does not count at all for as long as it
/// takes to say so.
fn time_of(end: Option<UnixMs>, now: UnixMs) -> Duration {
    match end.filter(|end| now < *end) {
        Some(end) => Duration::from_millis(end.since(now).0),
        None => REFUSED_TIMEOUT,
    }
}

/// What was shown in the handshake.
fn shown(stream: &TlsStream<TcpStream>) -> Result<Certificate, NotProved> {
    let shown = stream.get_ref().1.peer_certificates();
    let certificate = shown.and_then(|chain| Certificate::read(chain.first()?).ok());
    certificate.ok_or(NotProved::Certificate)
}

enum Shaken {
    Host(TlsStream<TcpStream>),
    Join(TlsStream<TcpStream>),
    Operator(TlsStream<TcpStream>),
    SignIn(TlsStream<TcpStream>),
}

async fn hand_on<I>(
    to: &mpsc::Sender<io::Result<Proved<I>>>,
    stream: TlsStream<TcpStream>,
    who: Arc<I>,
    open: Option<super::live::Open>,
    time: Duration,
    place: impl Held + 'static,
) -> Result<(), NotProved> {
    let connection = NetworkConnection::new(stream, who, open, time, place);
    // Nobody takes it any more when the control plane stops.
    let _served = to.send(Ok(connection)).await;
    Ok(())
}
