//! `stayhand policy status`: on how many hosts each policy is enforced, and why not on the others.

use serde::Serialize;
use stayhand_guardrail::id::PolicyName;

use crate::{
    args::{Format, Global},
    failure::Failure,
    screen::Screen,
    view::PolicyStatus,
};

/// Say on which hosts each policy's newest revision is enforced, and why not on the others
///
/// A host counts once its kernel has the revision and its hooks are attached, whether it is connected or not. While a revision is
/// rolled out, the phase is shown with what it waits for, and what was counted against what stops it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stayhand policy status
  stayhand policy status prod -o json
  stayhand policy status --exit-code || echo 'look at it'")]
pub(crate) struct Status {
    /// Name of the policy [default: all of them]
    #[arg(value_name = "NAME")]
    name: Option<PolicyName>,
    /// Exit 1 when a roll-out was stopped, or a host is not as it should be by now; those whose turn it is not are
    #[arg(long)]
    exit_code: bool,
}

#[derive(Serialize)]
struct All<'a> {
    items: &'a [PolicyStatus],
}

pub(super) async fn run(status: &Status, global: &Global, screen: &Screen) -> Result<(), Failure> {
    let control = global.control().await?;
    let found = control.policy_status(status.name.as_ref()).await?;
    match screen.format_or(Format::Table) {
        Format::Table if found.is_empty() => {
            screen.note("no policy counts; `stayhand policy apply FILE` makes one count");
        }
        Format::Table => {
            let shown = found.iter().map(|one| one.shown(&screen.moment()));
            screen.data(&shown.collect::<String>())?;
        }
        Format::Name => {
            let names = found.iter().map(|one| format!("{}\n", one.policy));
            screen.data(&names.collect::<String>())?;
        }
        Format::Json | Format::Jsonl | Format::Yaml => {
            screen.document("PolicyStatusList", &All { items: &found })?;
        }
    }
    let amiss = found.iter().filter(|one| one.is_amiss()).count();
    if status.exit_code && amiss > 0 {
        let policies = if amiss == 1 {
            "policy is"
        } else {
            "policies are"
        };
        return Err(Failure::general(format!(
            "{amiss} {policies} not as it should be"
        )));
    }
    Ok(())
}
