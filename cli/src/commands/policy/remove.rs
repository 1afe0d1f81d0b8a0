//! `stayhand policy remove`: makes a policy count nowhere.

use stayhand_guardrail::{id::PolicyName, text::safe};

use super::{apply::until_enforced, with_names};
use crate::{
    args::{Format, Global, reason},
    failure::Failure,
    screen::Screen,
    view::Applied,
};

/// Remove a policy: its rules count on no host any more
///
/// What it restricted is free from then on, unless another policy restricts it. Its revisions stay: `policy rollback` makes one
/// of them count again. Grants that carry its permissions have to be over, and what its rules hold has to be answered. What a host
/// holds because of it before it hears of the removal goes on with whatever wakes it, a refusal included. Where changes take several people (`policies.stages` of the control plane), this makes a proposal.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stayhand policy remove old-baseline --reason 'replaced by baseline' --dry-run
  stayhand policy remove old-baseline --reason 'replaced by baseline' --replaces 4 --wait --timeout 1m")]
pub(crate) struct Remove {
    /// Name of the policy
    #[arg(value_name = "NAME")]
    name: PolicyName,
    /// Why; it is kept in the events
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    /// Check everything, change nothing
    #[arg(long)]
    dry_run: bool,
    /// Wait until every online host has let go of it
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
    /// Only if the policy is at this revision
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    replaces: Option<u64>,
}

pub(super) async fn run(remove: &Remove, global: &Global, screen: &Screen) -> Result<(), Failure> {
    let control = global.control().await?;
    let asked = control.remove_policy(
        &remove.name,
        remove.reason.clone(),
        remove.dry_run,
        remove.replaces,
    );
    let mut removed = asked.await.map_err(with_names)?;
    if let Some(proposal) = &removed.proposal {
        screen.note(&proposal.next());
    }
    let outcome = if remove.wait && removed.proposal.is_none() {
        until_enforced(&mut removed, &control, global, screen).await
    } else {
        Ok(())
    };
    match screen.format_or(Format::Table) {
        Format::Table => screen.data(&sentence(&removed))?,
        _ => screen.one(&removed)?,
    }
    outcome
}

fn sentence(removed: &Applied) -> String {
    let name = safe(&removed.policy.name);
    if let Some(proposal) = &removed.proposal {
        let number = proposal.number();
        return format!("removing policy {name} is proposed as number {number}");
    }
    if removed.dry_run {
        return format!("policy {name} would be removed (dry run: nothing was changed)");
    }
    let revision = removed.policy.revision;
    format!(
        "policy {name} removed, with revision {revision}; `stayhand policy rollback {name}` makes it count again"
    )
}
