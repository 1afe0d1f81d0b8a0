//! What is attempted: class, operation, object, process.

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};
use stayhand_agent_ebpf::abi::code::op;

use crate::{subject::Subject, text::Safe};

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
}

impl Operation {
    /// All of them; an attempt that comprises several is named after the first one here.
    pub const ALL: [Self; 12] = [
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
    ];

    /// Its class.
    pub fn class(self) -> Class {
        match self {
            Self::Exec => Class::Exec,
            Self::Connect | Self::Send | Self::Bind => Class::Net,
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
    },
}

/// Shown safely: the path escaped, both ends with an arrow, or `address:port` (`[address]:port` for IPv6).
impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path { bytes } => fmt::Display::fmt(&Safe(bytes), f),
            Self::Ends { from, to } => write!(f, "{} -> {}", Safe(from), Safe(to)),
            Self::Address { ip, port } => {
                fmt::Display::fmt(&std::net::SocketAddr::new(*ip, *port), f)
            }
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
