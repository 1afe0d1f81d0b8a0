//! The command line: nouns, global options, and the types of their values.
//!
//! Checks what can be checked without asking anybody, so that a typing error costs no round trip and exits 2.

use std::{path::PathBuf, str::FromStr};

use clap::{
    Args, Parser, Subcommand, ValueEnum,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};
use stayhand_guardrail::{
    id::{ParameterName, PolicyName, ProfileName},
    prefix::PREFIX_LEN_MIN,
    sensitivity::Sensitivity,
    time::DurationMs,
};

use crate::commands::{
    authority, doctor, events, flag, grant, hold, host, lock, login, policy, session, token,
    whoami, why,
};

/// Where the control plane listens for operators.
pub(crate) const SOCKET_DEFAULT: &str = "/run/stayhand/control.sock";
/// Where the agent listens for everybody on its host.
const AGENT_SOCKET_DEFAULT: &str = "/run/stayhand/agent.sock";

/// Guard what people, services and AI agents do on production hosts
#[derive(Debug, Parser)]
#[command(
    name = "stayhand",
    version,
    about,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    max_term_width = 100,
    after_long_help = "\
Examples:
  stayhand hold ls                                     what waits for an answer
  stayhand hold approve 3f2a --reason 'INC-17'         let it go on (unique prefix of the id)
  stayhand grant create --user alice --permission prod-db --for 30m --reason 'INC-17'
  stayhand why --last                                  why was I stopped, and what now

Exit codes:
  0 done · 1 failure · 2 wrong usage · 3 not found · 4 conflict, or too late · 5 not permitted
  6 unavailable, or not in time"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Nouns and single commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(subcommand)]
    Grant(grant::Command),
    #[command(subcommand)]
    Hold(hold::Command),
    #[command(subcommand)]
    Policy(policy::Command),
    #[command(subcommand)]
    Host(host::Command),
    #[command(subcommand)]
    Authority(authority::Command),
    #[command(subcommand)]
    Lock(lock::Command),
    #[command(subcommand)]
    Flag(flag::Command),
    #[command(subcommand)]
    Events(events::Command),
    Why(why::Why),
    Login(login::Login),
    Logout(login::Logout),
    Whoami(whoami::Whoami),
    #[command(subcommand)]
    Session(session::Command),
    #[command(subcommand)]
    Token(token::Command),
    Doctor(doctor::Doctor),
    /// Print a completion script for a shell
    #[command(after_help = "\
Example:
  stayhand completions bash > /etc/bash_completion.d/stayhand")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the version
    Version,
}

/// Options that every command takes.
#[derive(Args, Debug)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Control plane, as unix:///PATH or NAME:PORT [default: where `stayhand login` signed in, else
    /// unix:///run/stayhand/control.sock]
    #[arg(
        long,
        global = true,
        env = "STAYHAND_SERVER",
        hide_env_values = true,
        value_name = "ADDRESS"
    )]
    pub(crate) server: Option<Server>,
    /// What `stayhand login` or `stayhand session break-glass` wrote [default: that of `stayhand login`]
    #[arg(
        long,
        global = true,
        env = "STAYHAND_SESSION_FILE",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub(crate) session_file: Option<PathBuf>,
    /// Act by the token in this file, with --server NAME:PORT
    #[arg(
        long,
        global = true,
        env = "STAYHAND_TOKEN_FILE",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub(crate) token_file: Option<PathBuf>,
    /// Socket of this host's agent
    #[arg(long, global = true, env = "STAYHAND_AGENT_SOCKET", hide_env_values = true,
          default_value = AGENT_SOCKET_DEFAULT, value_name = "PATH")]
    pub(crate) agent_socket: PathBuf,
    /// Output format [default: table; events: jsonl]
    #[arg(
        short,
        long,
        global = true,
        value_name = "FORMAT",
        hide_default_value = true
    )]
    pub(crate) output: Option<Format>,
    /// How long to wait for an answer and, where a command waits for hosts, for them
    #[arg(long, global = true, value_name = "DURATION", default_value = "30s")]
    pub(crate) timeout: DurationMs,
    /// When to use colour; NO_COLOR is honoured
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: When,
    /// Leave out the heads of tables
    #[arg(long, global = true)]
    pub(crate) no_headers: bool,
}

/// How data is written to standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people
    Table,
    /// One document
    Json,
    /// One document per line
    Jsonl,
    /// One document
    Yaml,
    /// Ids alone, one per line
    Name,
}

impl ValueEnum for Format {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Table, Self::Json, Self::Jsonl, Self::Yaml, Self::Name]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Table => PossibleValue::new("table").help("for people"),
            Self::Json => PossibleValue::new("json").help("one JSON document"),
            Self::Jsonl => PossibleValue::new("jsonl").help("one JSON document per line"),
            Self::Yaml => PossibleValue::new("yaml").help("YAML"),
            Self::Name => PossibleValue::new("name").help("ids alone, one per line"),
        })
    }
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// On a terminal
    Auto,
    /// Everywhere
    Always,
    /// Nowhere
    Never,
}

