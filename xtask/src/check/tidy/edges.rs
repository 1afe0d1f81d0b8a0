//! Which crate may use which: the direction of ARCHITECTURE.md, read from cargo itself.

use std::collections::BTreeSet;

use anyhow::Result;
use cargo_metadata::{Dependency, Metadata};

use super::super::Verdict;
use super::workspace;

/// Crates of ours and the crates of ours that they may use, tests included.
const OURS: [(&str, &[&str]); 10] = [
    ("stayhand-agent-ebpf", &[]),
    ("stayhand-guardrail", &["stayhand-agent-ebpf"]),
    (
        "stayhand-proto",
        &["stayhand-guardrail", "stayhand-agent-ebpf"],
    ),
    ("stayhand-transport", &["stayhand-guardrail"]),
    (
        "stayhand-agent",
        &[
            "stayhand-proto",
            "stayhand-transport",
            "stayhand-guardrail",
            "stayhand-agent-ebpf",
        ],
    ),
    // Its smoke test puts a fleet before the program.
    (
        "stayhand-control",
        &[
            "stayhand-proto",
            "stayhand-transport",
            "stayhand-guardrail",
            "stayhand-fleet",
        ],
    ),
    (
        "stayhand-fleet",
        &["stayhand-proto", "stayhand-transport", "stayhand-guardrail"],
    ),
    (
        "stayhand-cli",
        &["stayhand-proto", "stayhand-transport", "stayhand-guardrail"],
    ),
    (
        "stayhand-tests",
        &[
            "stayhand-agent-ebpf",
            "stayhand-guardrail",
            "stayhand-proto",
            "stayhand-transport",
            "stayhand-agent",
            "stayhand-control",
            "stayhand-cli",
        ],
    ),
    ("xtask", &[]),
];

/// Packages with one owner each: a second user would be a second place that knows.
const OWNED: [(&str, &str); 6] = [
    ("aya", "stayhand-agent"),
    ("aya-log", "stayhand-agent"),
    ("aya-ebpf", "stayhand-agent-ebpf"),
    ("aya-log-ebpf", "stayhand-agent-ebpf"),
    ("sqlx", "stayhand-control"),
    ("redb", "stayhand-agent"),
];

/// What the pure crate must not link, not even through others: it does no I/O and reads no clock.
const IMPURE: [&str; 13] = [
    "aya",
    "aya-obj",
    "tokio",
    "tonic",
    "prost",
    "hyper",
    "mio",
    "nix",
    "procfs",
    "sqlx",
    "redb",
    "tracing-subscriber",
    "rand",
];

/// Runs the rule.
pub fn check() -> Result<Verdict> {
    let metadata = workspace::metadata()?;
    let mut findings = direct(&metadata);
    let linked = workspace::linked(&metadata, "stayhand-guardrail");
    findings.extend(
        IMPURE
            .iter()
            .filter(|n| linked.contains(**n))
            .map(|n| format!("stayhand-guardrail links `{n}`")),
    );
    let library = workspace::linked(&metadata, "stayhand-agent-ebpf");
    findings.extend(
        library.iter().map(|n| {
            format!("the library stayhand-agent-ebpf links `{n}`: it has no dependencies")
        }),
    );
    Ok(Verdict::of(
        findings,
        format!("{} crates", metadata.workspace_members.len()),
    ))
}

fn direct(metadata: &Metadata) -> Vec<String> {
    let mut findings = Vec::new();
    let members: BTreeSet<String> = metadata
        .workspace_packages()
        .iter()
        .map(|p| p.name.to_string())
        .collect();
    for package in metadata.workspace_packages() {
        let name = package.name.as_str();
        let Some((_, allowed)) = OURS.iter().find(|(n, _)| *n == name) else {
            findings.push(format!(
                "`{name}` has no line in xtask/src/check/tidy/edges.rs"
            ));
            continue;
        };
        for Dependency { name: used, .. } in &package.dependencies {
            if members.contains(used) && !allowed.contains(&used.as_str()) {
                findings.push(format!("`{name}` must not use `{used}`"));
            }
            if let Some((_, owner)) = OWNED.iter().find(|(n, owner)| n == used && *owner != name) {
                findings.push(format!("`{name}` uses `{used}`, which only `{owner}` may"));
            }
        }
    }
    findings
}
