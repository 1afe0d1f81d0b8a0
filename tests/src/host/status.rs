//! The agent's own account of itself, over its local socket.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use hyper_util::rt::TokioIo;
use stayhand_proto::v1::local_service_client::LocalServiceClient;
use stayhand_proto::v1::{AgentStatus, GetStatusRequest};
use tokio::net::UnixStream;
use tonic::transport::{Endpoint, Uri};

/// A status is answered from memory.
const LIMIT: Duration = Duration::from_secs(10);

/// Asks once.
pub(super) fn ask(socket: &Path) -> Result<AgentStatus> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        tokio::time::timeout(LIMIT, asked(socket))
            .await
            .context("the agent does not say how it is")?
    })
}

async fn asked(socket: &Path) -> Result<AgentStatus> {
    let path = socket.to_owned();
    let connector = tower::service_fn(move |_: Uri| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    // Never resolved: HTTP/2 wants an authority and a socket has none.
    let channel = Endpoint::from_static("http://stayhand.invalid")
        .connect_with_connector(connector)
        .await?;
    Ok(LocalServiceClient::new(channel)
        .get_status(GetStatusRequest {})
        .await?
        .into_inner())
}
