//! What the agent needs of a kernel, as narrow traits: the real one implements them in `kernel_port`, tests with
//! something that fits into a few lines.

use std::sync::Arc;

use stayhand_agent_ebpf::abi::hold::HoldKey;

use crate::kernel::{
    counters::Counters,
    holds::{KernelAnswer, Pending},
    pidfd::PidFd,
};

/// Whatever a kernel says when it refuses, with every cause.
pub type PortError = Box<dyn std::error::Error + Send + Sync>;

/// Who a process is by the kernel's pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// Login uid at first sight
    pub auid: u32,
    /// Audit session
    pub session: u32,
    /// Unique per process on this boot
    pub process_cookie: u64,
}

/// Who processes are.
pub trait Pins: Send + Sync {
    /// The pin of a process; none if it has none or is gone.
    fn pinned(&self, process: &PidFd) -> Result<Option<Pinned>, PortError>;
}

/// The maps of the hold protocol, see [`crate::kernel::holds`].
pub trait HoldMaps: Pins {
    /// Every pending hold.
    fn list(&self) -> Result<Vec<Pending>, PortError>;
    /// One hold, while it is pending.
    fn get(&self, key: &HoldKey) -> Result<Option<Pending>, PortError>;
    /// Writes the answer to a pending hold; false if it is not pending any more.
    fn answer(&self, key: &HoldKey, hold: u64, answer: KernelAnswer) -> Result<bool, PortError>;
    /// Removes a hold and its answer; false if somebody else did.
    fn remove(&self, pending: &Pending) -> Result<bool, PortError>;
    /// Mends counts of pending holds that went wrong: of an agent that was killed, or of two changes at once.
    fn recount(&self) -> Result<(), PortError>;
}

/// The kernel's counters.
pub trait CounterMap: Send + Sync {
    /// Reads all of them.
    fn counters(&self) -> Result<Counters, PortError>;
}

/// A shared kernel for holds.
pub type SharedHolds = Arc<dyn HoldMaps>;
