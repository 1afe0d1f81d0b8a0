//! No file that nothing compiles: a source file that no `mod` declares is a test or scenario that never runs.

use std::collections::BTreeSet;

use anyhow::Result;

use super::super::Verdict;
use super::{tree, workspace};

/// Where the guest's scenarios are.
const SCENARIOS: &str = "tests/src/scenarios";

/// Runs the rule.
pub fn check() -> Result<Verdict> {
    let sources = tree::sources()?;
    let mut findings = modules(&sources)?;
    findings.extend(targets(&sources)?);
    findings.extend(scenarios(&sources)?);
    Ok(Verdict::of(findings, format!("{} files", sources.len())))
}

/// Every module file has its declaration in the file above it.
fn modules(sources: &[String]) -> Result<Vec<String>> {
    let all: BTreeSet<&str> = sources.iter().map(String::as_str).collect();
    let mut findings = Vec::new();
    for path in sources {
        let Some((parents, name)) = parents(path) else {
            continue;
        };
        let mut declared = by_path_attribute(path, sources)?;
        for parent in parents.iter().filter(|p| all.contains(p.as_str())) {
            declared |= declares(&tree::read(parent)?, &name);
        }
        if !declared {
            findings.push(format!(
                "{path}: no `mod {name};` above it, so nothing compiles it"
            ));
        }
    }
    Ok(findings)
}

/// Files that could declare this one, and the module's name; nothing for crate roots.
fn parents(path: &str) -> Option<(Vec<String>, String)> {
    let (dir, file) = path.rsplit_once('/')?;
    let stem = file.strip_suffix(".rs")?;
    let (home, name) = if stem == "mod" {
        dir.rsplit_once('/')?
    } else {
        (dir, stem)
    };
    let in_root = home.ends_with("/src") || home == "src";
    if stem == "mod" && !home.contains("/src") {
        // `tests/common/mod.rs`: shared by test targets that declare it.
        return None;
    }
    if in_root {
        if matches!(stem, "lib" | "main") {
            return None;
        }
        return Some((
            vec![format!("{home}/lib.rs"), format!("{home}/main.rs")],
            name.to_owned(),
        ));
    }
    if !home.contains("/src/") {
        return None;
    }
    Some((
        vec![
            format!("{home}/mod.rs"),
            format!("{home}.rs"),
            format!("{home}/main.rs"),
        ],
        name.to_owned(),
    ))
    .filter(|_| !home.ends_with("/src/bin"))
}

/// `#[path = "x_tests.rs"] mod tests;` in a file of the same directory.
fn by_path_attribute(path: &str, sources: &[String]) -> Result<bool> {
    let Some((dir, file)) = path.rsplit_once('/') else {
        return Ok(false);
    };
    let attribute = format!("#[path = \"{file}\"]");
    for sibling in sources
        .iter()
        .filter(|s| s.rsplit_once('/').is_some_and(|(d, _)| d == dir))
    {
        if tree::read(sibling)?.contains(&attribute) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn declares(text: &str, name: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim();
        let rest = line
            .strip_prefix("pub ")
            .or_else(|| line.strip_prefix("pub(crate) "))
            .unwrap_or(line);
        let rest = rest.strip_prefix("pub(super) ").unwrap_or(rest);
        rest.strip_prefix("mod ")
            .and_then(|r| r.split([';', ' ']).next())
            == Some(name)
    })
}

/// Every file directly in a crate's `tests/` is a target that cargo knows.
fn targets(sources: &[String]) -> Result<Vec<String>> {
    let metadata = workspace::metadata()?;
    let root = metadata.workspace_root.as_str();
    let known: BTreeSet<String> = metadata
        .workspace_packages()
        .iter()
        .flat_map(|p| &p.targets)
        .filter_map(|t| {
            Some(
                t.src_path
                    .as_str()
                    .strip_prefix(root)?
                    .trim_start_matches('/')
                    .to_owned(),
            )
        })
        .collect();
    // `src/x/tests/y.rs` is a module like any other.
    let direct = |path: &str| {
        path.rsplit_once('/')
            .is_some_and(|(dir, _)| dir.ends_with("/tests") && !dir.contains("/src/"))
    };
    Ok(sources
        .iter()
        .filter(|p| direct(p) && !known.contains(*p))
        .map(|p| format!("{p}: no test target of any crate"))
        .collect())
}

/// Every file of scenarios is in the registry. (Within a file the compiler warns about functions that nothing uses.)
fn scenarios(sources: &[String]) -> Result<Vec<String>> {
    let registry = tree::read(&format!("{SCENARIOS}/mod.rs"))?;
    Ok(sources
        .iter()
        .filter_map(|path| Some((path, path.strip_prefix(SCENARIOS)?.strip_prefix('/')?)))
        .filter_map(|(path, below)| Some((path, below.split('/').next()?.trim_end_matches(".rs"))))
        .filter(|(_, module)| *module != "mod" && !registry.contains(&format!("{module}::")))
        .map(|(path, module)| {
            format!("{path}: `{module}` is not in the registry of {SCENARIOS}/mod.rs")
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_are_found_with_any_visibility_and_not_by_prefix() {
        assert!(declares("pub(crate) mod hold;\n", "hold"));
        assert!(declares("#[cfg(test)]\nmod hold {\n", "hold"));
        assert!(!declares("mod holder;\n// mod hold;\n", "hold"));
    }

    #[test]
    fn crate_roots_have_no_parent() {
        assert!(parents("cli/src/main.rs").is_none());
        assert_eq!(parents("cli/src/hold/mod.rs").unwrap().1, "hold");
        assert_eq!(
            parents("cli/src/hold/ls.rs").unwrap().0[0],
            "cli/src/hold/mod.rs"
        );
    }
}
