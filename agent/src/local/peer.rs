//! Who asks: taken from the kernel when the connection is accepted, never from a message.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::UnixStream,
    sync::OwnedSemaphorePermit,
};
use tonic::transport::server::Connected;

use crate::{
    kernel::pidfd::PidFd,
    port::{Pinned, Pins},
};

/// The one who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Uid when it connected
    pub uid: u32,
    /// Pin when it connected; none for daemons and whoever was gone by then
    pub pinned: Option<Pinned>,
    /// Whether it could not be found out; such a caller is told nothing
    pub unknown: bool,
}

impl Peer {
    /// Asks the kernel about the other end. The process is opened at once and checked to be alive afterwards, so
    /// that its number is still its own; if it is gone already, nothing is known of whoever holds the socket now.
    pub fn of(stream: &UnixStream, pins: &dyn Pins) -> io::Result<Self> {
        let credentials = stream.peer_cred()?;
        let nobody = Self {
            uid: credentials.uid(),
            pinned: None,
            unknown: true,
        };
        let Some(pid) = credentials.pid().and_then(|pid| u32::try_from(pid).ok()) else {
            return Ok(nobody);
        };
        let Some(process) = PidFd::open(pid)? else {
            return Ok(nobody);
        };
        match pins.pinned(&process) {
            Ok(pinned) if process.is_alive() => Ok(Self {
                uid: credentials.uid(),
                pinned,
                unknown: false,
            }),
            _ => Ok(nobody),
        }
    }
}

/// A connection with its peer. Gives its place back when it is closed.
pub(super) struct PeerStream {
    pub(super) stream: UnixStream,
    pub(super) peer: Peer,
    pub(super) _place: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

impl Connected for PeerStream {
    type ConnectInfo = Peer;
    fn connect_info(&self) -> Peer {
        self.peer
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
