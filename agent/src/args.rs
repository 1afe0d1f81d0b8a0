//! The command line. Never reads a file or the environment.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::exit;

/// Where the configuration is looked for.
pub const CONFIG_DEFAULT: &str = "/etc/stayhand/agent.toml";

/// Stayhand's host agent: loads the kernel hooks, keeps the host's policy enforced, carries out holds and
/// reports what was decided. Enforcement goes on when the agent stops.
#[derive(Debug, Parser)]
#[command(name = "stayhand-agent", version, after_help = exit::HELP)]
pub struct Args {
    /// Configuration file; without one at the default place every value has its default
    #[arg(long, value_name = "FILE", default_value = CONFIG_DEFAULT)]
    pub config: PathBuf,
    /// Check the configuration and stop
    #[arg(long, conflicts_with_all = ["print_config", "uninstall"])]
    pub check_config: bool,
    /// Print the effective configuration and where each value comes from, and stop
    #[arg(long, conflicts_with = "uninstall")]
    pub print_config: bool,
    /// Detach every hook and remove every pinned object: this host is NOT ENFORCED afterwards
    #[arg(long)]
    pub uninstall: bool,
    /// Something else than running the agent
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Something else than running the agent.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make this host one of a control plane elsewhere
    ///
    /// Reads a join token from standard input (never from the command line, which every user of this host can read). An operator makes
    /// one with `stayhand host token create`, which prints this command as it is to be run here. This host makes its keys itself; they
    /// never leave it. An agent that runs connects within seconds.
    Join {
        /// Where the control plane is
        #[arg(value_name = "NAME:PORT", value_parser = address)]
        address: String,
        /// Read the token from a file instead of standard input
        #[arg(long, value_name = "FILE")]
        token_file: Option<PathBuf>,
        /// Leave what this host has joined before
        #[arg(long)]
        replace: bool,
    },
}

fn address(text: &str) -> Result<String, stayhand_transport::NotAnAddress> {
    stayhand_transport::check_address(text).map(|()| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradicting_flags_are_refused() {
        for flags in [
            ["--check-config", "--uninstall"],
            ["--print-config", "--uninstall"],
        ] {
            let line = ["stayhand-agent"].into_iter().chain(flags);
            assert!(Args::try_parse_from(line).is_err(), "{flags:?}");
        }
    }

    #[test]
    fn help_teaches_every_exit_code() {
        let help = <Args as clap::CommandFactory>::command()
            .render_long_help()
            .to_string();
        for code in ["69", "75", "77", "78", "79"] {
            assert!(help.contains(code), "{code} is missing in\n{help}");
        }
    }
}
