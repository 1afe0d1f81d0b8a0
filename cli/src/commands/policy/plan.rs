//! `stayhand policy plan`: what applying documents would change, before anything is.

use serde::Serialize;
use stayhand_guardrail::policy::{self, Policy};

use super::{apply, diff::Report, read, standing};
use crate::{
    args::{Format, Global},
    client::{Control, NewRevision},
    failure::{Failure, Kind},
    screen::Screen,
};

/// Say what applying policies would change, and change nothing
///
/// Each document is compared with the newest revision that the control plane has of its policy, as `policy diff` does (with the
/// one that hosts went back to, where a roll-out was stopped), and the control plane checks it as if it were applied. Exits 1 when one of them would be refused.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stayhand policy plan policies/*.yaml
  stayhand policy plan prod.yaml --exit-code && echo 'nothing to do'")]
pub(crate) struct Plan {
    /// Policy documents; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Exit 1 when something would change, too
    #[arg(long)]
    exit_code: bool,
}

/// What would become of one document.
#[derive(Debug, Serialize)]
struct Step {
    file: String,
    policy: String,
    /// The newest revision, 0 for none
    revision: u64,
    /// `unchanged`, `new` or `changed`
    change: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<Report>,
}

#[derive(Debug, Serialize)]
struct Steps<'a> {
    items: &'a [Step],
}

pub(super) async fn run(plan: &Plan, global: &Global, screen: &Screen) -> Result<(), Failure> {
    let mut sources = Vec::new();
    for file in &plan.files {
        let source = read(file)?;
        sources.push((file, apply::check(file, &source, screen)?, source));
    }
    let control = global.control().await?;
    let mut steps = Vec::new();
    for (file, policy, source) in sources {
        steps.push(step(file, &policy, source, &control).await?);
    }
    match screen.format_or(Format::Table) {
        Format::Table => {
            for step in &steps {
                screen.data(&step.shown(screen))?;
            }
        }
        Format::Name => {
            let changing = steps.iter().filter(|step| step.changes());
            let names: String = changing.map(|step| format!("{}\n", step.policy)).collect();
            screen.data(&names)?;
        }
        Format::Json | Format::Jsonl | Format::Yaml => {
            screen.document("PolicyPlanList", &Steps { items: &steps })?;
        }
    }
    let changing = steps.iter().filter(|step| step.changes()).count();
    if plan.exit_code && changing > 0 {
        return Err(Failure::general(format!(
            "{changing} policies would change"
        )));
    }
    Ok(())
}

async fn step(
    file: &str,
    new: &Policy,
    source: String,
    control: &Control,
) -> Result<Step, Failure> {
    let name = new.name.as_str();
    let there = match control.policy(name, 0).await {
        Ok(there) => Some(there),
        Err(failure) if failure.kind == Kind::NotFound => None,
        Err(failure) => return Err(failure),
    };
    let revision = there.as_ref().map_or(0, |there| there.revision);
    let counts = there.as_ref().is_some_and(|there| !there.removed);
    let applied = control
        .apply_policy(NewRevision {
            source,
            dry_run: true,
            replaces: Some(revision),
            ..NewRevision::default()
        })
        .await?;
    let old = match there {
        Some(there) => standing(there, control).await?,
        None => None,
    };
    let old = old.and_then(|old| policy::parse(&old.source).ok());
    Ok(Step {
        file: file.to_owned(),
        policy: name.to_owned(),
        revision,
        change: match (applied.changed, counts) {
            (false, _) => "unchanged",
            (true, false) => "new",
            (true, true) => "changed",
        },
        diff: old
            .filter(|_| applied.changed)
            .map(|old| Report::between(&old, new, None)),
    })
}

impl Step {
    fn changes(&self) -> bool {
        self.change != "unchanged"
    }

    fn shown(&self, screen: &Screen) -> String {
        let Self {
            policy,
            revision,
            change,
            ..
        } = self;
        let head = match revision {
            0 => format!("policy {policy}: {change}\n"),
            _ => format!("policy {policy} revision {revision}: {change}\n"),
        };
        let rest = self.diff.as_ref().map(|diff| diff.text(screen));
        head + &rest.unwrap_or_default()
    }
}
