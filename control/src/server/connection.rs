//! Connections with the processes that made them, within bounds per user and in all.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{UnixListener, UnixStream},
    sync::mpsc,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use crate::{
    identity::PeerProcess,
    limits::{CONNECTIONS_MAX, CONNECTIONS_PER_UID_MAX},
    places::{Place, Places},
};

/// After a failed accept, such as too many open files: not in a tight loop.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// A connection. Its process travels with every request as the connection's info.
pub(super) struct Connection {
    stream: UnixStream,
    process: Arc<PeerProcess>,
    _place: Place<u32>,
}

impl Connected for Connection {
    type ConnectInfo = Arc<PeerProcess>;
    fn connect_info(&self) -> Self::ConnectInfo {
        Arc::clone(&self.process)
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
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

/// Accepts for as long as somebody takes what comes. Connections beyond the bounds are closed at once.
pub(super) fn incoming(listener: UnixListener) -> ReceiverStream<io::Result<Connection>> {
    let (sender, receiver) = mpsc::channel(1);
    let places = Places::new(CONNECTIONS_PER_UID_MAX, CONNECTIONS_MAX);
    tokio::spawn(async move {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = sender.closed() => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    if let Some(connection) = connection(stream, &places)
                        && sender.send(Ok(connection)).await.is_err()
                    {
                        return;
                    }
                }
                Err(problem) => {
                    tracing::error!(%problem, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    });
    ReceiverStream::new(receiver)
}

fn connection(stream: UnixStream, places: &Places<u32>) -> Option<Connection> {
    let process = match PeerProcess::of(&stream) {
        Ok(process) => Arc::new(process),
        Err(problem) => {
            tracing::warn!(%problem, "connection closed");
            return None;
        }
    };
    let Some(place) = places.take(process.uid()) else {
        tracing::warn!(
            uid = process.uid(),
            pid = process.pid(),
            "connection closed: there are too many"
        );
        return None;
    };
    Some(Connection {
        stream,
        process,
        _place: place,
    })
}
