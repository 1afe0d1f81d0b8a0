//! `stayhand policy check`: everything that is wrong with policies, without asking anybody.

use serde::Serialize;
use stayhand_guardrail::text::safe;

use super::files::{self, Document, Files, many};
use crate::{
    args::Format,
    failure::{Failure, Kind},
    screen::Screen,
    view::Finding,
};

/// Check policies offline: every finding with its place and a remedy
///
/// Several files are also checked together, as one host would enforce them. Tests are read and not run: `policy test` runs
/// them. Exits 1 when there is an error.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stayhand policy check prod.yaml
  stayhand policy check policies/*.yaml -o json
  stayhand policy check policies/*.yaml --annotations github")]
pub(crate) struct Check {
    #[command(flatten)]
    files: Files,
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
    tests: usize,
    findings: Vec<Finding>,
}

pub(super) fn run(check: &Check, screen: &Screen) -> Result<(), Failure> {
    let documents = check.files.read()?;
    let together = files::together(&files::host(&documents));
    check.files.tell_all(&documents, &together, screen);
    let files: Vec<Checked> = documents.iter().map(Checked::of).collect();
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

impl Checked {
    fn of(document: &Document) -> Self {
        let policy = document.policy.as_ref();
        Self {
            file: document.file.clone(),
            valid: policy.is_some(),
            policy: policy.map(|policy| policy.name.to_string()),
            rules: policy.map_or(0, |policy| policy.rules.len()),
            tests: policy.map_or(0, |policy| policy.tests.len()),
            findings: document.findings.clone(),
        }
    }
}

fn print(report: &Report, screen: &Screen) -> Result<(), Failure> {
    for file in &report.files {
        let shown = safe(&file.file);
        let (errors, warnings) = count(&file.findings);
        let line = match &file.policy {
            Some(policy) => {
                let (rules, tests) = (many(file.rules, "rule"), many(file.tests, "test"));
                let warnings = many(warnings, "warning");
                format!("{shown}: ok: policy {policy}, {rules}, {tests}, {warnings}")
            }
            None => format!("{shown}: refused: {}", many(errors, "error")),
        };
        screen.data(&line)?;
    }
    Ok(())
}

fn count(found: &[Finding]) -> (usize, usize) {
    let errors = found
        .iter()
        .filter(|found| found.severity == "error")
        .count();
    (errors, found.len() - errors)
}
