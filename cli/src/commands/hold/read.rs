//! `stayhand hold ls` and `stayhand hold show`.

use std::cmp::Reverse;

use stayhand_guardrail::sensitivity::Sensitivity;

use crate::{
    args::{Global, hold_id, sensitivity},
    failure::{Failure, Kind},
    screen::Screen,
};

/// List what waits: who, what, where, why, since when, and how long is left
///
/// On what most depends comes first, as the rules say (`sensitivity`); with --all, what changed last.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  stayhand hold ls --sensitivity high")]
pub(crate) struct Ls {
    /// Also those that are over
    #[arg(long)]
    all: bool,
    /// Only those of rules that are at least so sensitive
    #[arg(long, value_name = "LEAST", value_parser = sensitivity())]
    sensitivity: Option<Sensitivity>,
}

/// Show one hold with its process
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// Id, or a unique beginning of it
    #[arg(value_name = "ID", value_parser = hold_id)]
    id: String,
}

pub(super) async fn ls(ls: &Ls, global: &Global, screen: &Screen) -> Result<(), Failure> {
    let control = global.control().await?;
    let mut holds = control.list_holds(ls.all, &screen.moment()).await?;
    holds.retain(|hold| hold.is_at_least(ls.sensitivity));
    if !ls.all {
        // Stable: among equals the newest change stays the first.
        holds.sort_by_key(|hold| Reverse(hold.sensitivity));
    }
    let nothing = if ls.all { "no holds" } else { "nothing waits" };
    let empty = ls.sensitivity.map_or_else(
        || nothing.to_owned(),
        |least| format!("{nothing} of sensitivity `{least}` or more"),
    );
    screen.list(&holds, &empty)
}

pub(super) async fn show(show: &Show, global: &Global, screen: &Screen) -> Result<(), Failure> {
    let control = global.control().await?;
    let hold = control
        .hold(&show.id, "find the hold", &screen.moment())
        .await
        .map_err(listing)?;
    screen.one(&hold)
}

/// Says where ids come from.
pub(super) fn listing(failure: Failure) -> Failure {
    match failure.kind {
        Kind::NotFound => {
            failure.hint("`stayhand hold ls` shows what waits, with --all also what is over")
        }
        Kind::Conflict => {
            failure.hint("give more of the id; `stayhand hold ls --all` shows every hold")
        }
        _ => failure,
    }
}
