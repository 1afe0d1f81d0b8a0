//! `stayhand hold approve` and `stayhand hold refuse`: answers, and then what became of the call.

use std::time::Duration;

use super::read::listing;
use crate::{
    args::{Global, hold_id, reason},
    client::Control,
    failure::{Failure, Kind},
    screen::Screen,
    view::Hold,
};

/// Between two looks at a hold that was approved: short against the second or so that a person notices.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What approving and refusing take.
#[derive(Debug, clap::Args)]
pub(crate) struct Answer {
    /// Id, or a unique beginning of it
    #[arg(value_name = "ID", value_parser = hold_id)]
    id: String,
    /// Why; the one who waits is told, and it is kept in the events
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    /// Do not wait for the outcome
    #[arg(long)]
    no_wait: bool,
}

pub(super) async fn approve(
    answer: &Answer,
    global: &Global,
    screen: &Screen,
) -> Result<(), Failure> {
    let control = global.control().await?;
    let found = find(&control, answer, "approve the hold", screen).await?;
    let reason = answer.reason.clone();
    let approved = control
        .approve_hold(&found.id, reason, &screen.moment())
        .await?;
    if approved.is_pending() {
        screen.one(&approved)?;
        screen.note(&approved.still_needs());
        return Ok(());
    }
    if answer.no_wait {
        return screen.one(&approved);
    }
    let hold = outcome(approved, &control, global, screen).await?;
    screen.one(&hold)?;
    judge(&hold, global)
}

pub(super) async fn refuse(
    answer: &Answer,
    global: &Global,
    screen: &Screen,
) -> Result<(), Failure> {
    let control = global.control().await?;
    let found = find(&control, answer, "refuse the hold", screen).await?;
    let reason = answer.reason.clone();
    let refused = control
        .refuse_hold(&found.id, reason, &screen.moment())
        .await?;
    screen.one(&refused)
}

/// A beginning is resolved first, so that what is answered is what was found.
async fn find(
    control: &Control,
    answer: &Answer,
    what: &str,
    screen: &Screen,
) -> Result<Hold, Failure> {
    control
        .hold(&answer.id, what, &screen.moment())
        .await
        .map_err(listing)
}

/// Looks until the hold is over or patience is.
async fn outcome(
    approved: Hold,
    control: &Control,
    global: &Global,
    screen: &Screen,
) -> Result<Hold, Failure> {
    let mut hold = approved;
    let until = tokio::time::Instant::now() + global.patience();
    while !hold.is_over() && tokio::time::Instant::now() < until {
        tokio::time::sleep(LOOK_EVERY).await;
        hold = control
            .hold(&hold.id, "see what became of the hold", &screen.moment())
            .await?;
    }
    Ok(hold)
}

fn judge(hold: &Hold, global: &Global) -> Result<(), Failure> {
    match (hold.state, hold.released) {
        ("approved", true) => Ok(()),
        ("approved", false) => Err(Failure::new(
            Kind::Unavailable,
            format!(
                "approved, but host `{}` has not said within {} that the call went on",
                stayhand_guardrail::text::safe(&hold.host),
                global.timeout
            ),
        )
        .hint(format!(
            "the approval stands; look again with: stayhand hold show {}",
            hold.id
        ))),
        (state, _) => Err(Failure::new(
            Kind::Conflict,
            format!("the approval came too late: the hold is {state}, and the call did not go on"),
        )
        .hint("the program has to be started again")),
    }
}
