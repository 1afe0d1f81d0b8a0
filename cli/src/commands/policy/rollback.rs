//! `stayhand policy rollback`: makes the document of an earlier revision the newest one.

use stayhand_guardrail::{id::PolicyName, policy::Policy};

use super::{
    apply::{Submission, check, submit},
    diff::Report,
    find,
};
use crate::{args::Global, client::Control, failure::Failure, screen::Screen, view};

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
    /// Revision to go back to [default: the one before that counted: none that removed the policy, none whose roll-out was stopped]
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
    let earlier = match rollback.to {
        Some(to) => asked_for(to, &newest, &control, &rollback.name).await?,
        None => last_good(&newest, &control, &rollback.name).await?,
    };
    let to = earlier.revision;
    if newest.removed {
        screen.note(&format!(
            "the policy counts nowhere since revision {}: all of revision {to} is new",
            newest.revision
        ));
    }
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

/// A revision that somebody named.
async fn asked_for(
    to: u64,
    newest: &view::Policy,
    control: &Control,
    name: &PolicyName,
) -> Result<view::Policy, Failure> {
    let now = newest.revision;
    if to >= now {
        return Err(Failure::general(format!(
            "policy {name} is at revision {now}: {to} is not before it"
        )));
    }
    let earlier = find(control, name, to).await?;
    if earlier.removed {
        return Err(
            Failure::general(format!("revision {to} removed the policy: it says nothing"))
                .hint("`stayhand policy remove` removes it"),
        );
    }
    Ok(earlier)
}

/// The revision before that counted last: none that removed the policy, and none whose roll-out was stopped.
async fn last_good(
    newest: &view::Policy,
    control: &Control,
    name: &PolicyName,
) -> Result<view::Policy, Failure> {
    let now = newest.revision;
    let candidates = match newest.standing() {
        // Where its roll-out is not done, that is what most hosts have.
        standing if standing != now => (1..=standing).rev(),
        _ => (1..=now.saturating_sub(1)).rev(),
    };
    for revision in candidates {
        let earlier = find(control, name, revision).await?;
        if !earlier.removed && earlier.stopped().is_none() {
            return Ok(earlier);
        }
    }
    Err(Failure::general(format!(
        "policy {name} has no revision before {now} that counted"
    ))
    .hint("`--to N` takes one whose roll-out was stopped"))
}

/// None where this version cannot read it any more: there is nothing to compare, and the check says why.
fn parsed(stored: &view::Policy) -> Option<Policy> {
    stayhand_guardrail::policy::parse(&stored.source).ok()
}
