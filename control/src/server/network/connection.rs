//! A connection over the network that ends by itself: when its certificate is taken away or over, or its time is up.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Sleep,
};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::transport::server::Connected;

use super::live::Open;
use crate::places::Held;

/// A connection. Who is at its other end travels with every request.
pub(crate) struct NetworkConnection<I> {
    stream: TlsStream<TcpStream>,
    who: I,
    cut: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    end: Pin<Box<Sleep>>,
    _open: Option<Open>,
    _place: Box<dyn Held>,
}

impl<I> NetworkConnection<I> {
    /// One that ends after a time, and when it is cut.
    pub(super) fn new(
        stream: TlsStream<TcpStream>,
        who: I,
        open: Option<Open>,
        time: Duration,
        place: impl Held + 'static,
    ) -> Self {
        let cut = open.as_ref().map(|open| open.cut.clone());
        Self {
            stream,
            who,
            cut: cut.map(|cut| Box::pin(cut.cancelled_owned())),
            end: Box::pin(tokio::time::sleep(time)),
            _open: open,
            _place: Box::new(place),
        }
    }

    /// Whether it has to end. Asked with every read and every write: whoever reads nothing keeps writes waiting, and reads are not
    /// asked for meanwhile.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        let cut = self.cut.as_mut();
        cut.is_some_and(|cut| cut.as_mut().poll(cx).is_ready())
            || self.end.as_mut().poll(cx).is_ready()
    }
}

fn ended() -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}

impl<I: Clone + Send + Sync + Unpin + 'static> Connected for NetworkConnection<I> {
    type ConnectInfo = I;
    fn connect_info(&self) -> I {
        self.who.clone()
    }
}

impl<I: Unpin> AsyncRead for NetworkConnection<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_over(cx) {
            return Poll::Ready(Err(ended()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<I: Unpin> AsyncWrite for NetworkConnection<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_over(cx) {
            return Poll::Ready(Err(ended()));
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_over(cx) {
            return Poll::Ready(Err(ended()));
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_over(cx) {
            return Poll::Ready(Err(ended()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
