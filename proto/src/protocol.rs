//! Which versions of what hosts and the control plane say to each other go together. What one end understands besides the
//! protocol it says by name; a name that the other end does not know changes nothing.

use crate::failure::{CONTROL_TOO_OLD, Failure};

/// The protocol of this build.
pub const PROTOCOL: u32 = 1;
/// The oldest agent that a control plane of this build serves: those from before protocols had numbers say 0, are sent whole
/// states, and acknowledge them by generation.
pub const AGENT_PROTOCOL_MIN: u32 = 0;
/// The oldest control plane that an agent of this build serves under, likewise.
pub const CONTROL_PROTOCOL_MIN: u32 = 0;

/// Understands deliveries: only what differs is sent, with a digest.
pub const DELTAS: &str = "deltas";
/// Understands withdrawals.
pub const WITHDRAWALS: &str = "withdrawals";
/// What an agent of this build understands.
pub const CAPABILITIES: [&str; 2] = [DELTAS, WITHDRAWALS];

/// Why an agent does not listen to a control plane, if that is too old.
pub fn control_too_old(speaks: u32, min: u32) -> Option<Failure> {
    (speaks < min).then(|| {
        let message = format!(
            "the control plane speaks protocol {speaks}, and this agent needs {min} or later"
        );
        Failure::new(tonic::Code::FailedPrecondition, CONTROL_TOO_OLD, message).remedy(
            "install a newer stayhand-control, or the agent that fits it; what is enforced stays enforced meanwhile",
        )
    })
}
