//! The control plane's configuration: a closed schema, every value with a default, errors with line and
//! suggestion. No secret is in it; a change needs a restart, which costs no enforcement.

mod changes;
mod load;

pub use changes::Changes;
pub use load::{ConfigError, load, parse};

use std::{net::SocketAddr, path::PathBuf};

use serde::Deserialize;
use stayhand_guardrail::{
    id::{GroupName, UserName},
    time::DurationMs,
};

use crate::limits::{CERTIFICATE_LIFETIME, SESSION_LIFETIME};

/// The whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where it is asked
    pub listen: Listen,
    /// Hosts that are elsewhere
    pub network: Network,
    /// How people sign in who are elsewhere
    pub oidc: Oidc,
    /// How hosts are told what they should enforce
    pub delivery: Delivery,
    /// What is kept on disk
    pub state: State,
    /// How peers are identified
    pub identity: Identity,
    /// Who may act
    pub operators: Operators,
    /// Who may do what
    pub authorization: AuthorizationFile,
    /// Who is on call and who manages whom
    pub people: PeopleFile,
    /// Whose approval a change of a policy takes
    pub policies: Changes,
    /// Operational log (not the audit events)
    pub log: Log,
}

/// Where it is asked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// Socket for operators; open to everybody, because identity decides and not the file's mode
    pub operators: PathBuf,
    /// Socket for hosts' agents; only its owner can connect
    pub hosts: PathBuf,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            operators: "/run/stayhand/control.sock".into(),
            hosts: "/run/stayhand/control-host.sock".into(),
        }
    }
}

/// Hosts that are elsewhere. They always prove themselves by certificates; there is nothing to turn off.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// Where they are served; none = only the host of this machine is, over its socket
    pub listen: Option<SocketAddr>,
    /// Where they reach it, as NAME:PORT; this machine's name and the port above where it is not set
    pub address: Option<String>,
    /// How long a host's certificate counts; it is renewed after half of that
    #[serde(deserialize_with = "span")]
    pub certificate_lifetime: DurationMs,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            listen: None,
            address: None,
            certificate_lifetime: CERTIFICATE_LIFETIME,
        }
    }
}

fn span<'de, D: serde::Deserializer<'de>>(from: D) -> Result<DurationMs, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map_err(serde::de::Error::custom)
}

fn maybe_span<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<DurationMs>, D::Error> {
    span(from).map(Some)
}

/// How hosts are told what they should enforce.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Delivery {
    /// The oldest protocol of agents that are served; 0 = every one that this control plane knows
    pub oldest_protocol: u32,
    /// For how long grants count on a host that does not hear that it has the newest state; none = each until its own end
    #[serde(deserialize_with = "maybe_span")]
    pub freshness: Option<DurationMs>,
}

/// What is kept on disk.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct State {
    /// Directory of the store; only its owner may enter
    pub directory: PathBuf,
    /// Largest size of the database; none = as much as the disk has
    pub database_mib_max: Option<u32>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            directory: "/var/lib/stayhand/control".into(),
            database_mib_max: None,
        }
    }
}

/// The identity provider at which people sign in who are elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Oidc {
    /// Its issuer, as it says it itself; nobody signs in without
    pub issuer: Option<String>,
    /// As what this control plane is registered there
    pub client_id: String,
    /// Where the secret is that the provider gave for that; a public client has none
    pub client_secret_file: Option<PathBuf>,
    /// Certificates (PEM) by which the provider is known, in the place of this machine's
    pub authority_file: Option<PathBuf>,
    /// Whether somebody may sign in with a code that is entered elsewhere. Whoever talks another person into entering one is signed
    /// in as that person.
    pub device_flow: bool,
    /// How long signing in counts
    #[serde(deserialize_with = "span")]
    pub session_lifetime: DurationMs,
}

impl Default for Oidc {
    fn default() -> Self {
        Self {
            issuer: None,
            client_id: "stayhand".to_owned(),
            client_secret_file: None,
            authority_file: None,
            device_flow: false,
            session_lifetime: SESSION_LIFETIME,
        }
    }
}

/// How peers are identified.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Identity {
    /// Where a process's pin is looked up
    pub pins: PinSource,
    /// Socket of the agent on this machine
    pub agent_socket: PathBuf,
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            pins: PinSource::Agent,
            agent_socket: "/run/stayhand/agent.sock".into(),
        }
    }
}

/// Where a process's pin is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PinSource {
    /// At the agent, which reads the kernel's; without it operators are refused
    Agent,
    /// At `/proc/PID/loginuid`, which root can clear: only for a machine without an agent
    LoginUid,
}

/// Who may act.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Operators {
    /// These users
    pub users: Vec<UserName>,
    /// Members of these groups
    pub groups: Vec<GroupName>,
}

impl Default for Operators {
    fn default() -> Self {
        let users = UserName::new("root").into_iter().collect();
        let groups = GroupName::new("stayhand-operators").into_iter().collect();
        Self { users, groups }
    }
}

/// Who may do what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthorizationFile {
    /// Cedar policies in the place of those that are shipped
    pub policies: Option<PathBuf>,
}

/// Who is on call and who manages whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PeopleFile {
    /// Where it is written; nobody is on call and nobody manages anybody without
    pub file: Option<PathBuf>,
}

/// Operational log.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// How much
    pub level: Level,
    /// In which form
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

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Only what failed
    Error,
    /// And what is odd
    Warn,
    /// And what happened
    Info,
    /// And every call
    Debug,
}

/// In which form it is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}
