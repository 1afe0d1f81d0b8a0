//! `stayhand policy proposals`, `approve` and `refuse`: changes of policies that take several people.

use stayhand_guardrail::policy::{self, Policy};

use super::diff::Report;
use crate::{
    args::{Format, Global, reason},
    client::Control,
    failure::{Failure, Kind},
    render::{View as _, pairs},
    screen::Screen,
    view::{Proposal, prose},
};

/// List the proposed changes that wait, or show one with what it changes
///
/// The document of a proposal goes to standard output byte for byte; what it changes is said before.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stayhand policy proposals
  stayhand policy proposals 17 > proposed.yaml")]
pub(crate) struct Proposals {
    /// Number of the proposal
    #[arg(value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    number: Option<u64>,
    /// Also those that are over
    #[arg(long, conflicts_with = "number")]
    all: bool,
}

/// What approving and refusing take.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Nobody approves what they propose. What is approved is what `stayhand policy proposals NUMBER` shows: if another revision is
applied meanwhile, the proposal is outdated and nothing changes (exit code 4).")]
pub(crate) struct Answer {
    /// Number of the proposal
    #[arg(value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    number: u64,
    /// Why; it is kept in the events
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
}

pub(super) async fn list(
    proposals: &Proposals,
    global: &Global,
    screen: &Screen,
) -> Result<(), Failure> {
    let control = global.control().await?;
    let Some(number) = proposals.number else {
        let found = control.list_proposals(proposals.all).await?;
        let none = if proposals.all {
            "no proposals"
        } else {
            "nothing waits"
        };
        return screen.list(&found, none);
    };
    let found = control.proposal(number).await?;
    match screen.format_or(Format::Table) {
        Format::Table => document(&found, &control, screen).await,
        _ => screen.one(&found),
    }
}

async fn document(proposal: &Proposal, control: &Control, screen: &Screen) -> Result<(), Failure> {
    screen.note(pairs(&proposal.details(&screen.moment())).trim_end());
    if proposal.removes {
        return Ok(());
    }
    if let Some(new) = parsed(&proposal.source)
        && let Some(old) = standing(proposal, control).await?
    {
        let report = Report::between(&old, &new, None);
        screen.note(&(report.text(screen) + &report.remarks()));
    }
    if !screen.out_is_terminal() {
        return screen.exact(&proposal.source);
    }
    screen.data(&prose(&proposal.source))
}

/// The revision that it replaces; none for a new policy, and where this version cannot read it any more.
async fn standing(proposal: &Proposal, control: &Control) -> Result<Option<Policy>, Failure> {
    if proposal.base_revision == 0 {
        return Ok(None);
    }
    let base = control.policy(&proposal.policy, proposal.base_revision);
    let standing = super::standing(base.await?, control).await?;
    Ok(standing.and_then(|standing| parsed(&standing.source)))
}

fn parsed(source: &str) -> Option<Policy> {
    policy::parse(source).ok()
}

pub(super) async fn approve(
    answer: &Answer,
    global: &Global,
    screen: &Screen,
) -> Result<(), Failure> {
    let control = global.control().await?;
    let asked = control.approve_proposal(answer.number, answer.reason.clone());
    let approved = asked.await?;
    screen.one(&approved)?;
    match approved.state {
        "pending" => {
            let more = approved.waiting();
            screen.note(&format!("your approval counts, and more is needed: {more}"));
            Ok(())
        }
        "applied" => Ok(()),
        state => Err(Failure::new(
            Kind::Conflict,
            format!("the proposal is {state}: another revision was applied meanwhile, and nothing has changed"),
        )
        .hint("have it proposed again, against the revision that counts now")),
    }
}

pub(super) async fn refuse(
    answer: &Answer,
    global: &Global,
    screen: &Screen,
) -> Result<(), Failure> {
    let control = global.control().await?;
    let asked = control.refuse_proposal(answer.number, answer.reason.clone());
    screen.one(&asked.await?)
}
