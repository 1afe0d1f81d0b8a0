//! Every source file starts with `//!`: what it is for and what it never does.

use anyhow::Result;

use super::super::Verdict;
use super::tree;

/// Runs the rule.
pub fn check() -> Result<Verdict> {
    let sources = tree::sources()?;
    let mut findings = Vec::new();
    for path in &sources {
        if !starts_with_doc(&tree::read(path)?) {
            findings.push(format!("{path}: does not start with `//!`"));
        }
    }
    Ok(Verdict::of(findings, format!("{} files", sources.len())))
}

fn starts_with_doc(text: &str) -> bool {
    text.lines().next().is_some_and(|l| {
        l.strip_prefix("//!")
            .is_some_and(|doc| !doc.trim().is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_doc_or_a_plain_comment_is_none() {
        assert!(starts_with_doc("//! What it is for.\n"));
        assert!(!starts_with_doc("//!\n//! later\n"));
        assert!(!starts_with_doc("// comment\n//! doc\n"));
        assert!(!starts_with_doc(""));
    }
}
