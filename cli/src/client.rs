//! The services as the commands use them: plain arguments in, views out.
//!
//! Together with the view layer the only place that knows wire types. Every call has a deadline.

mod access;
mod agent;
mod control;
mod locks;
mod members;
pub(crate) mod sign_in;

use std::{future::Future, time::Duration};

use stayhand_guardrail::time::DurationMs;
use tonic::{Response, Status};

pub(crate) use access::Ending;
pub(crate) use agent::Agent;
pub(crate) use control::{Control, NewGrant, NewRevision, Start, Tailed};
pub(crate) use members::NewToken;

use crate::failure::{Failure, Kind};

/// Bytes of one answer: a fleet's list. A page of hosts has some hundred KiB and a grant on twenty thousand of them 2 MiB; what single
/// hosts say at length must not hide the others. Every client of this program is set to it.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Waits for an answer, but not longer than the caller wants to.
async fn answer<T>(
    what: &str,
    patience: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(patience, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(Failure::of_status(what, &status)),
        Err(_) => Err(too_slow(what, patience)),
    }
}

fn too_slow(what: &str, patience: Duration) -> Failure {
    let waited = DurationMs(u64::try_from(patience.as_millis()).unwrap_or(u64::MAX));
    Failure::new(
        Kind::Unavailable,
        format!("could not {what}: no answer within {waited}"),
    )
    .hint("it may have happened all the same: look before you repeat it")
    .hint("give it longer with --timeout")
}

/// Connects, but does not wait longer than the caller wants to.
async fn in_time<T>(
    patience: Duration,
    connecting: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(patience, connecting).await {
        Ok(connected) => connected,
        Err(_) => Err(too_slow("connect to the control plane", patience)),
    }
}
