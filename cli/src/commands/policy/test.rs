//! `stayhand policy test`: whether policies do what their own tests say, without asking anybody.

mod tested;

use serde::Serialize;
use stayhand_guardrail::policy::{Diagnostic, Severity, Versioned, case};

use self::tested::Tested;
use super::files::{self, Document, Files, many};
use crate::{args::Format, failure::Failure, render, screen::Screen, view::Finding};

/// Run the tests that policies carry, offline
///
/// The tests of each file are judged against all files, as one host would enforce them; paths are judged by name, as they are
/// written. Then the rules that decide no test of their own file are named. Exits 1 when a test fails.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stayhand policy test prod.yaml
  stayhand policy test policies/*.yaml --require-coverage --annotations github
  stayhand policy test policies/*.yaml -o json")]
pub(crate) struct Test {
    #[command(flatten)]
    files: Files,
    /// Fail when a rule decides no test
    #[arg(long)]
    require_coverage: bool,
}

/// What became of the tests, for programs.
#[derive(Debug, Serialize)]
struct Report {
    passed: bool,
    files: Vec<TestedFile>,
    /// What is wrong with the files taken together
    together: Vec<String>,
}

#[derive(Debug, Serialize)]
struct TestedFile {
    file: String,
    passed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    tests: Vec<Tested>,
    /// Rules that decide no test
    unreached: Vec<String>,
    /// Tests that pass beside the other files and fail without them
    only_together: usize,
    findings: Vec<Finding>,
}

pub(super) fn run(test: &Test, screen: &Screen) -> Result<(), Failure> {
    let mut documents = test.files.read()?;
    let host = files::host(&documents);
    let readable = host.len() == documents.len();
    let together = files::together(&host);
    let mut all = Vec::new();
    // Without one of its policies a host decides otherwise.
    if readable && together.is_empty() {
        for (index, document) in documents.iter_mut().enumerate() {
            all.push(tried(test, &host, index, document));
        }
    } else {
        all.extend(
            documents
                .iter()
                .map(|document| TestedFile::of(document, false)),
        );
    }
    let report = Report {
        passed: together.is_empty() && all.iter().all(|file| file.passed),
        files: all,
        together,
    };
    match screen.format_or(Format::Table) {
        Format::Table => print(&report, screen)?,
        Format::Name => {
            let passed = report.files.iter().filter(|file| file.passed);
            let names = passed.filter_map(|file| file.policy.as_ref());
            screen.data(&names.map(|name| format!("{name}\n")).collect::<String>())?;
        }
        Format::Json | Format::Jsonl | Format::Yaml => screen.document("PolicyTest", &report)?,
    }
    test.files.tell_all(&documents, &report.together, screen);
    if report.passed {
        screen.note(&verdict(&report));
        return Ok(());
    }
    Err(Failure::general(if readable {
        verdict(&report)
    } else {
        "no test was run: not every policy can be read".to_owned()
    }))
}

/// Runs the tests of one document; what is wrong joins its findings.
fn tried(test: &Test, host: &[Versioned], index: usize, document: &mut Document) -> TestedFile {
    let judged = case::judge(host, index);
    let Some(policy) = &document.policy else {
        return TestedFile::of(document, false);
    };
    let severity = if test.require_coverage {
        Severity::Error
    } else {
        Severity::Warning
    };
    let uncovered = case::uncovered(policy, &judged, severity);
    let mut problems = case::problems(&judged);
    if host.len() > 1 && problems.is_empty() {
        // What passes only beside the others can never be applied.
        let by_itself = |problem: Diagnostic| Diagnostic {
            message: format!(
                "by itself, as `policy apply` judges it: {}",
                problem.message
            ),
            ..problem
        };
        problems = case::alone(policy).1.into_iter().map(by_itself).collect();
    }
    let only_together = if judged.iter().all(case::Judged::passes) {
        problems.len()
    } else {
        0
    };
    let passed = problems.is_empty() && (uncovered.is_empty() || !test.require_coverage);
    let unreached = case::unreached(policy, &judged);
    let unreached = unreached.into_iter().map(|rule| rule.id.to_string());
    let (unreached, name) = (unreached.collect(), policy.name.as_str());
    let tests = judged.iter().map(|one| Tested::of(one, name)).collect();
    let found = problems
        .iter()
        .chain(&uncovered)
        .map(Finding::of_diagnostic);
    // What the policy says is `policy check`'s to comment on.
    document.findings = found.collect();
    TestedFile {
        tests,
        unreached,
        only_together,
        ..TestedFile::of(document, passed)
    }
}

impl TestedFile {
    fn of(document: &Document, passed: bool) -> Self {
        let policy = document.policy.as_ref();
        Self {
            file: document.file.clone(),
            passed,
            policy: policy.map(|policy| policy.name.to_string()),
            tests: vec![],
            unreached: vec![],
            only_together: 0,
            findings: document.findings.clone(),
        }
    }
}

fn print(report: &Report, screen: &Screen) -> Result<(), Failure> {
    let tests: Vec<&Tested> = report.files.iter().flat_map(|file| &file.tests).collect();
    if tests.is_empty() {
        return Ok(());
    }
    let rows = tests.iter().map(|test| test.row());
    screen.data(&render::columns(&Tested::HEADS, rows, screen.headers()))
}

/// `31 tests pass, and every rule decides one`.
fn verdict(report: &Report) -> String {
    if !report.together.is_empty() {
        return "the policies cannot be enforced together".to_owned();
    }
    let tests = || report.files.iter().flat_map(|file| &file.tests);
    let (count, failed) = (tests().count(), tests().filter(|test| !test.passed).count());
    let unreached: usize = report.files.iter().map(|file| file.unreached.len()).sum();
    let only_together: usize = report.files.iter().map(|file| file.only_together).sum();
    let result = match (failed, count) {
        (0, count) if only_together > 0 => {
            let tests = many(count, "test");
            format!("{only_together} of {tests} failed by itself, without the other files")
        }
        (0, 1) => "1 test passes".to_owned(),
        (0, count) => format!("{count} tests pass"),
        (failed, count) => format!("{failed} of {} failed", many(count, "test")),
    };
    match unreached {
        0 => format!("{result}, and every rule decides one"),
        1 => format!("{result}, and 1 rule decides none"),
        several => format!("{result}, and {several} rules decide none"),
    }
}
