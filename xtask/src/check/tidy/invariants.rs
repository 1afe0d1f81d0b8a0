//! Every numbered invariant of ARCHITECTURE.md names a test or scenario that exists.
//!
//! The form is `I7 … (test: path::name)`, several separated by commas. `path` is a file or directory of the tree (or
//! any word, then the whole tree is searched); `name` is a test function or a scenario's name in quotes.

use std::collections::BTreeSet;

use anyhow::Result;

use super::super::Verdict;
use super::tree;

/// Where invariants are written.
const FILE: &str = "ARCHITECTURE.md";

/// Runs the rule.
pub fn check() -> Result<Verdict> {
    let files = tree::files()?;
    if !files.iter().any(|f| f == FILE) {
        return Ok(Verdict::Bad(vec![format!("there is no {FILE}")]));
    }
    let invariants = paragraphs(&tree::read(FILE)?);
    let mut findings = Vec::new();
    let mut seen = BTreeSet::new();
    for (number, text) in &invariants {
        if !seen.insert(*number) {
            findings.push(format!("{FILE}: I{number} is there twice"));
        }
        let named = named_tests(text);
        if named.is_empty() {
            findings.push(format!("{FILE}: I{number} names no test"));
        }
        for test in named {
            if !exists(&test, &files)? {
                findings.push(format!(
                    "{FILE}: I{number} names `{test}`, which is not there"
                ));
            }
        }
    }
    if invariants.is_empty() {
        findings.push(format!("{FILE} has no numbered invariant"));
    }
    Ok(Verdict::of(
        findings,
        format!("{} invariants", invariants.len()),
    ))
}

/// Invariants with their continuation lines.
fn paragraphs(text: &str) -> Vec<(u32, String)> {
    let mut found: Vec<(u32, String)> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        if let Some(number) = number(line) {
            found.push((number, line.to_owned()));
            open = true;
        } else if line.trim().is_empty() || line.starts_with('#') {
            open = false;
        } else if let (true, Some((_, all))) = (open, found.last_mut()) {
            all.push(' ');
            all.push_str(line.trim());
        }
    }
    found
}

/// The number of a line such as `- **I12** text`, `| I3 | text`.
fn number(line: &str) -> Option<u32> {
    let start = line.trim_start_matches([' ', '-', '*', '|', '`']);
    let digits: String = start
        .strip_prefix('I')?
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().ok()
}

fn named_tests(text: &str) -> Vec<String> {
    text.split("(test: ")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .flat_map(|list| list.split(','))
        .map(|name| name.trim().trim_matches('`').to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

fn exists(test: &str, files: &[String]) -> Result<bool> {
    let (path, name) = test.rsplit_once("::").unwrap_or(("", test));
    let within: Vec<_> = files
        .iter()
        .filter(|f| !path.is_empty() && (*f == path || f.starts_with(&format!("{path}/"))))
        .collect();
    let searched = if within.is_empty() && !path.contains('/') {
        files.iter().collect()
    } else {
        within
    };
    for file in searched.into_iter().filter(|f| tree::is_rust(f)) {
        if defines(&tree::read(file)?, name) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a source has a test function or a scenario of this name.
pub(super) fn defines(text: &str, name: &str) -> bool {
    text.contains(&format!("fn {name}(")) || text.contains(&format!("\"{name}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invariants_run_over_lines_and_name_several_tests() {
        let text = "- **I1** A lease ends\n  by itself. (test: `guardrail/src/lease.rs::ends`, vm::lease)\n\n- I2 Nothing.\n";
        let found = paragraphs(text);
        assert_eq!(found.len(), 2);
        assert_eq!(
            named_tests(&found[0].1),
            ["guardrail/src/lease.rs::ends", "vm::lease"]
        );
        assert!(named_tests(&found[1].1).is_empty());
    }

    #[test]
    fn a_name_that_only_begins_alike_does_not_count() {
        assert!(defines("    fn ends() {", "ends"));
        assert!(!defines("    fn ends_late() {", "ends"));
        assert!(defines("scenario(\"hold-exec\", run)", "hold-exec"));
    }

    #[test]
    fn words_that_start_with_i_are_no_invariants() {
        assert_eq!(number("I/O is elsewhere"), None);
        assert_eq!(number("| I12 | text |"), Some(12));
    }
}
