//! `stayhand policy diff`: what a new version of a policy says otherwise, and what becomes of which actions.

use serde::Serialize;
use stayhand_guardrail::{
    id::FlagName,
    policy::{
        Policy,
        diff::{self, Change, Kind, Sample},
    },
    text::safe,
};

use super::{files::Document, findings, read};
use crate::{
    args::Format,
    failure::Failure,
    render::defused,
    screen::{Screen, Tone},
};

/// Compare two versions of a policy: what they say, and what becomes of actions
///
/// Rules are compared by the actions that they mean, whatever their order and however they are written. Then actions that both
/// versions name are judged by both: each path, a name below each directory, the first address of each range, arguments that
/// meet each condition, and what their tests attempt. What no such action stands for is not seen. Exits 0 unless --exit-code is given.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stayhand policy diff old.yaml new.yaml
  stayhand policy diff old.yaml new.yaml --flag incident
  git show main:policies/prod.yaml | stayhand policy diff - policies/prod.yaml --exit-code")]
pub(crate) struct Diff {
    /// Policy document as it is; - is standard input
    #[arg(value_name = "OLD")]
    old: String,
    /// Policy document as it will be; - is standard input
    #[arg(value_name = "NEW")]
    new: String,
    /// A flag that is set while actions are judged, and no other is but those that are named; repeatable. Without it, rules
    /// with flags may count
    #[arg(long = "flag", value_name = "FLAG")]
    flags: Vec<FlagName>,
    /// No flag is set while actions are judged
    #[arg(long, conflicts_with = "flags")]
    no_flags: bool,
    /// Exit 1 when something changes
    #[arg(long)]
    exit_code: bool,
}

impl Diff {
    fn set_flags(&self) -> Option<&[FlagName]> {
        let known = self.no_flags || !self.flags.is_empty();
        known.then_some(self.flags.as_slice())
    }
}

/// What changes, for programs.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    changed: bool,
    says: Vec<Said>,
    outcomes: Vec<Turned>,
    /// Actions that were judged
    judged: usize,
    /// What no action was made of
    without: Vec<String>,
}

/// The same with the names of both files.
#[derive(Debug, Serialize)]
struct Compared<'a> {
    old: &'a str,
    new: &'a str,
    /// Those that were set, where it was said
    #[serde(skip_serializing_if = "Option::is_none")]
    flags: Option<&'a [FlagName]>,
    #[serde(flatten)]
    report: &'a Report,
}

#[derive(Debug, Serialize)]
struct Said {
    subject: String,
    change: &'static str,
    lines: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Turned {
    who: String,
    /// Users and groups beside it for whom it is the same
    others: usize,
    /// Whether all permissions of the policy are granted
    granted: bool,
    /// Whether all rates of the policy are used up
    used_up: bool,
    action: String,
    /// When, if it is not the same at every time
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    before: Outcome,
    after: Outcome,
}

#[derive(Debug, Serialize)]
struct Outcome {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
}

/// Whether a rule counts while this flag is set.
fn names(policy: &Policy, flag: &FlagName) -> bool {
    let mut whens = policy.rules.iter().filter_map(|rule| rule.when.as_ref());
    whens.any(|when| when.flags.contains(flag))
}

pub(super) fn run(diff: &Diff, screen: &Screen) -> Result<(), Failure> {
    if diff.old == "-" && diff.new == "-" {
        return Err(Failure::general(
            "only one of the two can be standard input",
        ));
    }
    let (old, new) = (policy(&diff.old, screen)?, policy(&diff.new, screen)?);
    for flag in &diff.flags {
        if !names(&old, flag) && !names(&new, flag) {
            screen.note(&format!("no rule of either version names flag `{flag}`"));
        }
    }
    let report = Report::between(&old, &new, diff.set_flags());
    match screen.format_or(Format::Table) {
        Format::Table => {
            screen.data(&report.text(screen))?;
            screen.note(&report.remarks());
            if let Some(flags) = diff.set_flags() {
                screen.note(&judged_with(flags));
            }
        }
        Format::Name => {
            let names = report.says.iter().map(|said| format!("{}\n", said.subject));
            screen.data(&names.collect::<String>())?;
        }
        Format::Json | Format::Jsonl | Format::Yaml => {
            let files = Compared {
                old: &diff.old,
                new: &diff.new,
                flags: diff.set_flags(),
                report: &report,
            };
            screen.document("PolicyDiff", &files)?;
        }
    }
    if diff.exit_code && report.changed {
        return Err(Failure::general("the policy changes"));
    }
    Ok(())
}

fn judged_with(flags: &[FlagName]) -> String {
    match flags {
        [] => "judged with no flag set".to_owned(),
        some => {
            let names: Vec<&str> = some.iter().map(FlagName::as_str).collect();
            format!("judged with only these flags set: {}", names.join(", "))
        }
    }
}

fn policy(file: &str, screen: &Screen) -> Result<Policy, Failure> {
    let document = Document::of(file, read(file)?);
    if let Some(policy) = document.policy {
        return Ok(policy);
    }
    for found in &document.findings {
        screen.note(&findings::shown(file, &document.source, found, screen));
    }
    Err(Failure::general(format!("`{}` cannot be read", safe(file))))
}

impl Report {
    /// What changes from one to the other; where it is said which flags are set, of outcomes while they are.
    pub(super) fn between(old: &Policy, new: &Policy, flags: Option<&[FlagName]>) -> Self {
        let (changes, outcomes) = (diff::changes(old, new), diff::samples(old, new, flags));
        let said = |change: &Change| Said {
            subject: change.subject.clone(),
            change: match change.kind {
                Kind::Added => "added",
                Kind::Removed => "removed",
                Kind::Changed => "changed",
            },
            lines: change.lines.clone(),
        };
        Self {
            changed: !changes.is_empty() || !outcomes.changed.is_empty(),
            says: changes.iter().map(said).collect(),
            outcomes: outcomes.changed.iter().map(Turned::of).collect(),
            judged: outcomes.judged,
            without: outcomes.without.iter().cloned().collect(),
        }
    }