/// Address of the control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    /// Path of its socket, where the kernel says who calls
    Socket(PathBuf),
    /// `NAME:PORT`, where a certificate does
    Network(String),
}

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix://") {
            Some(path) if path.starts_with('/') => Ok(Self::Socket(path.into())),
            Some(_) => Err("write unix:// and an absolute path, as in unix:///run/stayhand/control.sock".into()),
            None => match stayhand_transport::check_address(text) {
                Ok(()) => Ok(Self::Network(text.to_owned())),
                Err(_) => Err(
                    "write unix:// and the path of a socket, as in unix:///run/stayhand/control.sock, or the name and the port of a \
                     control plane elsewhere, as in control.example:7443, which is always TLS"
                        .into(),
                ),
            },
        }
    }
}

/// `NAME` or `POLICY/NAME` of a profile, so that a typing error costs no round trip.
pub(crate) fn profile_name(text: &str) -> Result<String, String> {
    let (policy, name) = match text.split_once('/') {
        Some((policy, name)) => (Some(policy), name),
        None => (None, text),
    };
    let policy = policy.map(str::parse::<PolicyName>).transpose();
    policy.map_err(|error| error.to_string())?;
    let name = name.parse::<ProfileName>();
    name.map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

/// `NAME=VALUE`; which values there are the policy says.
pub(crate) fn profile_value(text: &str) -> Result<String, String> {
    let (name, _) = text
        .split_once('=')
        .ok_or_else(|| "write it as NAME=VALUE".to_owned())?;
    let name = name.parse::<ParameterName>();
    name.map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

/// A span of time that is more than nothing and within a bound; `bounded` is said of the bound.
pub(crate) fn span(text: &str, max: DurationMs, bounded: &str) -> Result<DurationMs, String> {
    let span: DurationMs = text.parse().map_err(|error| format!("{error}"))?;
    if span.0 == 0 || span > max {
        return Err(format!("{bounded} {max}"));
    }
    Ok(span)
}

/// A reason that somebody gives: not blank, within the bound that the control plane has, too.
pub(crate) fn reason(text: &str) -> Result<String, String> {
    use stayhand_guardrail::limits::REASON_BYTES_MAX;
    if text.trim().is_empty() {
        return Err("a reason cannot be empty".into());
    }
    if text.len() > REASON_BYTES_MAX {
        return Err(format!(
            "the reason has {} bytes, more than the {REASON_BYTES_MAX} that are allowed",
            text.len()
        ));
    }
    Ok(text.to_owned())
}

/// How much depends on something, as policies write it.
pub(crate) fn sensitivity() -> impl TypedValueParser<Value = Sensitivity> {
    let words = Sensitivity::ALL.map(Sensitivity::as_str);
    PossibleValuesParser::new(words).try_map(|word| word.parse::<Sensitivity>())
}

/// The id of a hold or the beginning of one; `holds/` before it is accepted, as events write it.
pub(crate) fn hold_id(text: &str) -> Result<String, String> {
    id(
        text,
        "holds/",
        16,
        |byte| byte.is_ascii_hexdigit(),
        "stayhand hold ls",
    )
}

/// The id of a grant or the beginning of one; `grants/` before it is accepted.
pub(crate) fn grant_id(text: &str) -> Result<String, String> {
    let valid = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
    id(text, "grants/", 36, valid, "stayhand grant ls")
}

fn id(
    text: &str,
    collection: &str,
    len_max: usize,
    valid: impl Fn(u8) -> bool,
    listing: &str,
) -> Result<String, String> {
    let id = text.strip_prefix(collection).unwrap_or(text);
    if !(PREFIX_LEN_MIN..=len_max).contains(&id.len()) || !id.bytes().all(valid) {
        return Err(format!(
            "use an id that `{listing}` shows, or at least its first {PREFIX_LEN_MIN} digits"
        ));
    }
    Ok(id.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_server_is_a_socket_or_a_name_with_a_port() {
        for bad in [
            "https://control.example",
            "http://control.example:80",
            "control.example",
            "unix://run/x.sock",
            "unix:/run/x",
            "",
        ] {
            assert!(bad.parse::<Server>().is_err(), "{bad}");
        }
        let socket = Server::Socket("/run/x.sock".into());
        assert_eq!("unix:///run/x.sock".parse(), Ok(socket));
        let network = Server::Network("127.0.0.1:443".into());
        assert_eq!("127.0.0.1:443".parse(), Ok(network));
    }

    #[test]
    fn ids_are_hexadecimal_prefixes_with_or_without_their_collection() {
        assert_eq!(hold_id("holds/3F2A").unwrap(), "3f2a");
        assert_eq!(grant_id("0192f0c1-5e7a").unwrap(), "0192f0c1-5e7a");
        for bad in [
            "",
            "holds/",
            "3f2",
            "3f2a\n",
            "../etc",
            "xyz",
            "3f2a-",
            "00000000000000001",
        ] {
            assert!(hold_id(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_reason_says_something() {
        assert!(reason(" \n\t").is_err());
        assert!(reason(&"x".repeat(1_001)).is_err());
        assert_eq!(reason("INC-17").unwrap(), "INC-17");
    }

    #[test]
    fn a_profile_is_a_name_and_a_value_has_one() {
        assert_eq!(profile_name("base/care").as_deref(), Ok("base/care"));
        for bad in ["", "/", "a/", "Care", "a/b/c", "a/b(c=d)"] {
            assert!(profile_name(bad).is_err(), "{bad:?}");
        }
        assert_eq!(
            profile_value("dir=/srv/a=b c").as_deref(),
            Ok("dir=/srv/a=b c")
        );
        for bad in ["", "dir", "=x", "Dir=x"] {
            assert!(profile_value(bad).is_err(), "{bad:?}");
        }
    }
}
