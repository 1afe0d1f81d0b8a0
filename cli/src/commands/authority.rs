//! `stayhand authority`: who signs the certificates of hosts.

use crate::{
    args::{Global, reason},
    failure::{Failure, Kind},
    screen::Screen,
};

/// Show and change who signs the certificates of hosts
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  stayhand authority rotate --reason 'every year'      hosts move to the new one by themselves
  stayhand authority ls                                and which of them have not yet")]
pub(crate) enum Command {
    /// List the authorities, and the hosts that have not left an older one
    Ls,
    /// Make an authority that issues from here on
    ///
    /// No host is cut off: whoever believes the older one alone is shown what that signed. Connected hosts move within seconds, the
    /// others when they come back. When every host has moved the older one ends by itself.
    Rotate {
        /// Why; kept in the events
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
    },
    /// End an older authority at once, because its key may be known
    ///
    /// Hosts that have not left it are cut off, and have to join anew; they are named. What they enforce goes on.
    Retire {
        /// Its number
        #[arg(value_name = "NUMBER")]
        number: u32,
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
    let control = global.control().await?;
    match command {
        Command::Ls => screen.list(&control.list_authorities().await?, "there is no authority"),
        Command::Rotate { reason } => screen.one(&control.rotate_authority(reason.clone()).await?),
        Command::Retire { number, reason } => {
            let retired = control.retire_authority(*number, reason.clone()).await;
            let (cut_off, count) = retired.map_err(|failure| match failure.kind {
                Kind::NotFound => failure.hint("`stayhand authority ls` shows them"),
                _ => failure,
            })?;
            screen.note(&format!("authority {number} is believed no more"));
            if count > 0 {
                screen.warning(&have_to_join_anew(&cut_off, count));
            }
            Ok(())
        }
    }
}

fn have_to_join_anew(named: &[String], count: u32) -> String {
    let more = usize::try_from(count).unwrap_or(usize::MAX) > named.len();
    let more = if more { ", …" } else { "" };
    format!(
        "{count} hosts have to join anew: {}{more}",
        named.join(", ")
    )
}
