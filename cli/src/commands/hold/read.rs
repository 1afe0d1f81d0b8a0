//! `stayhand hold ls` and `stayhand hold show`.

use crate::{
    args::{Global, hold_id},
    failure::{Failure, Kind},
    screen::Screen,
};

/// List what waits: who, what, where, why, since when, and how long is left
#[derive(Debug, clap::Args)]
pub(crate) struct Ls {
    /// Also those that are over
    #[arg(long)]
    all: bool,
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
    let holds = control.list_holds(ls.all, &screen.moment()).await?;
    screen.list(&holds, if ls.all { "no holds" } else { "nothing waits" })
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
