//! One recorded decision as it crosses the ring. Fixed size: a hook reserves it whole and fills it in place.

use super::image::LabelKey;

/// Bytes for path components: enough for 8 average and 3 longest names; longer paths are cut and say so.
pub const PATH_BYTES: usize = 1024;
/// Bytes for arguments; longer command lines are cut in the record (never in the digest) and say so.
pub const ARGS_BYTES: usize = 1024;
/// `TASK_COMM_LEN` (linux/sched.h).
pub const COMM_BYTES: usize = 16;
/// Terminal name such as `pts12` or `ttyS0`; longer names are cut.
pub const TTY_BYTES: usize = 16;

/// Flags of a [`Record`].
pub mod record_flag {
    /// The path did not fit.
    pub const PATH_CUT: u32 = 1 << 0;
    /// The arguments, or the path of the other end, did not fit or cannot be found.
    pub const ARGS_CUT: u32 = 1 << 1;
    /// A policy in monitor mode decided: nothing was restricted.
    pub const MONITOR: u32 = 1 << 2;
    /// A stop signal was sent but no hold could be published: the agent must continue the process.
    pub const STOPPED_WITHOUT_HOLD: u32 = 1 << 3;
    /// `path` is the name of a unix socket that has no file.
    pub const ABSTRACT: u32 = 1 << 4;
}

/// One recorded decision.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Record {
    /// `ABI_VERSION`
    pub version: u16,
    /// See `code::class`
    pub class: u16,
    /// `size_of::<Record>()`
    pub len: u32,
    /// `CLOCK_BOOTTIME`
    pub boot_ns: u64,
    /// `CLOCK_TAI`
    pub tai_ns: u64,
    /// Generation that decided
    pub generation: u64,
    /// Stable key of the rule, 0 for none
    pub rule: u64,
    /// Stable key of the permission, 0 for none
    pub permission: u64,
    /// Grant that covered it, 0 for none
    pub grant: [u64; 2],
    /// Hold id, 0 for none
    pub hold: u64,
    /// Digest of the action, 0 for none
    pub digest: [u64; 2],
    /// Deadline of the hold on the boot clock
    pub boot_deadline_ns: u64,
    /// `TaskState::task_cookie`
    pub task_cookie: u64,
    /// `TaskState::process_cookie`
    pub process_cookie: u64,
    /// Thread group
    pub tgid: u32,
    /// Thread
    pub tid: u32,
    /// Parent's thread group
    pub ppid: u32,
    /// Real uid
    pub uid: u32,
    /// Pinned login uid
    pub auid: u32,
    /// Pinned audit session
    pub session: u32,
    /// See `code::hook`
    pub hook: u16,
    /// Of an action on an address: `AF_INET6`, which IPv4 is mapped into, or `AF_VSOCK`; else zero
    pub family: u16,
    /// See `code::op`
    pub op: u32,
    /// See `code::effect`
    pub effect: u32,
    /// See `code::verdict`
    pub verdict: u32,
    /// See `code::reason`
    pub reason: u32,
    /// Bits of [`record_flag`]
    pub flags: u32,
    /// Object; for a creation, the directory
    pub object: LabelKey,
    /// Destination, IPv4 as mapped IPv6, network order; of a virtual socket its number and its port
    pub dest_addr: [u8; 16],
    /// Destination port, host order
    pub dest_port: u16,
    /// Protocol of an internet socket, see `code::protocol`
    pub protocol: u16,
    /// Components in `path`
    pub path_components: u32,
    /// Bytes used in `path`: components from the object up to the file system's root, each ending in NUL; or the name
    /// of a unix socket that has no file, as it is
    pub path_len: u32,
    /// Bytes used in `args`, each part ending in NUL: arguments in order, or, for a rename or a link, the components
    /// of its other end as in `path`
    pub args_len: u32,
    /// Name of the task (`comm`), NUL-padded
    pub comm: [u8; COMM_BYTES],
    /// Controlling terminal, NUL-padded, empty for none
    pub tty: [u8; TTY_BYTES],
    /// See `path_len`
    pub path: [u8; PATH_BYTES],
    /// See `args_len`
    pub args: [u8; ARGS_BYTES],
}

const _: () = assert!(size_of::<Record>() == 2296);
const _: () = assert!(align_of::<Record>() == 8);
