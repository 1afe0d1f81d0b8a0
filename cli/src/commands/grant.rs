//! `stayhand grant`: time-boxed permissions.

mod create;
mod read;
mod revoke;

use tokio_stream::{Stream, StreamExt as _};

use super::rollout::Rollout;
use crate::{args::Global, client::Control, failure::Failure, screen::Screen, view::Grant};

/// Issue, show and revoke time-boxed permissions
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Create(create::Create),
    Ls(read::Ls),
    Show(read::Show),
    Revoke(revoke::Revoke),
}

pub(crate) async fn run(
    command: &Command,
    global: &Global,
    screen: &Screen,
) -> Result<(), Failure> {
    match command {
        Command::Create(arguments) => create::run(arguments, global, screen).await,
        Command::Ls(arguments) => read::ls(arguments, global, screen).await,
        Command::Show(arguments) => read::show(arguments, global, screen).await,
        Command::Revoke(arguments) => revoke::run(arguments, global, screen).await,
    }
}

/// Follows a grant until every online host has it in its kernel, or has it out again. Gives the newest view and
/// the outcome, because the grant exists whatever the hosts say.
async fn wait(
    grant: Grant,
    what: &'static str,
    remedy: String,
    control: &Control,
    (global, screen): (&Global, &Screen),
) -> (Grant, Result<(), Failure>) {
    let mut rollout = Rollout::new(screen, what);
    let mut newest = grant;
    let patience = global.patience();
    let followed = tokio::time::timeout(patience, async {
        let mut changes = control.watch_grant(&newest.id).await?;
        follow(&mut changes, &mut newest, &mut rollout).await
    });
    if let Ok(Err(failure)) = followed.await {
        return (newest, Err(failure));
    }
    let verdict = rollout.verdict(patience, remedy);
    (newest, verdict)
}

async fn follow(
    changes: &mut (impl Stream<Item = Result<Grant, Failure>> + Unpin),
    newest: &mut Grant,
    rollout: &mut Rollout<'_>,
) -> Result<(), Failure> {
    let wanted = newest.state;
    while let Some(change) = changes.next().await {
        *newest = change?;
        if newest.state != wanted {
            return Err(Failure::new(
                crate::failure::Kind::Conflict,
                format!("the grant is {} before every host had it", newest.state),
            )
            .hint(format!(
                "see who and why: stayhand grant show {}",
                newest.id
            )));
        }
        if rollout.settled(&newest.enforcement) {
            return Ok(());
        }
    }
    Err(Failure::new(
        crate::failure::Kind::Unavailable,
        "the control plane stopped telling about the grant",
    )
    .hint(format!("ask again: stayhand grant show {}", newest.id)))
}
