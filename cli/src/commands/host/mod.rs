//! `stayhand host`: which hosts enforce, and what; which may join, and which are out.

mod token;

use stayhand_guardrail::id::HostId;

use crate::{
    args::{Format, Global, reason},
    failure::{Failure, Kind},
    screen::Screen,
    view::Host,
};

/// Show hosts and what their kernels enforce, let them join, and put them out
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the hosts
    ///
    /// Below the table: how many of them enforce what they should, and why others do not.
    Ls,
    /// Show one host
    Show {
        /// Id of the host
        #[arg(value_name = "HOST")]
        id: HostId,
    },
    #[command(subcommand)]
    Token(token::Command),
    /// Put a host out: its certificates count no more, and its connections end at once
    ///
    /// What the host enforces goes on and its leases end in their time; it hears of nothing new. Its events are taken again when it
    /// has joined anew: `stayhand host token create --host HOST --replace`.
    Revoke {
        /// Id of the host
        #[arg(value_name = "HOST")]
        id: HostId,
        /// Why; kept in the events
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
    },
}

pub(crate) async fn run(
    command: &Command,
    global: &Global,
    screen: &Screen,
) -> Result<(), Failure> {
    match command {
        Command::Ls => {
            let hosts = global.control().await?.list_hosts().await?;
            screen.list(&hosts, "no host has connected yet")?;
            // Rows alone are for programs.
            if screen.format_or(Format::Table) == Format::Table && screen.headers() {
                screen.data(&Host::counted(&hosts, &screen.moment()))?;
            }
            Ok(())
        }
        Command::Show { id } => {
            let host = global.control().await?.host(id.as_str()).await;
            screen.one(&host.map_err(look)?)
        }
        Command::Token(command) => token::run(command, global, screen).await,
        Command::Revoke { id, reason } => {
            let control = global.control().await?;
            let revoked = control.revoke_host(id.as_str(), reason.clone()).await;
            revoked.map_err(look)?;
            screen.note(&format!(
                "host {id} is out; it can join anew with a token: stayhand host token create --host {id} --replace"
            ));
            Ok(())
        }
    }
}

fn look(failure: Failure) -> Failure {
    match failure.kind {
        Kind::NotFound => failure.hint("`stayhand host ls` shows every host"),
        _ => failure,
    }
}
