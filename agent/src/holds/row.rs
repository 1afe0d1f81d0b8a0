//! What the agent knows of one hold; also what the journal keeps of it.

use serde::{Deserialize, Serialize};
use stayhand_agent_ebpf::abi::hold::HoldKey;
use stayhand_guardrail::hold::Hold;
use uuid::Uuid;

/// One hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// As everybody else sees it
    pub hold: Hold,
    /// Boot on which it was opened; on another one nothing of it is left
    pub boot_id: Uuid,
    /// Thread's cookie, first half of the kernel's key
    pub task_cookie: u64,
    /// Digest of the action, second half
    pub digest: [u64; 2],
    /// Kernel-checked deadline
    pub boot_deadline_ns: u64,
    /// Where the agent is with it
    pub stage: Stage,
    /// Next look at the process, boot clock
    pub look_at_ns: u64,
    /// Looks since the last change of stage, for the back-off
    pub looks: u32,
    /// Since when the process was seen running without having taken the answer
    pub running_since_ns: Option<u64>,
    /// Since when the kernel's entry is gone without a word why
    pub missing_since_ns: Option<u64>,
    /// When it was over, boot clock
    pub over_at_ns: Option<u64>,
    /// Who stops because this one is stopped
    pub others: Others,
}

/// Processes of the same session that stop because a held one is stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Others {
    /// From the parent upwards
    pub ancestors: Vec<Ancestor>,
}

/// An ancestor of a held process, as it was when the hold opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ancestor {
    /// Thread group
    pub pid: u32,
    /// Says that the number still belongs to it
    pub cookie: u64,
    /// Process group
    pub group: u32,
    /// Stops itself, and perhaps its whole group, when its child is stopped
    pub stops_itself: bool,
    /// Was not stopped by somebody before
    pub ran: bool,
}

/// Where the agent is with a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Nobody has answered
    Waiting,
    /// The answer (see `abi::code::answer`) is in the map, or about to be; the process is woken until it took it
    Answered {
        /// Which
        answer: u32,
    },
    /// The deadline passed; the process is woken until the kernel has denied
    Late,
    /// The entry was taken out of the map; the kernel may have been quicker
    Withdrawn,
    /// Nothing is left to do
    Over,
}

impl Row {
    /// A hold that was just opened.
    pub fn new(hold: Hold, boot_id: Uuid, key: HoldKey, boot_deadline_ns: u64) -> Self {
        Self {
            hold,
            boot_id,
            task_cookie: key.task_cookie,
            digest: key.digest,
            boot_deadline_ns,
            stage: Stage::Waiting,
            look_at_ns: 0,
            looks: 0,
            running_since_ns: None,
            missing_since_ns: None,
            over_at_ns: None,
            others: Others::default(),
        }
    }

    /// Under which the kernel knows it.
    pub fn key(&self) -> HoldKey {
        HoldKey {
            task_cookie: self.task_cookie,
            digest: self.digest,
        }
    }

    /// The kernel's number of it.
    pub fn id(&self) -> u64 {
        self.hold.id.0
    }
}
