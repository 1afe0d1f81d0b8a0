//! Held actions as the kernel and the agent see them. Kernel writes `HoldEntry`, agent writes `AnswerEntry`:
//! one writer per map, so no update can undo the other side's.

/// Holds pending on one host; a stop needs an entry, so a full map means deny, not wait.
pub const HOLDS_MAX: u32 = 4_096;

/// One held call of one task.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HoldKey {
    /// `TaskState::task_cookie`
    pub task_cookie: u64,
    /// Keyed digest of the action
    pub digest: [u64; 2],
}

/// A pending hold, written by the kernel.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HoldEntry {
    /// Random id of this hold; an answer must name it
    pub hold: u64,
    /// Kernel-checked deadline on the boot clock
    pub boot_deadline_ns: u64,
    /// When it was opened, boot clock
    pub opened_boot_ns: u64,
    /// Stable key of the rule
    pub rule: u64,
    /// `TaskState::process_cookie`
    pub process_cookie: u64,
    /// Registers of the call that asked (hash): only a restart of that very call is answered
    pub call: u64,
    /// Thread group
    pub tgid: u32,
    /// Thread
    pub tid: u32,
    /// Pinned login uid
    pub auid: u32,
    /// Audit session
    pub session: u32,
    /// Times the call was stopped again
    pub restops: u32,
    /// Operation, see `code::op`
    pub op: u32,
}

/// The agent's answer.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnswerEntry {
    /// The hold that it answers
    pub hold: u64,
    /// See `code::answer`
    pub answer: u32,
    /// Zero
    pub pad: u32,
}

const _: () = assert!(size_of::<HoldKey>() == 24);
const _: () = assert!(size_of::<HoldEntry>() == 72);
const _: () = assert!(size_of::<AnswerEntry>() == 16);
