//! `stayhand policy show`: every policy, or the document of one.

use stayhand_guardrail::id::PolicyName;

use super::find;
use crate::{
    args::{Format, Global},
    failure::Failure,
    screen::Screen,
    view::{Policy, prose},
};

/// List the policies, or print the document of one
///
/// The document goes to standard output byte for byte; on a terminal, what could act on it is shown escaped.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stayhand policy show
  stayhand policy show baseline --revision 3 > baseline.yaml")]
pub(crate) struct Show {
    /// Name of the policy
    #[arg(value_name = "NAME")]
    name: Option<PolicyName>,
    /// Revision [default: the newest]
    #[arg(long, value_name = "N", requires = "name", value_parser = clap::value_parser!(u64).range(1..))]
    revision: Option<u64>,
}

pub(super) async fn run(show: &Show, global: &Global, screen: &Screen) -> Result<(), Failure> {
    let control = global.control().await?;
    let Some(name) = &show.name else {
        let policies = control.list_policies().await?;
        return screen.list(
            &policies,
            "no policy has been applied; `stayhand policy apply FILE` does",
        );
    };
    let policy = find(&control, name, show.revision.unwrap_or(0)).await?;
    match screen.format_or(Format::Table) {
        Format::Table => document(&policy, screen),
        _ => screen.one(&policy),
    }
}

fn document(policy: &Policy, screen: &Screen) -> Result<(), Failure> {
    use crate::render::View as _;
    screen.note(crate::render::pairs(&policy.details(&screen.moment())).trim_end());
    if policy.removed {
        return Ok(());
    }
    if !screen.out_is_terminal() {
        return screen.exact(&policy.source);
    }
    screen.data(&prose(&policy.source))
}
