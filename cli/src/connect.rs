//! A connection over a unix socket, with an error that says what is wrong with the socket.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use stayhand_guardrail::text::safe;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::failure::{Failure, Kind};

/// Who should be listening.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listener {
    /// In a sentence
    pub(crate) name: &'static str,
    /// Its unit, to look at
    pub(crate) unit: &'static str,
    /// How to name another socket
    pub(crate) elsewhere: &'static str,
}

/// Connects. The first connection is made here rather than by tonic, so that its error is the system's own word.
pub(crate) async fn connect(
    path: &Path,
    listener: Listener,
    patience: Duration,
) -> Result<Channel, Failure> {
    let first = match tokio::time::timeout(patience, UnixStream::connect(path)).await {
        Ok(connected) => connected.map_err(|error| unreachable(path, listener, &error))?,
        Err(_) => return Err(silent(path, listener)),
    };
    let first = Arc::new(Mutex::new(Some(first)));
    let again: PathBuf = path.to_owned();
    let connector = tower::service_fn(move |_: Uri| {
        let made = first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let again = again.clone();
        async move {
            let stream = match made {
                Some(stream) => stream,
                None => UnixStream::connect(again).await?,
            };
            Ok::<_, io::Error>(TokioIo::new(stream))
        }
    });
    // The name is never resolved: a unix socket has no authority, and HTTP/2 wants one.
    let endpoint = Endpoint::from_static("http://stayhand.invalid");
    let connected =
        tokio::time::timeout(patience, endpoint.connect_with_connector(connector)).await;
    match connected {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(_)) | Err(_) => Err(silent(path, listener)),
    }
}

fn unreachable(path: &Path, listener: Listener, error: &io::Error) -> Failure {
    let place = safe(&path.to_string_lossy());
    let Listener {
        name,
        unit,
        elsewhere,
    } = listener;
    let running = format!("see whether it runs: systemctl status {unit}");
    match error.kind() {
        ErrorKind::NotFound => {
            let text = format!("{name} is not reachable: there is no socket `{place}`");
            Failure::new(Kind::Unavailable, text)
                .hint(running)
                .hint(elsewhere)
        }
        ErrorKind::ConnectionRefused => {
            let text = format!("{name} is not reachable: nobody listens on `{place}`");
            Failure::new(Kind::Unavailable, text)
                .hint(running)
                .hint(elsewhere)
        }
        ErrorKind::PermissionDenied => {
            let text = format!("{name} is not reachable: you may not open `{place}`");
            Failure::new(Kind::Permission, text)
                .hint(format!("see who may: ls -l {place}"))
                .hint(elsewhere)
        }
        _ => Failure::new(
            Kind::Unavailable,
            format!("{name} is not reachable at `{place}`: {error}"),
        )
        .hint(running)
        .hint(elsewhere),
    }
}

fn silent(path: &Path, listener: Listener) -> Failure {
    let place = safe(&path.to_string_lossy());
    Failure::new(
        Kind::Unavailable,
        format!("{} does not answer on `{place}`", listener.name),
    )
    .hint(format!("see what it says: journalctl -u {}", listener.unit))
    .hint(listener.elsewhere)
}
