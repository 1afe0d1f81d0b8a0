//! Known vulnerabilities of our dependencies, where the tool and its data are on this machine.
//!
//! Never fetches the data: a check must not depend on the network.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::Verdict;
use crate::{paths, run};

/// `cargo-deny` or `cargo-audit` with an advisory database, whichever is there.
pub fn check() -> Result<Verdict> {
    if installed("cargo-deny") && database("advisory-dbs").is_some() {
        run::watched(
            "check  advisories",
            run::cargo().args(["deny", "--offline", "check", "advisories"]),
            run::cargo_view,
        )?;
        return Ok(Verdict::Good("cargo-deny".into()));
    }
    if let (true, Some(db)) = (installed("cargo-audit"), database("advisory-db")) {
        run::watched(
            "check  advisories",
            run::cargo().args(["audit", "--no-fetch", "--db"]).arg(db),
            run::cargo_view,
        )?;
        return Ok(Verdict::Good("cargo-audit".into()));
    }
    Ok(Verdict::Skipped(
        "neither cargo-deny nor cargo-audit with an advisory database is on this machine".into(),
    ))
}

fn installed(tool: &str) -> bool {
    run::output(
        Command::new(tool)
            .arg("--version")
            .current_dir(paths::root()),
    )
    .is_ok()
}

fn database(name: &str) -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|h| h.join(".cargo")))?;
    Some(home.join(name)).filter(|p| p.is_dir())
}
