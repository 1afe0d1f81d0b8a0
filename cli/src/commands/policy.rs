//! `stayhand policy`: check, test, explain, compare, replay, learn, write out, apply, approve, take back, remove and show policies;
//! show presets and the schema.

mod annotate;
mod apply;
mod check;
mod diff;
mod expand;
mod explain;
mod files;
mod findings;
mod learn;
mod plan;
mod presets;
mod proposal;
mod recorded;
mod remove;
mod replay;
mod roll_out;
mod rollback;
mod schema;
mod show;
mod status;
mod test;

use std::io::Read as _;

use stayhand_guardrail::{id::PolicyName, limits::SOURCE_BYTES_MAX, text::safe};

use crate::{
    args::Global,
    client::Control,
    failure::{Failure, Kind},
    screen::Screen,
    view::Policy,
};

/// Check, test, explain, compare, replay, learn, write out, apply, take back, remove and show policies, and print their schema
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Check(check::Check),
    Test(test::Test),
    Explain(Box<explain::Explain>),
    Diff(diff::Diff),
    Replay(replay::Replay),
    Learn(learn::Learn),
    Expand(expand::Expand),
    Presets(presets::Presets),
    Plan(plan::Plan),
    Apply(apply::Apply),
    Proposals(proposal::Proposals),
    /// Approve a proposed change; the last approval that it takes applies it
    Approve(proposal::Answer),
    /// Refuse a proposed change, or take back one's own
    Refuse(proposal::Answer),
    RollOut(roll_out::RollOut),
    Status(status::Status),
    Rollback(rollback::Rollback),
    Remove(remove::Remove),
    Show(show::Show),
    Schema(schema::Schema),
}

pub(crate) async fn run(
    command: &Command,
    global: &Global,
    screen: &Screen,
) -> Result<(), Failure> {
    match command {
        Command::Check(arguments) => check::run(arguments, screen),
        Command::Test(arguments) => test::run(arguments, screen),
        Command::Explain(arguments) => explain::run(arguments, screen),
        Command::Diff(arguments) => diff::run(arguments, screen),
        Command::Replay(arguments) => replay::run(arguments, global, screen).await,
        Command::Learn(arguments) => learn::run(arguments, global, screen).await,
        Command::Expand(arguments) => expand::run(arguments, screen),
        Command::Presets(arguments) => presets::run(arguments, screen),
        Command::Plan(arguments) => plan::run(arguments, global, screen).await,
        Command::Apply(arguments) => apply::run(arguments, global, screen).await,
        Command::Proposals(arguments) => proposal::list(arguments, global, screen).await,
        Command::Approve(answer) => proposal::approve(answer, global, screen).await,
        Command::Refuse(answer) => proposal::refuse(answer, global, screen).await,
        Command::RollOut(arguments) => roll_out::run(arguments, global, screen).await,
        Command::Status(arguments) => status::run(arguments, global, screen).await,
        Command::Rollback(arguments) => rollback::run(arguments, global, screen).await,
        Command::Remove(arguments) => remove::run(arguments, global, screen).await,
        Command::Schema(_) => schema::run(screen),
        Command::Show(arguments) => show::run(arguments, global, screen).await,
    }
}

/// A revision that the control plane has; 0 is the newest.
async fn find(control: &Control, name: &PolicyName, revision: u64) -> Result<Policy, Failure> {
    let found = control.policy(name.as_str(), revision).await;
    found.map_err(with_names)
}

/// Says where the names of policies are, if there is none of this name.
fn with_names(failure: Failure) -> Failure {
    match failure.kind {
        Kind::NotFound => {
            failure.hint("`stayhand policy show` lists the policies with their newest revisions")
        }
        _ => failure,
    }
}

/// What hosts have where a roll-out of this revision does not say otherwise; none of a policy that is new.
async fn standing(newest: Policy, control: &Control) -> Result<Option<Policy>, Failure> {
    match newest.standing() {
        0 => Ok(None),
        revision if revision == newest.revision => Ok(Some(newest)),
        revision => control.policy(&newest.name, revision).await.map(Some),
    }
}

/// Opens a file; `-` is standard input.
fn opened(file: &str) -> Result<Box<dyn std::io::Read>, Failure> {
    if file == "-" {
        return Ok(Box::new(std::io::stdin().lock()));
    }
    match std::fs::File::open(file) {
        Ok(found) => Ok(Box::new(found)),
        Err(error) => Err(unreadable(file, &error)),
    }
}

fn unreadable(file: &str, error: &std::io::Error) -> Failure {
    let kind = match error.kind() {
        std::io::ErrorKind::NotFound => Kind::NotFound,
        _ => Kind::General,
    };
    Failure::new(kind, format!("could not read `{}`: {error}", safe(file)))
}

/// Reads a policy source; `-` is standard input. Never more than the bound of the language.
fn read(file: &str) -> Result<String, Failure> {
    let shown = safe(file);
    let mut bytes = Vec::new();
    let bound = u64::try_from(SOURCE_BYTES_MAX).unwrap_or(u64::MAX);
    opened(file)?
        .take(bound.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(file, &error))?;
    if bytes.len() > SOURCE_BYTES_MAX {
        return Err(Failure::general(format!(
            "`{shown}` has more than the {SOURCE_BYTES_MAX} bytes that a policy may have"
        ))
        .hint("split it: a host takes several policies"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::general(format!("`{shown}` is not UTF-8: byte {} is wrong", at + 1))
    })
}
