//! The command line. Never reads a file or the environment.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Where the configuration is looked for.
pub const CONFIG_DEFAULT: &str = "/etc/stayhand/control.toml";

const HELP: &str = "\
It serves two unix sockets: one for operators (the `stayhand` command), open to everybody because identity
decides, and one for the agents of hosts. Who calls is told by the kernel: the process at the other end and its
pinned login. Whoever a policy guards on this host cannot act as operator here, not even as root.

Exit codes:
  0   stopped on request; what the hosts enforce stays enforced
  1   failure
  2   usage
  75  another stayhand-control runs with this state directory
  78  the configuration is wrong (try --check-config)

Try it without installing anything:
  stayhand-control --config ./control.toml --check-config
  stayhand-control --print-authorization > authorization.cedar
  stayhand-control --config ./control.toml
  STAYHAND_SERVER=unix:///run/stayhand/control.sock stayhand host ls";

/// Stayhand's control plane: stores policies, grants and answers to holds, publishes them to the hosts, and keeps
/// the record of what was decided.
#[derive(Debug, Parser)]
#[command(name = "stayhand-control", version, after_help = HELP)]
pub struct Args {
    /// Configuration file; without one at the default place every value has its default
    #[arg(long, value_name = "FILE", default_value = CONFIG_DEFAULT)]
    pub config: PathBuf,
    /// Check the configuration, with the authorization policies that it names, and stop
    #[arg(long)]
    pub check_config: bool,
    /// Print what decides who may do what, and stop
    #[arg(long, value_name = "WHAT", num_args = 0..=1, require_equals = false, default_missing_value = "default", conflicts_with = "check_config")]
    pub print_authorization: Option<Authorization>,
}

/// A part of what decides who may do what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Authorization {
    /// The policies that count where the configuration names no other file
    Default,
    /// The policies that always count
    Always,
    /// What policies can be about
    Schema,
}
