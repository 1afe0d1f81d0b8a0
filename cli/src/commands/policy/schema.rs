//! `stayhand policy schema`: what an editor needs to know of the language.

use stayhand_guardrail::policy::schema;

use crate::{failure::Failure, screen::Screen};

/// Print the JSON Schema of policies, for editors and programs
///
/// It names every key with what it says, and refuses unknown keys and values of a wrong type; `stayhand policy check` knows
/// more. It names no other document, so that nothing is fetched.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stayhand policy schema > policy.schema.json")]
pub(crate) struct Schema {}

pub(super) fn run(screen: &Screen) -> Result<(), Failure> {
    screen.exact(&format!("{:#}\n", schema()))
}