    /// For people.
    pub(super) fn text(&self, screen: &Screen) -> String {
        let mut text = String::new();
        for said in &self.says {
            let tone = match said.change {
                "added" => Tone::Good,
                "removed" => Tone::Bad,
                _ => Tone::Care,
            };
            text.push_str(&format!(
                "{} {}\n",
                screen.paint(said.change, tone),
                said.subject
            ));
            for line in &said.lines {
                text.push_str(&format!("  {line}\n"));
            }
        }
        if !self.outcomes.is_empty() {
            let head = if text.is_empty() { "" } else { "\n" };
            text.push_str(&format!("{head}outcomes that change\n"));
            for turned in &self.outcomes {
                text.push_str(&format!("  {}\n", turned.shown()));
            }
        }
        defused(&text)
    }

    /// What was not tried, and what was, so that silence is not taken for more than it is.
    pub(super) fn remarks(&self) -> String {
        let not_tried = self
            .without
            .iter()
            .map(|place| format!("not tried, because no sample could be made: {place}\n"));
        let says = if self.says.is_empty() {
            "the two say the same; "
        } else {
            ""
        };
        let (judged, turned) = (self.judged, self.outcomes.len());
        let summary = format!("{says}{judged} sample actions judged, {turned} outcomes change");
        not_tried.collect::<String>() + &summary
    }
}

impl Turned {
    fn of(sample: &Sample) -> Self {
        let outcome =
            |(outcome, rule): &(stayhand_guardrail::policy::Outcome, Option<String>)| Outcome {
                outcome: outcome.as_str(),
                rule: rule.clone(),
            };
        Self {
            who: sample.who.clone(),
            others: sample.others,
            granted: sample.granted,
            used_up: sample.used_up,
            action: sample.action.clone(),
            at: sample.time.map(|time| time.to_string()),
            before: outcome(&sample.before),
            after: outcome(&sample.after),
        }
    }

    /// `group dev (and 2 more): exec /usr/bin/nc: allow -> deny (no-netcat)`.
    fn shown(&self) -> String {
        let others = match self.others {
            0 => String::new(),
            others => format!(" (and {others} more)"),
        };
        let with = match (self.granted, self.used_up) {
            (true, _) => ", with every grant",
            (_, true) => ", with every rate used up",
            _ => "",
        };
        let before = self.before.outcome;
        let (who, action) = (&self.who, &self.action);
        let at = self.at.as_ref();
        let at = at.map_or_else(String::new, |at| format!(" at {at}"));
        format!(
            "{who}{others}{with}: {action}{at}: {before} -> {}",
            self.after.shown()
        )
    }
}

impl Outcome {
    fn shown(&self) -> String {
        match &self.rule {
            Some(rule) => format!("{} ({rule})", self.outcome),
            None => format!("{} (no rule)", self.outcome),
        }
    }
}
