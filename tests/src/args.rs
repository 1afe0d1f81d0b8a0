//! The command line of the guest's program. Never reads the kernel's command line (see `cmdline`).

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// What runs inside Stayhand's test machines
#[derive(Debug, Parser)]
#[command(name = "stayhand-guest")]
pub struct Args {
    /// Print the scenarios' names, each with the kind of boot that it needs, and end
    #[arg(long)]
    pub list: bool,
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

/// What this process is for.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Everything that the kernel's command line asks for (started by PID 1)
    Run,
    /// Scenarios that share a machine, up to the first that fails
    Scenario {
        /// Their names
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Log a user in as PAM does, and become the shell or a command
    LoginAs {
        /// Terminal that becomes the controlling one
        #[arg(long)]
        tty: Option<PathBuf>,
        /// Login name
        user: String,
        /// Command; the user's shell if there is none
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// A small program that does one thing
    Act {
        /// Which one, and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        what: Vec<String>,
    },
}
