//! The socket: bound for everybody, bounded for each.

use std::{
    collections::HashMap,
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use stayhand_proto::v1::local_service_server::LocalServiceServer;
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;

use super::{Answers, Peer, peer::PeerStream};
use crate::port::Pins;

/// Connections at once, of everybody.
const CONNECTIONS_MAX: usize = 128;
/// Connections at once of one uid: nobody can lock the others out. Root has some to spare for the control plane.
const PER_UID_MAX: usize = 16;
/// Uids that are remembered; beyond, idle ones are forgotten.
const UIDS_MAX: usize = 1_024;
/// Calls at once on one connection.
const CALLS_MAX: u32 = 8;
/// Bytes of a request: two numbers.
const REQUEST_BYTES_MAX: usize = 4 << 10;
/// Longest call: answers come from memory.
const CALL_MAX: Duration = Duration::from_secs(5);
/// Longest connection: who stays connects again.
const CONNECTION_MAX: Duration = Duration::from_mins(1);
/// After that an ended connection is closed, whatever its other end does.
const CONNECTION_GRACE: Duration = Duration::from_secs(5);

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The socket.
    #[error("cannot listen on `{}`", path.display())]
    Bind {
        /// Where
        path: PathBuf,
        /// Why
        source: io::Error,
    },
    /// The server.
    #[error("the local service failed")]
    Serve(#[from] tonic::transport::Error),
}

/// Binds the socket. Only call it while holding the lock of the one agent: a socket that is there is stale then.
pub fn bind(path: &Path) -> Result<UnixListener, LocalError> {
    let failed = |source| LocalError::Bind {
        path: path.to_owned(),
        source,
    };
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(failed)?;
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).map_err(failed)?;
    Ok(listener)
}

/// Serves until the process ends.
pub async fn serve(listener: UnixListener, answers: Answers) -> Result<(), LocalError> {
    let (accepted, connections) = mpsc::channel(1);
    let pins = Arc::clone(&answers.pins);
    tokio::spawn(accept(listener, pins, accepted));
    let service = LocalServiceServer::new(answers).max_decoding_message_size(REQUEST_BYTES_MAX);
    Server::builder()
        .timeout(CALL_MAX)
        .max_connection_age(CONNECTION_MAX)
        .max_connection_age_grace(CONNECTION_GRACE)
        .concurrency_limit_per_connection(CALLS_MAX as usize)
        .max_concurrent_streams(CALLS_MAX)
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .add_service(service)
        .serve_with_incoming(ReceiverStream::new(connections))
        .await?;
    Ok(())
}

async fn accept(
    listener: UnixListener,
    pins: Arc<dyn Pins>,
    accepted: mpsc::Sender<io::Result<PeerStream>>,
) {
    let places = Places::default();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors: let some be given back first.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some(stream) = admit(stream, pins.as_ref(), &places) else {
            continue;
        };
        if accepted.send(Ok(stream)).await.is_err() {
            return;
        }
    }
}

fn admit(stream: UnixStream, pins: &dyn Pins, places: &Places) -> Option<PeerStream> {
    let peer = Peer::of(&stream, pins).ok()?;
    // No place: hang up. Waiting would let one caller's queue become everybody's.
    let place = places.take(peer.uid)?;
    Some(PeerStream {
        stream,
        peer,
        _place: place,
    })
}

/// How many connections there may be.
struct Places {
    all: Arc<Semaphore>,
    by_uid: Mutex<HashMap<u32, Arc<Semaphore>>>,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            all: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            by_uid: Mutex::default(),
        }
    }
}

impl Places {
    fn take(&self, uid: u32) -> Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
        let own = {
            let mut by_uid = self.by_uid.lock().unwrap_or_else(PoisonError::into_inner);
            if by_uid.len() >= UIDS_MAX {
                by_uid.retain(|_, places| places.available_permits() < PER_UID_MAX);
            }
            Arc::clone(
                by_uid
                    .entry(uid)
                    .or_insert_with(|| Arc::new(Semaphore::new(PER_UID_MAX))),
            )
        };
        // The own place first: whoever has none takes nothing from the others.
        let own = own.try_acquire_owned().ok()?;
        Some((own, Arc::clone(&self.all).try_acquire_owned().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_cannot_take_the_places_of_others() {
        let places = Places::default();
        let taken: Vec<_> = (0..100).filter_map(|_| places.take(1001)).collect();
        assert_eq!(taken.len(), PER_UID_MAX);
        assert!(places.take(1002).is_some());
        drop(taken);
        assert!(places.take(1001).is_some());
    }
}
