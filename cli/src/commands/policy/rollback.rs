//! `stayhand policy rollback`: makes the document of an earlier revision the newest one.

use stayhand_guardrail::{id::PolicyName, policy::Policy, text::safe};

use super::{
    apply::{Submission, check, submit},
    diff::Report,
    find,
};
use crate::{args::Global, failure::Failure, screen::Screen, view};

/// Make the document of an earlier revision the newest one
///
/// Nothing is taken away: the document becomes a revision of its own, which is checked and tested as any other. What changes
/// is said first. A roll-out of the policy that runs is stopped by it. If somebody applies another revision meanwhile, nothing is done (exit code 4).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stayhand policy rollback baseline --dry-run
  stayhand policy rollback baseline --to 3 --wait --timeout 1m")]
pub(crate) struct Rollback {
    /// Name of the policy
    #[arg(value_name = "NAME")]
    name: PolicyName,
    /// Revision to go back to [default: the one before the newest]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    to: Option<u64>,
    /// Check everything, change nothing
    #[arg(long)]
    dry_run: bool,
    /// Wait until every online host enforces it
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
}

pub(super) async fn run(
    rollback: &Rollback,
    global: &Global,
    screen: &Screen,
) -> Result<(), Failure> {
    let control = global.control().await?;
    let newest = find(&control, &rollback.name, 0).await?;
    let to = target(rollback.to, &newest)?;
    let earlier = find(&control, &rollback.name, to).await?;
    if let (Some(now), Some(then)) = (parsed(&newest), parsed(&earlier)) {
        let report = Report::between(&now, &then, None);
        screen.note(&(report.text(screen) + &report.remarks()));
    }
    let label = format!("{}@{to}", rollback.name);
    check(&label, &earlier.source, screen)?;
    let submission = Submission {
        label: &label,
        source: earlier.source,
        replaces: Some(newest.revision),
        dry_run: rollback.dry_run,
        wait: rollback.wait,
        rollout: None,
        // A roll-out that runs ends with it, and its hosts are back before anybody has to approve anything.
        stop_reason: newest
            .is_rolled_out()
            .then(|| format!("rolled back to revision {to}")),
    };
    submit(submission, &control, global, screen).await
}

fn target(to: Option<u64>, newest: &view::Policy) -> Result<u64, Failure> {
    let (name, now) = (safe(&newest.name), newest.revision);
    match to {
        Some(to) if to < now => Ok(to),
        Some(to) => Err(Failure::general(format!(
            "policy {name} is at revision {now}: {to} is not before it"
        ))),
        // Where its roll-out is not done, that is what most hosts have.
        None if newest.standing() != now && newest.standing() > 0 => Ok(newest.standing()),
        None if newest.standing() == now && now > 1 => Ok(now - 1),
        None => Err(Failure::general(format!(
            "policy {name} has no revision before {now}"
        ))),
    }
}

/// None where this version cannot read it any more: there is nothing to compare, and the check says why.
fn parsed(stored: &view::Policy) -> Option<Policy> {
    stayhand_guardrail::policy::parse(&stored.source).ok()
}
