//! `stayhand host`: which hosts enforce, and what.

use stayhand_guardrail::id::HostId;

use crate::{
    args::Global,
    failure::{Failure, Kind},
    screen::Screen,
};

/// Show hosts and what their kernels enforce
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the hosts
    Ls,
    /// Show one host
    Show {
        /// Id of the host
        #[arg(value_name = "HOST")]
        id: HostId,
    },
}

pub(crate) async fn run(
    command: &Command,
    global: &Global,
    screen: &Screen,
) -> Result<(), Failure> {
    let control = global.control().await?;
    match command {
        Command::Ls => screen.list(&control.list_hosts().await?, "no host has enrolled"),
        Command::Show { id } => {
            let host = control
                .host(id.as_str())
                .await
                .map_err(|failure| match failure.kind {
                    Kind::NotFound => failure.hint("`stayhand host ls` shows every host"),
                    _ => failure,
                })?;
            screen.one(&host)
        }
    }
}
