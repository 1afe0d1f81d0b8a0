//! `check`: everything that can be said about the tree without running it.
//!
//! Each check is one line and one count. What cannot be checked here is a declared skip, never silently green.

mod advisories;
mod licences;
pub mod tidy;
mod units;

use std::process::Stdio;
use std::time::Instant;

use anyhow::Result;

use crate::compiler::Compiler;
use crate::vm::report::Tally;
use crate::{compile, linker, run};

/// What one check came to.
pub enum Verdict {
    /// Nothing found; a word about how much was looked at.
    Good(String),
    /// Findings, one line each.
    Bad(Vec<String>),
    /// Not checked here, and why.
    Skipped(String),
}

impl Verdict {
    /// No findings is good.
    pub fn of(findings: Vec<String>, looked_at: impl Into<String>) -> Self {
        if findings.is_empty() {
            Self::Good(looked_at.into())
        } else {
            Self::Bad(findings)
        }
    }
}

/// A name and what is done.
pub type Check = (&'static str, fn() -> Result<Verdict>);

/// Runs all checks and prints a line for each.
pub fn all() -> Tally {
    some(&[("clippy", clippy)]).plus(all_but_clippy())
}

/// The same but Clippy, where it has its say while everything is built (`linted`).
pub fn all_but_clippy() -> Tally {
    let tally = some(&[
        ("format", format),
        ("licences", licences::check),
        ("advisories", advisories::check),
        ("units", units::check),
        ("hook tracing", tracing),
    ])
    .plus(some(&tidy::RULES));
    tidy::longest::print();
    tally
}

/// Builds all that is tested and says what Clippy thinks of it.
pub fn linted() -> Tally {
    some(&[("clippy", built_by_clippy)])
}

fn some(checks: &[Check]) -> Tally {
    let mut tally = Tally::default();
    for (name, what) in checks {
        let started = Instant::now();
        let verdict = what().unwrap_or_else(|e| Verdict::Bad(vec![format!("{e:#}")]));
        let seconds = started.elapsed().as_secs();
        match verdict {
            Verdict::Good(what) => {
                tally.counts.passed += 1;
                println!("check  {name}: ok, {what} ({seconds} s)");
            }
            Verdict::Bad(findings) => {
                tally.counts.failed += 1;
                let first = findings.first().map_or("", String::as_str);
                tally.failures.push(format!("check {name}: {first}"));
                println!("check  {name}: FAIL");
                for finding in findings {
                    println!("         {finding}");
                }
            }
            Verdict::Skipped(why) => {
                tally.counts.skipped += 1;
                println!("check  {name}: skipped: {why}");
            }
        }
    }
    tally
}

/// The object with hook tracing is compiled by nothing else.
fn tracing() -> Result<Verdict> {
    // Checks install nothing; `cargo xtask setup` does.
    if !Compiler::find().is_ok_and(|compiler| linker::is_ready(&compiler)) {
        return Ok(Verdict::Skipped(
            "no compiler for the kernel program on this machine yet".into(),
        ));
    }
    compile::check_traced()?;
    Ok(Verdict::Good("the object compiles".into()))
}

fn format() -> Result<Verdict> {
    let status = run::cargo()
        .args(["fmt", "--all", "--check"])
        .stdout(Stdio::null())
        .status()?;
    let findings = if status.success() {
        vec![]
    } else {
        vec!["`cargo fmt --all` changes files".to_owned()]
    };
    Ok(Verdict::of(findings, "formatted"))
}

fn clippy() -> Result<Verdict> {
    let mut cmd = run::cargo();
    cmd.args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--color=never",
        "--",
        "-D",
        "warnings",
    ]);
    run::watched("check  clippy", &mut cmd, run::cargo_view)?;
    Ok(Verdict::Good("no warnings".into()))
}

/// The build of `cargo test`; cargo says again what it warned of when something is not built anew.
fn built_by_clippy() -> Result<Verdict> {
    let mut cmd = run::cargo_linting();
    cmd.args(["test", "--workspace", "--no-run", "--color=never"]);
    let output = run::watched("build  clippy", &mut cmd, run::cargo_view)?;
    let findings = warnings(&output);
    Ok(Verdict::of(findings, "no warnings, and everything built"))
}

/// Each warning with the place that the compiler points at in the next line.
fn warnings(output: &[String]) -> Vec<String> {
    let places = output.iter().skip(1).map(|line| line.trim());
    output
        .iter()
        .zip(places.chain([""]))
        .filter(|(line, _)| line.starts_with("warning"))
        .map(|(line, place)| format!("{line} {place}").trim_end().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_found_with_its_place() {
        let output = [
            "   Compiling one v0.1.0",
            "warning: unused variable: `x`",
            "  --> one/src/lib.rs:3:9",
            "warning: `one` (lib) generated 1 warning",
        ]
        .map(str::to_owned);
        assert_eq!(
            warnings(&output),
            [
                "warning: unused variable: `x` --> one/src/lib.rs:3:9",
                "warning: `one` (lib) generated 1 warning"
            ]
        );
        assert!(warnings(&output[..1]).is_empty());
    }
}
