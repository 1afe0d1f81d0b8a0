//! `stayhand whoami`: who the control plane takes its caller for, and what they may do.

use crate::{args::Global, failure::Failure, screen::Screen};

/// Who am I to the control plane, and what may I do?
///
/// Names every action that some rule permits you, and the rules. "Not of everything" says that it also depends on what it is done
/// to, or on when: try it, and a refusal names the rule. Whatever is not listed is refused.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stayhand whoami
  stayhand whoami -o json")]
pub(crate) struct Whoami {}

pub(crate) async fn run(global: &Global, screen: &Screen) -> Result<(), Failure> {
    let control = global.control().await?;
    screen.one(&control.caller().await?)
}
