//! `stayhand policy check`: everything that is wrong with policies, without asking anybody.

use serde::Serialize;
use stayhand_guardrail::{
    id::Revision,
    policy::{self, Policy, Versioned},
    text::safe,
};

use super::{findings, read};
use crate::{
    args::Format,
    failure::{Failure, Kind},
    screen::Screen,
    view::Finding,
};

/// Check policies offline: every finding with its place and a remedy
///
/// Several files are also checked together, as one host would enforce them. Exits 1 when there is an error.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stayhand policy check prod.yaml
  stayhand policy check policies/*.yaml -o json")]
pub(crate) struct Check {
    /// Policy documents; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
}

/// What was found, for programs.
#[derive(Debug, Serialize)]
struct Report {
    valid: bool,
    files: Vec<Checked>,
    /// What is wrong with the files taken together
    together: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Checked {
    file: String,
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    rules: usize,
    findings: Vec<Finding>,
    #[serde(skip)]
    source: String,
}

pub(super) fn run(check: &Check, screen: &Screen) -> Result<(), Failure> {
    let mut files = Vec::new();
    let mut policies = Vec::new();
    for file in &check.files {
        let (checked, policy) = examine(file, read(file)?);
        files.push(checked);
        policies.extend(policy);
    }
    let together = compile(policies);
    let report = Report {
        valid: together.is_empty() && files.iter().all(|file| file.valid),
        files,
        together,
    };
    match screen.format_or(Format::Table) {
        Format::Table => print(&report, screen)?,
        Format::Name => {
            let valid = report.files.iter().filter(|file| file.valid);
            let names: String = valid
                .filter_map(|file| file.policy.as_ref())
                .map(|name| format!("{name}\n"))
                .collect();
            screen.data(&names)?;
        }
        Format::Json | Format::Jsonl | Format::Yaml => screen.document("PolicyCheck", &report)?,
    }
    if report.valid {
        return Ok(());
    }
    let bad = report.files.iter().filter(|file| !file.valid).count();
    let text = match bad {
        0 => "the policies cannot be enforced together".into(),
        1 => "1 policy has errors".into(),
        _ => format!("{bad} policies have errors"),
    };
    Err(Failure::new(Kind::General, text))
}

/// Reads one document; a policy that does not parse has no warnings yet.
fn examine(file: &str, source: String) -> (Checked, Option<Policy>) {
    let (policy, found) = match policy::parse(&source) {
        Ok(policy) => {
            let warnings = policy::check(&policy);
            (Some(policy), warnings)
        }
        Err(errors) => (None, errors),
    };
    let checked = Checked {
        file: file.to_owned(),
        valid: policy.is_some(),
        policy: policy.as_ref().map(|policy| policy.name.to_string()),
        rules: policy.as_ref().map_or(0, |policy| policy.rules.len()),
        findings: found.iter().map(Finding::of_diagnostic).collect(),
        source,
    };
    (checked, policy)
}

/// Whether the kernel has room for them, together on one host.
fn compile(policies: Vec<Policy>) -> Vec<String> {
    let versioned: Vec<Versioned> = policies
        .into_iter()
        .map(|policy| Versioned {
            revision: Revision(1),
            policy,
        })
        .collect();
    match policy::compile(&versioned) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

/// Findings to standard error, the result to standard output.
fn print(report: &Report, screen: &Screen) -> Result<(), Failure> {
    for file in &report.files {
        for found in &file.findings {
            screen.note(&findings::shown(&file.file, &file.source, found, screen));
        }
    }
    for problem in &report.together {
        screen.note(&format!("together: {}", crate::view::prose(problem)));
    }
    for file in &report.files {
        let shown = safe(&file.file);
        let (errors, warnings) = count(&file.findings);
        let line = match &file.policy {
            Some(policy) => {
                let (rules, warnings) = (many(file.rules, "rule"), many(warnings, "warning"));
                format!("{shown}: ok: policy {policy}, {rules}, {warnings}")
            }
            None => format!("{shown}: refused: {}", many(errors, "error")),
        };
        screen.data(&line)?;
    }
    Ok(())
}

fn many(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

fn count(found: &[Finding]) -> (usize, usize) {
    let errors = found
        .iter()
        .filter(|found| found.severity == "error")
        .count();
    (errors, found.len() - errors)
}
