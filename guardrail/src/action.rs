//! What is attempted: class, operation, object, process.

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};
use stayhand_agent_ebpf::abi::code::op;

use crate::{policy::Protocol, subject::Subject, text::Safe};

/// Class of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Run a program
    Exec,
    /// Change a file
    File,
    /// Reach an address
    Net,
    /// Ask something of the kernel itself, or act on a process
    System,
}

/// Operation of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Execute a program, script or interpreter
    Exec,
    /// Map a file executable: a library, or a program that a loader runs by itself
    MapExec,
    /// Move or rename a file or a directory
    Rename,
    /// Make a hard link
    Link,
    /// Make a new name: a file, a directory, a symbolic link, a device node
    Create,
    /// Take a name away
    Delete,
    /// Open an existing file in a way that can change its content, or truncate it
    Write,
    /// Open an existing file for reading
    Read,
    /// Change mode, owner, times, extended attributes, access lists or flags
    Attr,
    /// Connect to an internet address
    Connect,
    /// Send to an internet address without connecting
    Send,
    /// Take a local address
    Bind,
    /// Wait for connections to a local address
    Listen,
    /// Make a socket for packets below the transport protocols, or of a family without rules
    Raw,
    /// Change something of the kernel's by a netlink message
    Netlink,
    /// Mount a file system
    Mount,
    /// Take a mount away
    Umount,
    /// Move a mount
    MoveMount,
    /// Change a mount
    Remount,
    /// Show a place at a second one
    BindMount,
    /// Take control of a process of another subject
    Ptrace,
    /// Send a signal to a process of another subject
    Signal,
    /// Use `bpf`
    Bpf,
    /// Open a performance event
    PerfEvent,
    /// Load or unload a kernel module
    Module,
    /// Have firmware loaded
    Firmware,
    /// Load another kernel
    Kexec,
    /// Become root by a call
    Setuid,
    /// Make a namespace, or enter another one
    Namespace,
    /// Set or adjust the clock
    Time,
    /// Turn swap on or off
    Swap,
    /// Reboot
    Reboot,
}

impl Operation {
    /// All of them; an attempt that comprises several is named after the first one here.
    pub const ALL: [Self; 32] = [
        Self::Exec,
        Self::MapExec,
        Self::Rename,
        Self::Link,
        Self::Create,
        Self::Delete,
        Self::Write,
        Self::Read,
        Self::Attr,
        Self::Connect,
        Self::Send,
        Self::Bind,
        Self::Listen,
        Self::Raw,
        Self::Netlink,
        Self::Mount,
        Self::Umount,
        Self::MoveMount,
        Self::Remount,
        Self::BindMount,
        Self::Ptrace,
        Self::Signal,
        Self::Bpf,
        Self::PerfEvent,
        Self::Module,
        Self::Firmware,
        Self::Kexec,
        Self::Setuid,
        Self::Namespace,
        Self::Time,
        Self::Swap,
        Self::Reboot,
    ];

    /// Its class.
    pub fn class(self) -> Class {
        match self {
            Self::Exec => Class::Exec,
            Self::Connect | Self::Send | Self::Bind | Self::Listen | Self::Raw | Self::Netlink => {
                Class::Net
            }
            _ if self.bit() & op::SYSTEM != 0 => Class::System,
            _ => Class::File,
        }
    }

    /// Its bit, see `abi::code::op`.
    pub fn bit(self) -> u32 {
        match self {
            Self::Exec => op::EXEC,
            Self::MapExec => op::MAP_EXEC,
            Self::Rename => op::RENAME,
            Self::Link => op::LINK,
            Self::Create => op::CREATE,
            Self::Delete => op::DELETE,
            Self::Write => op::WRITE,
            Self::Read => op::READ,
            Self::Attr => op::ATTR,
            Self::Connect => op::CONNECT,
            Self::Send => op::SEND,
            Self::Bind => op::BIND,
            Self::Listen => op::LISTEN,
            Self::Raw => op::RAW,
            Self::Netlink => op::NETLINK,
            Self::Mount => op::MOUNT,
            Self::Umount => op::UMOUNT,
            Self::MoveMount => op::MOVE_MOUNT,
            Self::Remount => op::REMOUNT,
            Self::BindMount => op::BIND_MOUNT,
            Self::Ptrace => op::PTRACE,
            Self::Signal => op::SIGNAL,
            Self::Bpf => op::BPF,
            Self::PerfEvent => op::PERF_EVENT,
            Self::Module => op::MODULE,
            Self::Firmware => op::FIRMWARE,
            Self::Kexec => op::KEXEC,
            Self::Setuid => op::SETUID,
            Self::Namespace => op::NAMESPACE,
            Self::Time => op::TIME,
            Self::Swap => op::SWAP,
            Self::Reboot => op::REBOOT,
        }
    }

