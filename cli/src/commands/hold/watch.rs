//! `stayhand hold watch`: what waits, and every change, until interrupted.

use stayhand_guardrail::sensitivity::Sensitivity;
use tokio_stream::StreamExt as _;

use crate::{
    args::{Format, Global, sensitivity},
    failure::{Failure, Kind},
    render::View as _,
    screen::Screen,
    view::Hold,
};

/// Follow the holds live: every pending one, then each change
#[derive(Debug, clap::Args)]
pub(crate) struct Watch {
    /// Only those of rules that are at least so sensitive
    #[arg(long, value_name = "LEAST", value_parser = sensitivity())]
    sensitivity: Option<Sensitivity>,
}

pub(super) async fn run(watch: &Watch, global: &Global, screen: &Screen) -> Result<(), Failure> {
    let control = global.control().await?;
    let mut changes = control.watch_holds(screen).await?;
    screen.note("watching; end with Ctrl-C");
    while let Some(change) = changes.next().await {
        let hold = change?;
        if !hold.is_at_least(watch.sensitivity) {
            continue;
        }
        match screen.format_or(Format::Table) {
            Format::Table => screen.data(&line(&hold, screen))?,
            _ => screen.streamed(&hold)?,
        }
    }
    Err(Failure::new(
        Kind::Unavailable,
        "the control plane stopped telling about holds",
    )
    .hint("start again: stayhand hold watch"))
}

/// One line, because columns cannot be known before the last change.
fn line(hold: &Hold, screen: &Screen) -> String {
    let cells = hold.row(&screen.moment());
    cells.join("  ")
}
