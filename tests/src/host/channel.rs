//! A gRPC channel over a unix socket, as the services' own clients make it.

use std::path::Path;

use anyhow::Result;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};

/// Connects.
pub(super) async fn to(socket: &Path) -> Result<Channel> {
    let path = socket.to_owned();
    let connector = tower::service_fn(move |_: Uri| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    // Never resolved: HTTP/2 wants an authority and a socket has none.
    Ok(Endpoint::from_static("http://stayhand.invalid")
        .connect_with_connector(connector)
        .await?)
}
