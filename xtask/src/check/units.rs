//! The systemd units are what systemd understands, where there is a systemd to ask.
//!
//! Never starts anything: `systemd-analyze verify` reads copies whose programs are ones that this machine has.

use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::Verdict;
use crate::paths;

/// Where the units are.
const UNITS: &str = "packaging/systemd";
/// Our programs are not installed here; any program that exists stands in for them.
const STAND_IN: &str = "/bin/true";

/// Runs the check.
pub fn check() -> Result<Verdict> {
    let asked = Command::new("systemd-analyze")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !asked.is_ok_and(|status| status.success()) {
        return Ok(Verdict::Skipped(
            "no systemd-analyze on this machine".into(),
        ));
    }
    let copies = paths::target().join("units");
    std::fs::create_dir_all(&copies)?;
    let mut findings = Vec::new();
    let mut count = 0;
    for entry in std::fs::read_dir(paths::root().join(UNITS))? {
        let unit = entry?.path();
        let name = unit.file_name().context("a unit without a name")?;
        let copy = copies.join(name);
        std::fs::write(&copy, with_stand_ins(&std::fs::read_to_string(&unit)?))?;
        // Pages are checked, too: a page that is named and not there is a finding.
        let output = Command::new("systemd-analyze")
            .args(["verify", "--recursive-errors=no"])
            .arg(&copy)
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        let of_unit = said
            .lines()
            .filter(|line| line.contains(&*name.to_string_lossy()));
        findings.extend(of_unit.map(str::to_owned));
        if !output.status.success() && findings.is_empty() {
            findings.push(format!("{}: {said}", unit.display()));
        }
        count += 1;
    }
    Ok(Verdict::of(findings, format!("{count} units")))
}

/// The unit with every program replaced; arguments stay.
fn with_stand_ins(unit: &str) -> String {
    let lines = unit.lines().map(|line| match line.split_once('=') {
        Some((key, command)) if key.starts_with("Exec") => {
            let arguments = command.split_once(' ').map_or("", |(_, rest)| rest);
            format!("{key}={STAND_IN} {arguments}")
        }
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_programs_are_replaced() {
        assert_eq!(
            with_stand_ins("# ExecStart\nExecStart=/usr/bin/x --flag\nType=notify\n"),
            "# ExecStart\nExecStart=/bin/true --flag\nType=notify\n"
        );
    }
}
