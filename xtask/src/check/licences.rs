//! Licences of every package that we build, against a list of the permissive ones we accept.
//!
//! Reads what packages declare; never looks at their files.

use anyhow::Result;

use super::Verdict;
use super::tidy::workspace;

/// Accepted by themselves. MPL-2.0 is per file and asks nothing of our own code.
const ACCEPTED: [&str; 16] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "Unlicense",
    "Zlib",
];

/// Every package of the build for this host and for the kernel target.
pub fn check() -> Result<Verdict> {
    let metadata = workspace::metadata()?;
    let built = workspace::built_packages(&metadata);
    let mut findings = Vec::new();
    for package in &built {
        let licence = package.license.as_deref().unwrap_or("");
        if !is_accepted(licence) {
            findings.push(format!(
                "{} {}: licence `{licence}` is not accepted",
                package.name, package.version
            ));
        }
    }
    Ok(Verdict::of(findings, format!("{} packages", built.len())))
}

/// An SPDX expression: one side of an `OR`, both sides of an `AND`. The old `A/B` means `OR`.
fn is_accepted(expression: &str) -> bool {
    let text = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut at = 0;
    let good = any(&words, &mut at);
    good && at == words.len()
}

fn any(words: &[&str], at: &mut usize) -> bool {
    let mut good = all(words, at);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        // Both sides are read in any case: the position moves on.
        good |= all(words, at);
    }
    good
}

fn all(words: &[&str], at: &mut usize) -> bool {
    let mut good = one(words, at);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        good &= one(words, at);
    }
    good
}

fn one(words: &[&str], at: &mut usize) -> bool {
    let Some(word) = words.get(*at) else {
        return false;
    };
    *at += 1;
    if *word == "(" {
        let good = any(words, at);
        let closed = words.get(*at) == Some(&")");
        *at += 1;
        return good && closed;
    }
    let mut name = (*word).to_owned();
    if words.get(*at) == Some(&"WITH") {
        let exception = words.get(*at + 1).copied().unwrap_or_default();
        name = format!("{name} WITH {exception}");
        *at += 2;
    }
    ACCEPTED.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_accepted_side_is_enough_for_or_and_not_for_and() {
        assert!(is_accepted("MIT OR GPL-2.0-only"));
        assert!(!is_accepted("MIT AND GPL-2.0-only"));
        assert!(is_accepted("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(!is_accepted("(MIT OR Apache-2.0) AND GPL-3.0"));
    }

    #[test]
    fn nothing_declared_and_unbalanced_text_are_not_accepted() {
        assert!(!is_accepted(""));
        assert!(!is_accepted("(MIT"));
        assert!(!is_accepted("MIT )"));
    }

    #[test]
    fn exceptions_belong_to_the_name_and_slashes_mean_or() {
        assert!(is_accepted("Apache-2.0 WITH LLVM-exception"));
        assert!(!is_accepted("GPL-3.0 WITH GCC-exception-3.1"));
        assert!(is_accepted("Apache-2.0/GPL-2.0"));
    }
}
