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

/// Runs all checks and prints a line for each.
pub fn all() -> Tally {
    let mut tally = Tally::default();
    let mut check = |name: &str, what: &dyn Fn() -> Result<Verdict>| {
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
    };
    check("format", &format);
    check("clippy", &clippy);
    check("licences", &licences::check);
    check("advisories", &advisories::check);
    check("units", &units::check);
    check("hook tracing", &tracing);
    for (name, rule) in tidy::RULES {
        check(&format!("tidy {name}"), rule);
    }
    tidy::longest::print();
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
