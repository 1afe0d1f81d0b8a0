//! `stayhand policy replay`: what drafts would have done to what was recorded.
//!
//! Judges by the evaluator that `policy explain` asks, and changes nothing anywhere.

mod view;

use std::{collections::BTreeMap, str::FromStr};

use stayhand_guardrail::{
    event::ocsf::Line,
    id::{GroupName, HostId, UserName},
    policy::{
        HostLabels, Label,
        replay::{Replay as Judged, Report, Told},
    },
    text::safe,
};

use self::view::Shown;
use super::{
    files::{self, Document, Files, many},
    recorded::Source,
};
use crate::{
    args::{Format, Global},
    failure::Failure,
    screen::Screen,
    view::Finding,
};

/// Say what drafts would have denied or held among recorded events
///
/// Every recorded decision is judged again by these files, taken together as one host would enforce them, each as if it enforced.
/// Only what was recorded is judged: what went on by default left no event. Where an event does not hold what a rule asks for,
/// there is no answer, and the reason is counted. Exits 1 when something that went through would be stopped.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stayhand policy replay draft.yaml --since 30d --host db1
  stayhand policy replay policies/*.yaml --groups alice=dev,sre --groups bob=dev
  stayhand policy replay policies/*.yaml --events events.jsonl --on env=prod --annotations github")]
pub(crate) struct Replay {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    source: Source,
    /// All groups of a user, as USER=GROUP,GROUP; repeatable. Events do not hold them
    #[arg(long = "groups", value_name = "USER=GROUPS")]
    groups: Vec<GroupsOf>,
    /// A label of the hosts, as NAME=VALUE; repeatable. Without any, those that the control plane knows
    #[arg(long = "on", value_name = "LABEL")]
    on: Vec<Label>,
    /// Also exit 1 when a recorded decision cannot be judged
    #[arg(long)]
    require_judged: bool,
}

/// Somebody's groups.
#[derive(Clone, Debug)]
struct GroupsOf(UserName, Vec<GroupName>);

impl FromStr for GroupsOf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (user, groups) = text
            .split_once('=')
            .ok_or("write USER=GROUP,GROUP, and USER= for none")?;
        let user = user.parse().map_err(|error| format!("{error}"))?;
        let groups = groups.split(',').filter(|group| !group.is_empty());
        let groups = groups.map(|group| group.parse().map_err(|error| format!("{error}")));
        Ok(Self(user, groups.collect::<Result<_, String>>()?))
    }
}

pub(super) async fn run(replay: &Replay, global: &Global, screen: &Screen) -> Result<(), Failure> {
    if replay.source.is_stdin() && replay.files.has_stdin() {
        return Err(Failure::general(
            "only one of a policy and --events can be standard input",
        ));
    }
    let mut documents = replay.files.read()?;
    let host = files::host(&documents);
    if host.len() < documents.len() {
        replay.files.tell_all(&documents, &[], screen);
        return Err(Failure::general("not every policy can be read"));
    }
    let together = files::together(&host);
    if !together.is_empty() {
        replay.files.tell_all(&[], &together, screen);
        return Err(Failure::general("the policies cannot be enforced together"));
    }
    let told = replay.told(global).await?;
    let mut judged = Judged::new(host.into_iter().map(|one| one.policy), told);
    let looked = replay.source.each(global, screen, |line| match line {
        Line::Decision(recorded) => drop(judged.add(&recorded)),
        Line::Lost { count, .. } => judged.lost(count),
        Line::Other => {}
    });
    let looked = looked.await?;
    let report = judged.report();
    for document in &mut documents {
        // What the policy says is `policy check`'s to comment on.
        document.findings = findings(document, report);
    }
    let shown = Shown::of(report, looked.unreadable);
    match screen.format_or(Format::Table) {
        Format::Table => screen.data(&shown.text(screen))?,
        Format::Name => screen.data(&shown.names())?,
        Format::Json | Format::Jsonl | Format::Yaml => screen.document("PolicyReplay", &shown)?,
    }
    replay.files.tell_all(&documents, &[], screen);
    if screen.format_or(Format::Table) == Format::Table {
        screen.note(&shown.remarks(&screen.moment()));
    }
    replay.verdict(report)
}

impl Replay {
    async fn told(&self, global: &Global) -> Result<Told, Failure> {
        let mut told = Told::default();
        for GroupsOf(user, groups) in &self.groups {
            let known = told.groups.entry(user.clone()).or_default();
            known.extend(groups.iter().cloned());
        }
        if !self.on.is_empty() {
            told.everywhere = Some(self.on.iter().cloned().collect());
        } else if self.source.is_store() {
            told.labels = labels(global).await?;
        }
        Ok(told)
    }

    fn verdict(&self, report: &Report) -> Result<(), Failure> {
        if report.stopped > 0 {
            let decisions = many(report.stopped, "recorded decision");
            return Err(Failure::general(format!(
                "{decisions} that went through would be stopped"
            )));
        }
        let unjudged = report.decisions.saturating_sub(report.judged());
        if self.require_judged && unjudged > 0 {
            let decisions = many(unjudged, "recorded decision");
            return Err(Failure::general(format!("{decisions} cannot be judged")));
        }
        Ok(())
    }
}

/// Labels of the hosts that the control plane knows. Those of a host of which one cannot be read are not known.
async fn labels(global: &Global) -> Result<BTreeMap<HostId, HostLabels>, Failure> {
    let hosts = global.control().await?.list_hosts().await?;
    let known = hosts.iter().filter_map(|host| {
        let labels: Result<HostLabels, _> = host
            .labels
            .iter()
            .map(|label| label.parse::<Label>())
            .collect();
        Some((host.id.parse().ok()?, labels.ok()?))
    });
    Ok(known.collect())
}

/// At each rule that would have stopped something: how often, and what above all.
fn findings(document: &Document, report: &Report) -> Vec<Finding> {
    let Some(policy) = &document.policy else {
        return vec![];
    };
    let groups = report.groups();
    let of_rule = policy.rules.iter().filter_map(|rule| {
        let name = format!("{}/{}", policy.name, rule.id);
        let stopped = groups.iter().filter(|group| {
            group.change == stayhand_guardrail::policy::replay::Change::Stopped
                && group.after.rule.as_ref() == Some(&name)
        });
        let times: usize = stopped.clone().map(|group| group.times).sum();
        let first = stopped.clone().next()?;
        let others = match stopped.count() {
            1 => String::new(),
            several => format!(" and {} more", many(several - 1, "action")),
        };
        Some(Finding {
            severity: "error",
            line: rule.at.line,
            column: rule.at.column,
            message: format!(
                "rule `{}` would have stopped {} that went through: {}{others}",
                safe(rule.id.as_str()),
                many(times, "recorded decision"),
                first.action
            ),
            suggestion: None,
        })
    });
    of_rule.collect()
}
