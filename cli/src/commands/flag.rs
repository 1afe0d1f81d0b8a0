//! `stayhand flag`: what is said of the world for a while, for rules that count while it is so.

use stayhand_guardrail::{id::FlagName, limits::FLAG_MAX, time::DurationMs};

use crate::{
    args::{Global, reason, span},
    failure::{Failure, Kind},
    screen::Screen,
};

/// Set, clear and list flags that rules can count by: `when: { flags: [high-traffic] }`
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  stayhand flag set high-traffic --for 6h --reason 'sale until midnight'
  stayhand flag clear high-traffic --reason 'it is over'")]
pub(crate) enum Command {
    /// List the flags that are set
    Ls,
    /// Set a flag for so long from now, also one that is set already
    ///
    /// It ends by itself on every host, also with no agent and no control plane alive. `stayhand host ls` shows how far the hosts
    /// are with it.
    Set {
        /// Its name; whatever rules call it
        #[arg(value_name = "FLAG")]
        name: FlagName,
        /// For how long, such as 30m or 6h
        #[arg(long = "for", value_name = "DURATION", value_parser = length)]
        length: DurationMs,
        /// Why; kept in the events
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
    },
    /// Take a flag away before its end
    Clear {
        /// Its name
        #[arg(value_name = "FLAG")]
        name: FlagName,
        /// Why; kept in the events
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
    },
}

fn length(text: &str) -> Result<DurationMs, String> {
    let longer = "what lasts longer is a policy; a flag is set for up to";
    span(text, FLAG_MAX, longer)
}

pub(crate) async fn run(
    command: &Command,
    global: &Global,
    screen: &Screen,
) -> Result<(), Failure> {
    let control = global.control().await?;
    match command {
        Command::Ls => screen.list(&control.list_flags().await?, "no flag is set"),
        Command::Set {
            name,
            length,
            reason,
        } => {
            let set = control.set_flag(name.as_str(), *length, reason.clone());
            screen.one(&set.await?)
        }
        Command::Clear { name, reason } => {
            let cleared = control.clear_flag(name.as_str(), reason.clone()).await;
            cleared.map_err(|failure| match failure.kind {
                Kind::NotFound => failure.hint("`stayhand flag ls` shows the flags that are set"),
                _ => failure,
            })?;
            screen.note(&format!("flag {name} is cleared"));
            Ok(())
        }
    }
}
