//! `stayhand policy apply`: makes a document the newest revision of the policy that it names.

use std::time::Duration;

use stayhand_guardrail::{
    policy::{self, Policy, case},
    rollout::Plan,
    text::safe,
};

use super::{super::rollout::Rollout, files::many, findings, read, roll_out::Options};
use crate::{
    args::{Format, Global},
    client::{Control, NewRevision},
    failure::Failure,
    screen::Screen,
    view::{Applied, Finding},
};

/// Between two looks at the hosts.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Make a document the newest revision of the policy that it names
///
/// What the document says is checked here first, with the same findings as `policy check`, and its own tests are run: a
/// policy that fails one of them is not applied. Where changes take several people (`policies.stages` of the control plane),
/// this makes a proposal, and `policy approve` applies it. The hosts take the revision over by themselves; --wait waits until every
/// online host enforces it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stayhand policy apply prod.yaml --dry-run
  stayhand policy apply prod.yaml --replaces 4 --wait --timeout 1m
  stayhand policy apply prod.yaml --roll-out --monitor 1h --canary env=canary,region=eu --canary-for 2h --stop-at 3x")]
pub(crate) struct Apply {
    /// Policy document; - is standard input
    #[arg(value_name = "FILE")]
    file: String,
    /// Check everything, change nothing
    #[arg(long)]
    dry_run: bool,
    /// Wait until every online host enforces it; with --roll-out, every one of the canary hosts
    #[arg(long, conflicts_with_all = ["dry_run", "monitor"])]
    wait: bool,
    /// Only if the policy is at this revision, 0 for a new one: what two people apply at once is refused to the second
    #[arg(long, value_name = "N")]
    replaces: Option<u64>,
    #[command(flatten)]
    roll_out: Options,
}

/// A document on its way to the control plane.
pub(super) struct Submission<'a> {
    /// Where it comes from, for findings
    pub(super) label: &'a str,
    pub(super) source: String,
    /// The revision that it is to replace, if only that one
    pub(super) replaces: Option<u64>,
    pub(super) dry_run: bool,
    pub(super) wait: bool,
    /// None: every host gets it at once
    pub(super) rollout: Option<Plan>,
    /// Stop a roll-out of the policy that runs, for this reason
    pub(super) stop_reason: Option<String>,
}

pub(super) async fn run(apply: &Apply, global: &Global, screen: &Screen) -> Result<(), Failure> {
    let rollout = apply.roll_out.plan()?;
    let source = read(&apply.file)?;
    check(&apply.file, &source, screen)?;
    let control = global.control().await?;
    let submission = Submission {
        label: &apply.file,
        source,
        replaces: apply.replaces,
        dry_run: apply.dry_run,
        wait: apply.wait,
        rollout,
        stop_reason: None,
    };
    submit(submission, &control, global, screen).await
}

/// Applies what was checked and says what became of it.
pub(super) async fn submit(
    submission: Submission<'_>,
    control: &Control,
    global: &Global,
    screen: &Screen,
) -> Result<(), Failure> {
    let Submission { label, source, .. } = submission;
    let asked = control.apply_policy(NewRevision {
        source: source.clone(),
        dry_run: submission.dry_run,
        replaces: submission.replaces,
        rollout: submission.rollout,
        stop_reason: submission.stop_reason,
    });
    let mut applied = asked.await?;
    for found in &applied.warnings {
        screen.note(&findings::shown(label, &source, found, screen));
    }
    if let Some(proposal) = &applied.proposal {
        screen.note(&proposal.next());
    }
    // What waits for people is not on its way to hosts.
    let outcome = if submission.wait && applied.proposal.is_none() {
        wait(&source, &mut applied, control, global, screen).await
    } else {
        Ok(())
    };
    match screen.format_or(Format::Table) {
        Format::Table => screen.data(&sentence(&applied))?,
        _ => screen.one(&applied)?,
    }
    outcome
}

/// The control plane decides; asking it about what cannot be read, or fails its own tests, would only cost the place of the
/// finding.
pub(super) fn check(file: &str, source: &str, screen: &Screen) -> Result<Policy, Failure> {
    let (found, problem) = match policy::parse(source) {
        Err(errors) => {
            let count = many(errors.len(), "error");
            (errors, count)
        }
        Ok(policy) => match case::alone(&policy) {
            (0, _) => return Ok(policy),
            (failed, problems) => {
                let tests = many(policy.tests.len(), "test");
                (problems, format!("{failed} of its {tests} failed"))
            }
        },
    };
    for found in &found {
        let found = Finding::of_diagnostic(found);
        screen.note(&findings::shown(file, source, &found, screen));
    }
    Err(Failure::general(format!(
        "`{}` was not applied: {problem}",
        safe(file)
    )))
}

/// Whether the policy names labels that none of the hosts has. Where there is no host at all, one is waited for.
async fn is_meant_elsewhere(source: &str, control: &Control) -> Result<bool, Failure> {
    let everywhere = policy::parse(source).is_ok_and(|policy| policy.hosts.0.is_empty());
    Ok(!everywhere && !control.list_hosts().await?.is_empty())
}

async fn wait(
    source: &str,
    applied: &mut Applied,
    control: &Control,
    global: &Global,
    screen: &Screen,
) -> Result<(), Failure> {
    if applied.policy.enforcement.is_empty() && applied.policy.rollout.is_some() {
        screen.note("no host has the revision yet: there is nothing to wait for; `stayhand policy status` says what the roll-out waits for");
        return Ok(());
    }
    if applied.policy.enforcement.is_empty() && is_meant_elsewhere(source, control).await? {
        screen.note("no host has the labels that the policy names: there is nothing to wait for");
        return Ok(());
    }
    until_enforced(applied, control, global, screen).await
}

/// Waits until every online host that is to have the revision has it.
pub(super) async fn until_enforced(
    applied: &mut Applied,
    control: &Control,
    global: &Global,
    screen: &Screen,
) -> Result<(), Failure> {
    let (name, revision) = (applied.policy.name.clone(), applied.policy.revision);
    let what = if applied.policy.removed {
        "the removal"
    } else {
        "the policy"
    };
    let mut rollout = Rollout::new(screen, what);
    let until = tokio::time::Instant::now() + global.patience();
    loop {
        applied.policy = control.policy(&name, revision).await?;
        if let Some(stopped) = applied.policy.stopped() {
            return Err(Failure::general(format!("the roll-out was {stopped}")));
        }
        if rollout.settled(&applied.policy.enforcement) || tokio::time::Instant::now() >= until {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let remedy = "`stayhand host ls` shows what each host enforces".to_owned();
    rollout.verdict(global.patience(), remedy)
}

fn sentence(applied: &Applied) -> String {
    let policy = applied.policy.shown();
    if let Some(proposal) = &applied.proposal {
        return format!("policy {policy} proposed as number {}", proposal.number());
    }
    match (applied.dry_run, applied.changed) {
        (true, true) => format!("policy {policy} would be applied (dry run: nothing was changed)"),
        (false, _) if applied.policy.is_rolled_out() && applied.changed => {
            format!(
                "policy {policy} is being rolled out; `stayhand policy status` shows how far it is"
            )
        }
        (true, false) => {
            format!("policy {policy} already says this (dry run: nothing was changed)")
        }
        (false, true) => format!("policy {policy} applied"),
        (false, false) => format!("policy {policy} already says this; nothing was changed"),
    }
}
