//! `stayhand hold`: actions that wait for a person.

mod answer;
mod read;
mod watch;

use crate::{args::Global, failure::Failure, screen::Screen};

/// Show and answer the actions that wait for a person
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Ls(read::Ls),
    Show(read::Show),
    Watch(watch::Watch),
    /// Let the very same call go on, once
    ///
    /// Waits until its host says that the call went on; exits 4 when the approval came too late for it.
    #[command(after_help = "\
Example:
  stayhand hold approve 3f2a --reason 'INC-17, agreed on the phone'")]
    Approve(answer::Answer),
    /// Refuse the call: it gets EPERM, and its caller is told your reason
    #[command(after_help = "\
Example:
  stayhand hold refuse 3f2a --reason 'not during the freeze'")]
    Refuse(answer::Answer),
}

pub(crate) async fn run(
    command: &Command,
    global: &Global,
    screen: &Screen,
) -> Result<(), Failure> {
    match command {
        Command::Ls(arguments) => read::ls(arguments, global, screen).await,
        Command::Show(arguments) => read::show(arguments, global, screen).await,
        Command::Watch(arguments) => watch::run(arguments, global, screen).await,
        Command::Approve(given) => answer::approve(given, global, screen).await,
        Command::Refuse(given) => answer::refuse(given, global, screen).await,
    }
}
