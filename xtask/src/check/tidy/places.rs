//! No path of the machine that somebody worked on, and no registry other than the public default, in the tree.

use anyhow::Result;

use super::super::Verdict;
use super::tree;
use crate::paths;

/// The only source that the lock file may name.
const INDEX: &str = "registry+https://github.com/rust-lang/crates.io-index";
/// Files that decide where things are fetched from.
const CONFIG: [&str; 5] = [
    ".cargo/",
    ".ci/",
    "rust-toolchain.toml",
    "Cargo.toml",
    "xtask/",
];
/// A path shorter than this (`/src`, `/repo`) would match ordinary text.
const SHORTEST: usize = 8;

/// Runs the rule.
pub fn check() -> Result<Verdict> {
    let files = tree::files()?;
    let machine = machine_paths();
    let mut findings = Vec::new();
    for path in &files {
        let text = tree::read(path)?;
        for (number, line) in text.lines().enumerate() {
            if let Some(found) = machine.iter().find(|m| line.contains(m.as_str())) {
                findings.push(format!(
                    "{path}:{}: names `{found}`, a place on this machine",
                    number + 1
                ));
            }
            if let Some(host) = foreign_source(path, line) {
                findings.push(format!("{path}:{}: fetches from `{host}`", number + 1));
            }
        }
    }
    Ok(Verdict::of(findings, format!("{} files", files.len())))
}

fn machine_paths() -> Vec<String> {
    let home = std::env::home_dir().unwrap_or_default();
    let places = [
        paths::root(),
        home.join(".cargo"),
        home.join(".cache"),
        home.join(".rustup"),
    ];
    places
        .iter()
        .map(|p| p.display().to_string())
        .filter(|p| p.len() >= SHORTEST && p.starts_with('/'))
        .collect()
}

/// A source line of the lock file that is not the public index, or a URL in a file that configures fetching.
fn foreign_source<'a>(path: &str, line: &'a str) -> Option<&'a str> {
    if path.ends_with("Cargo.lock") {
        let source = line.strip_prefix("source = ")?.trim_matches('"');
        return (source != INDEX).then_some(source);
    }
    let configures = CONFIG
        .iter()
        .any(|c| path.starts_with(c) || (path.ends_with(c) && !c.ends_with('/')));
    if !configures || line.contains(INDEX) {
        return None;
    }
    let (before, after) = line.split_once("://")?;
    let fetches = ["http", "https", "git", "ssh", "sparse+https"]
        .iter()
        .any(|s| before.ends_with(s));
    fetches.then(|| after.split(['/', '"', '`', ' ']).next().unwrap_or(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_registry_in_the_lock_file_is_found() {
        assert_eq!(
            foreign_source("Cargo.lock", "source = \"registry+file:mirror\""),
            Some("registry+file:mirror")
        );
        assert_eq!(
            foreign_source("Cargo.lock", &format!("source = \"{INDEX}\"")),
            None
        );
    }

    #[test]
    fn prose_may_link_but_configuration_may_not_fetch() {
        let line = concat!("registry = \"https", "://mirror.example/x\"");
        assert_eq!(
            foreign_source(".cargo/config.toml", line),
            Some("mirror.example")
        );
        assert_eq!(foreign_source("docs/toolchain.md", line), None);
    }
}
