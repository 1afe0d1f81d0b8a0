//! The agent's own account of itself, over its local socket.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use stayhand_proto::v1::local_service_client::LocalServiceClient;
use stayhand_proto::v1::{AgentStatus, GetStatusRequest};

use super::channel;

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
    Ok(LocalServiceClient::new(channel::to(socket).await?)
        .get_status(GetStatusRequest {})
        .await?
        .into_inner())
}
