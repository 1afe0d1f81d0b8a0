//! The agent's configuration: a closed schema, every value with a default, every bound checked at the start.
//!
//! No secret is in it. Never read again while the agent runs: a change needs a restart, which costs no
//! enforcement.

mod bytes;
mod check;
mod error;
mod load;
mod print;
#[cfg(test)]
mod tests;

pub use bytes::Bytes;
pub use error::ConfigError;
pub use load::{Loaded, load, parse};
pub use print::print;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use stayhand_guardrail::{
    id::{HostId, UserName},
    policy::HostLabels,
    redact::Pattern,
    time::DurationMs,
};

/// The whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Under which name this host reports; the host name where it is not set
    pub host: Option<HostId>,
    /// What this host is: policies name the hosts on which they count by these
    pub labels: HostLabels,
    /// What this host enforces whatever the control plane says
    pub floor: Floor,
    /// What is loaded into the kernel
    pub kernel: Kernel,
    /// Bounds of holds
    pub holds: Holds,
    /// What is kept on disk
    pub state: State,
    /// The control plane
    pub control: Control,
    /// The service for people and programs on this host
    pub local: Local,
    /// Who is who on this host
    pub subjects: Subjects,
    /// What never leaves the host
    pub redact: Redact,
    /// Operational log (not the audit events)
    pub log: Log,
}

/// What this host enforces whatever the control plane says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Floor {
    /// Directory with its policies; `/etc/stayhand/floor`, which may be missing, where it is not set
    pub directory: Option<PathBuf>,
    /// Users that policies of the control plane may name as services; any but root where it is not set
    pub services: Option<Vec<UserName>>,
}

/// What is loaded into the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kernel {
    /// The object file with the hooks
    pub object: PathBuf,
    /// Directory on a bpffs below which links and maps are pinned
    pub pins: PathBuf,
    /// Whether to lock the kernel's login uid feature, so that a set login uid cannot be changed by anybody
    pub lock_login_uid: bool,
}

impl Default for Kernel {
    fn default() -> Self {
        Self {
            object: "/usr/lib/stayhand/stayhand-hooks.o".into(),
            pins: "/sys/fs/bpf/stayhand".into(),
            lock_login_uid: true,
        }
    }
}

/// Bounds of holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Holds {
    /// Holds that may be pending for one subject; one more is denied
    pub per_subject_max: u32,
    /// Times that one pending call is stopped again before it is denied
    pub restops_max: u32,
}

impl Default for Holds {
    fn default() -> Self {
        // 32: a build that starts that many held programs at once is a mistake, not work.
        // 1000: a stray SIGCONT is rare; a loop of them is an attack on the agent's attention.
        Self {
            per_subject_max: 32,
            restops_max: 1_000,
        }
    }
}

/// What is kept on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct State {
    /// Directory of the spool and of the last good state; only root may enter it
    pub directory: PathBuf,
    /// Bytes of events that wait for the control plane; beyond, observations and then denials are dropped and
    /// counted, oldest first; holds and uses of grants are never dropped
    pub spool_bytes_max: Bytes,
}

impl Default for State {
    fn default() -> Self {
        Self {
            directory: "/var/lib/stayhand/agent".into(),
            spool_bytes_max: Bytes(256 << 20),
        }
    }
}

/// The control plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Control {
    /// Its socket for agents, where it is on this machine
    pub socket: PathBuf,
    /// Where it is, as NAME:PORT, where this host has joined one elsewhere (`stayhand-agent join`); where it was when the host
    /// joined, if this is not set
    pub address: Option<String>,
    /// User under which it runs, besides root: may ask who a process is
    pub user: Option<String>,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            socket: "/run/stayhand/control-host.sock".into(),
            address: None,
            user: None,
        }
    }
}

/// The service for people and programs on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Local {
    /// Its socket, open to everybody: answers are about the caller
    pub socket: PathBuf,
    /// Whether the one who is stopped is told on the own terminal
    pub tell_terminal: bool,
}

impl Default for Local {
    fn default() -> Self {
        Self {
            socket: "/run/stayhand/agent.sock".into(),
            tell_terminal: true,
        }
    }
}

/// Who is who on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Subjects {
    /// How often users and groups are looked up again
    #[serde(with = "as_text")]
    pub resolve_every: DurationMs,
}

impl Default for Subjects {
    fn default() -> Self {
        Self {
            resolve_every: DurationMs::from_secs(30),
        }
    }
}

/// What never leaves the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Redact {
    /// Regular expressions besides the built-in ones; what their first group matches (or the whole match) is
    /// replaced in arguments before an event is stored
    pub arguments: Vec<String>,
    /// The same with conditions: only after a certain program, or the argument that follows instead of the match
    pub patterns: Vec<Pattern>,
}

/// Operational log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Least level
    pub level: Level,
    /// Form of a line
    pub format: Format,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: Level::Info,
            format: Format::Text,
        }
    }
}

/// Level of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something failed
    Error,
    /// Something is wrong but goes on
    Warn,
    /// What happened
    Info,
    /// How it happened
    Debug,
}

/// Form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

mod as_text {
    //! Durations as they are read (`30s`).
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use stayhand_guardrail::time::DurationMs;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(super) fn serialize<S: Serializer>(span: &DurationMs, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(span)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<DurationMs, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}
