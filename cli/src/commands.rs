//! One file per command. Each reads its arguments, asks, and prints; none decides about rights.

pub(crate) mod authority;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod flag;
pub(crate) mod grant;
pub(crate) mod hold;
pub(crate) mod host;
pub(crate) mod lock;
pub(crate) mod login;
pub(crate) mod policy;
mod rollout;
pub(crate) mod session;
pub(crate) mod token;
pub(crate) mod whoami;
pub(crate) mod why;

use std::time::Duration;

use clap::CommandFactory as _;

use crate::{
    args::{Cli, Command, Format, Global},
    client::Control,
    failure::Failure,
    screen::Screen,
};

/// Runs what was asked for.
pub(crate) async fn run(cli: &Cli, screen: &Screen) -> Result<(), Failure> {
    let global = &cli.global;
    match &cli.command {
        Command::Grant(command) => grant::run(command, global, screen).await,
        Command::Hold(command) => hold::run(command, global, screen).await,
        Command::Policy(command) => policy::run(command, global, screen).await,
        Command::Host(command) => host::run(command, global, screen).await,
        Command::Authority(command) => authority::run(command, global, screen).await,
        Command::Flag(command) => flag::run(command, global, screen).await,
        Command::Lock(command) => lock::run(command, global, screen).await,
        Command::Events(command) => events::run(command, global, screen).await,
        Command::Why(arguments) => why::run(arguments, global, screen).await,
        Command::Login(arguments) => login::login(arguments, global, screen).await,
        Command::Logout(login::Logout {}) => login::logout(global, screen).await,
        Command::Session(command) => session::run(command, global, screen).await,
        Command::Token(command) => token::run(command, global, screen).await,
        Command::Whoami(whoami::Whoami {}) => whoami::run(global, screen).await,
        Command::Doctor(doctor) => doctor::run(doctor, global, screen).await,
        Command::Completions { shell } => completions(*shell, screen),
        Command::Version => version(screen),
    }
}

impl Global {
    /// How long to wait for an answer.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_millis(self.timeout.0)
    }

    /// Connects to the control plane.
    pub(crate) async fn control(&self) -> Result<Control, Failure> {
        Control::connect(self).await
    }
}

fn completions(shell: clap_complete::Shell, screen: &Screen) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "stayhand", &mut script);
    screen.data(&String::from_utf8_lossy(&script))
}

fn version(screen: &Screen) -> Result<(), Failure> {
    #[derive(serde::Serialize)]
    struct Version {
        version: &'static str,
    }
    let version = env!("CARGO_PKG_VERSION");
    match screen.format_or(Format::Table) {
        Format::Table => screen.data(&format!("stayhand {version}")),
        Format::Name => screen.data(version),
        Format::Json | Format::Jsonl | Format::Yaml => {
            screen.document("Version", &Version { version })
        }
    }
}
