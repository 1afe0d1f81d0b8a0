//! The command line. Never reads a file or the environment.

use std::path::PathBuf;

use clap::Parser;

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
