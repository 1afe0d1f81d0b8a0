//! An operator's program that stays connected: for hundreds of answers, where starting the CLI is most of the work.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use stayhand_proto::v1::ApproveHoldRequest;
use stayhand_proto::v1::hold_service_client::HoldServiceClient;
use tokio::runtime::Runtime;
use tonic::Code;
use tonic::transport::Channel;

use super::{CONTROL_SOCKET, channel};

/// One call is answered from memory or by one transaction.
const LIMIT: Duration = Duration::from_secs(20);

/// A connection to the control plane.
pub struct Operator {
    runtime: Runtime,
    holds: HoldServiceClient<Channel>,
    /// Calls for which the control plane was too busy, or could not tell in time who asks
    pub busy: u32,
}

impl Operator {
    /// Connects, as whoever runs this program.
    pub fn connect() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let channel = runtime.block_on(channel::to(Path::new(CONTROL_SOCKET)))?;
        let holds = HoldServiceClient::new(channel);
        let busy = 0;
        Ok(Self {
            runtime,
            holds,
            busy,
        })
    }

    /// Approves a hold of this id and does not wait for what comes of it. False where the control plane has not heard
    /// of it yet, or is too busy to say.
    pub fn approve(&mut self, id: u64) -> Result<bool> {
        let request = ApproveHoldRequest {
            name: format!("holds/{id:016x}"),
            reason: "shown by a test".to_owned(),
        };
        let approved = self.holds.approve_hold(request);
        let approved = async { tokio::time::timeout(LIMIT, approved).await };
        match self.runtime.block_on(approved).context("no answer")? {
            Ok(_) => Ok(true),
            Err(status) if status.code() == Code::NotFound => Ok(false),
            Err(status) if status.code() == Code::Unavailable => {
                self.busy += 1;
                Ok(false)
            }
            Err(status) => Err(status.into()),
        }
    }
}
