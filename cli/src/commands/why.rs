//! `stayhand why`: what the guarded person, script or AI agent asks after something did not work.

use crate::{
    args::{Format, Global},
    client::Agent,
    failure::Failure,
    render::{View as _, pairs},
    screen::{Screen, Tone},
    view::{Explanation, prose},
};

/// Explanations that can be asked for: what an agent keeps per subject is of that order.
const LAST_MAX: i64 = 100;

/// Why was I stopped, and what now?
///
/// Asks the agent of this host about your own actions, newest first: the rule, the policy's message, the hold and
/// how long is left, and the exact command that somebody entitled runs. -o json says the same to a program.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stayhand why
  stayhand why --last 5
  stayhand why --pid 4321 -o json")]
pub(crate) struct Why {
    /// How many, newest first
    #[arg(long, value_name = "N", num_args = 0..=1, default_value = "1", default_missing_value = "1",
          value_parser = clap::value_parser!(u32).range(1..=LAST_MAX))]
    last: u32,
    /// Only about this process
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pid: Option<u32>,
}

pub(crate) async fn run(why: &Why, global: &Global, screen: &Screen) -> Result<(), Failure> {
    let agent = Agent::connect(&global.agent_socket, global.patience())
        .await
        .map_err(|failure| {
            failure.hint("what the kernel enforces stays enforced without the agent")
        })?;
    let told = agent.why(why.last, why.pid, &screen.moment()).await?;
    if screen.format_or(Format::Table) != Format::Table {
        return screen.list(&told, "");
    }
    if told.is_empty() {
        screen.note(match why.pid {
            Some(_) => "nothing that this process did under your login was stopped",
            None => "nothing that you did was stopped; if it failed, it failed for another reason",
        });
        return Ok(());
    }
    let shown: Vec<String> = told.iter().map(|one| person(one, screen)).collect();
    screen.data(&shown.join("\n"))
}

/// The answer at once, then the facts, then the command to hand on.
fn person(told: &Explanation, screen: &Screen) -> String {
    let tone = match told.headline() {
        "WENT ON" => Tone::Good,
        "HELD" => Tone::Care,
        _ => Tone::Bad,
    };
    let headline = screen.paint(told.headline(), tone);
    let what = told.what();
    let facts = pairs(&told.details(&screen.moment()));
    let command = match &told.command {
        Some(command) => format!("\n      {}\n", screen.paint(&prose(command), Tone::Strong)),
        None => String::new(),
    };
    format!("{headline}: {what}\n{facts}{command}")
}