    /// The operation that an attempt of these bits is named after: a creation comprises its own open.
    pub fn from_bits(bits: u32) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|operation| bits & operation.bit() != 0)
    }

    /// As policies and events write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exec => "exec",
            Self::MapExec => "map-exec",
            Self::Rename => "rename",
            Self::Link => "link",
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Write => "write",
            Self::Read => "read",
            Self::Attr => "attr",
            Self::Connect => "connect",
            Self::Send => "send",
            Self::Bind => "bind",
            Self::Listen => "listen",
            Self::Raw => "raw",
            Self::Netlink => "netlink",
            Self::Mount => "mount",
            Self::Umount => "umount",
            Self::MoveMount => "move-mount",
            Self::Remount => "remount",
            Self::BindMount => "bind-mount",
            Self::Ptrace => "ptrace",
            Self::Signal => "signal",
            Self::Bpf => "bpf",
            Self::PerfEvent => "perf-event",
            Self::Module => "module",
            Self::Firmware => "firmware",
            Self::Kexec => "kexec",
            Self::Setuid => "setuid",
            Self::Namespace => "namespace",
            Self::Time => "time",
            Self::Swap => "swap",
            Self::Reboot => "reboot",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Class {
    /// As policies and events write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exec => "exec",
            Self::File => "file",
            Self::Net => "net",
            Self::System => "system",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is acted on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Object {
    /// An absolute path from the file system's root, hostile bytes
    Path {
        /// The path
        bytes: Vec<u8>,
    },
    /// Both ends of a move or a hard link
    Ends {
        /// What is there
        from: Vec<u8>,
        /// What it will be
        to: Vec<u8>,
    },
    /// An address: a destination, or the local end of a socket
    Address {
        /// Its address
        ip: IpAddr,
        /// Its port
        port: u16,
        /// Protocol of the socket; none where what is sent has headers of its own, whose port is not known either
        protocol: Option<u16>,
    },
    /// The name of a unix socket that has no file, hostile bytes
    Name {
        /// Without the NUL in front of it
        bytes: Vec<u8>,
    },
    /// An address between a virtual machine and its host
    Vsock {
        /// The machine
        cid: u32,
        /// Its port
        port: u32,
    },
    /// A process of somebody else
    Process {
        /// Thread group
        pid: u32,
        /// Name of the task, hostile bytes
        comm: Vec<u8>,
        /// The signal that is sent
        signal: Option<u32>,
    },
    /// What is asked of the kernel
    Request {
        /// In words, such as `command 5`; empty where the operation says it all
        words: String,
    },
}

/// Shown safely: the path escaped, both ends with an arrow, `address:port` (`[address]:port` for IPv6) with a protocol
/// that is neither TCP nor UDP, `@name`, `vsock:cid:port`, `9 to sshd (pid 812)` for a signal.
impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path { bytes } => fmt::Display::fmt(&Safe(bytes), f),
            Self::Ends { from, to } => write!(f, "{} -> {}", Safe(from), Safe(to)),
            Self::Address { ip, port, protocol } => {
                fmt::Display::fmt(&std::net::SocketAddr::new(*ip, *port), f)?;
                match protocol.map(Protocol) {
                    Some(Protocol::TCP | Protocol::UDP) | None => Ok(()),
                    Some(other) => write!(f, " ({other})"),
                }
            }
            Self::Name { bytes } => write!(f, "@{}", Safe(bytes)),
            Self::Vsock { cid, port } => write!(f, "vsock:{cid}:{port}"),
            Self::Process { pid, comm, signal } => {
                if let Some(signal) = signal {
                    write!(f, "{signal} to ")?;
                }
                write!(f, "{} (pid {pid})", Safe(comm))
            }
            Self::Request { words } => fmt::Display::fmt(&Safe(words.as_bytes()), f),
        }
    }
}

/// One attempt, as rules look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// Who
    pub subject: Subject,
    /// Every operation that the attempt comprises, as bits of `abi::code::op` (`open(O_CREAT|O_WRONLY)` of a new
    /// file is create and write)
    pub operations: u32,
    /// On what
    pub object: Object,
}

/// The process that attempts it. Every byte string is hostile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessInfo {
    /// Thread group
    pub pid: u32,
    /// Thread
    pub tid: u32,
    /// Parent's thread group
    pub ppid: u32,
    /// Unique per process on this boot, unlike `pid`
    pub cookie: u64,
    /// Real uid
    pub uid: u32,
    /// Name of the task, at most 15 bytes
    pub comm: Vec<u8>,
    /// Path of the program that runs; none where it was gone before it could be read
    pub exe: Option<Vec<u8>>,
    /// Working directory; none where it was gone before it could be read
    pub cwd: Option<Vec<u8>>,
    /// Controlling terminal such as `pts/3`
    pub tty: Option<Vec<u8>>,
    /// Arguments, redacted before they leave the host
    pub args: Vec<Vec<u8>>,
    /// Whether arguments are missing at the end
    pub args_cut: bool,
}
