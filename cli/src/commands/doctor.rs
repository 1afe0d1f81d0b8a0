//! `stayhand doctor`: is this host enforced, and if not, what to do. The only command that looks at the system.

mod checks;

use serde::Serialize;

use crate::{
    args::{Format, Global},
    client::Agent,
    failure::{Failure, Kind},
    screen::{Screen, Tone},
};

/// Check this host: is it enforced, and what to do if not
///
/// Exits 1 when the host is NOT ENFORCED, 6 when no agent answers and what it pinned may still be enforced.
#[derive(Debug, clap::Args)]
pub(crate) struct Doctor {}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Warning,
    Failed,
}

/// One check.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    status: Status,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

/// All of them, for programs.
#[derive(Debug, Serialize)]
struct Report {
    /// Absent where no agent answered and the kernel does not rule it out
    #[serde(skip_serializing_if = "Option::is_none")]
    enforced: Option<bool>,
    checks: Vec<Check>,
}

impl Check {
    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self {
            name,
            status: Status::Ok,
            detail: detail.into(),
            remedy: None,
        }
    }

    fn bad(
        name: &'static str,
        status: Status,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            name,
            status,
            detail: detail.into(),
            remedy: Some(remedy.into()),
        }
    }

    fn of_failure(name: &'static str, status: Status, failure: &Failure) -> Self {
        Self::bad(
            name,
            status,
            failure.error.clone(),
            failure.hints.join("; "),
        )
    }
}

pub(crate) async fn run(_: &Doctor, global: &Global, screen: &Screen) -> Result<(), Failure> {
    let report = examine(global, screen).await;
    match screen.format_or(Format::Table) {
        Format::Table => screen.data(&person(&report, screen))?,
        Format::Name => {
            let ill = report
                .checks
                .iter()
                .filter(|check| check.status != Status::Ok);
            let names: String = ill.map(|check| format!("{}\n", check.name)).collect();
            screen.data(&names)?;
        }
        Format::Json | Format::Jsonl | Format::Yaml => screen.document("Doctor", &report)?,
    }
    match report.enforced {
        Some(true) => Ok(()),
        Some(false) => Err(Failure::general("this host is NOT ENFORCED")),
        None => Err(Failure::new(
            Kind::Unavailable,
            "the agent does not say whether this host is enforced",
        )),
    }
}

async fn examine(global: &Global, screen: &Screen) -> Report {
    let mut checks = Vec::new();
    let mut status = None;
    let mut agent = None;
    let kernel = checks::Kernel::look();
    match Agent::connect(&global.agent_socket, global.patience()).await {
        Ok(connected) => {
            match connected.status().await {
                Ok(told) => status = Some(told),
                Err(failure) => checks.push(Check::of_failure("agent", Status::Failed, &failure)),
            }
            agent = Some(connected);
        }
        Err(failure) => checks.push(Check::of_failure("agent", Status::Failed, &failure)),
    }
    match &status {
        Some(told) => checks.extend(checks::agent(told, &screen.moment())),
        None => checks.extend(kernel.checks()),
    }
    let control = match global.control().await {
        Ok(control) => control.list_hosts().await,
        Err(failure) => Err(failure),
    };
    checks.push(checks::control(&control));
    checks.push(checks::identity(agent.as_ref(), &control).await);
    Report {
        enforced: match &status {
            Some(told) => Some(told.enforced),
            None => kernel.enforced(),
        },
        checks,
    }
}

fn person(report: &Report, screen: &Screen) -> String {
    let width = report
        .checks
        .iter()
        .map(|check| check.name.len())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for check in &report.checks {
        let (word, tone) = match check.status {
            Status::Ok => ("ok  ", Tone::Good),
            Status::Warning => ("look", Tone::Care),
            Status::Failed => ("FAIL", Tone::Bad),
        };
        let word = screen.paint(word, tone);
        let name = check.name;
        text.push_str(&format!("{word}  {name:width$}  {}\n", check.detail));
        if let Some(remedy) = check.remedy.as_ref().filter(|remedy| !remedy.is_empty()) {
            text.push_str(&format!("      {:width$}  -> {remedy}\n", ""));
        }
    }
    let (verdict, tone) = match report.enforced {
        Some(true) => ("ENFORCED", Tone::Good),
        Some(false) => ("NOT ENFORCED", Tone::Bad),
        None => ("NOT KNOWN", Tone::Bad),
    };
    text.push_str(&format!("\nthis host: {}\n", screen.paint(verdict, tone)));
    text
}
