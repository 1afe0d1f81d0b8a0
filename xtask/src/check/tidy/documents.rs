//! What documents point to is there: relative links, places of the tree in ARCHITECTURE.md, and the tests that a
//! table's last column (`test`, `shown by`) names.

use anyhow::Result;

use super::super::Verdict;
use super::invariants::defines;
use super::tree;
use crate::paths;

/// Where a word in backquotes that looks like a place of the tree is one.
const PLACES_IN: &str = "ARCHITECTURE.md";
/// Heads of last columns that name tests.
const TEST_COLUMNS: [&str; 2] = ["test", "shown by"];

/// Runs the rule.
pub fn check() -> Result<Verdict> {
    let files = tree::files()?;
    let mut sources = String::new();
    for file in files.iter().filter(|file| tree::is_rust(file)) {
        sources.push_str(&tree::read(file)?);
    }
    let documents: Vec<&String> = files.iter().filter(|file| is_document(file)).collect();
    let mut findings = Vec::new();
    for document in &documents {
        let text = tree::read(document)?;
        let directory = document
            .rsplit_once('/')
            .map_or("", |(directory, _)| directory);
        for link in links(&text) {
            if !paths::root().join(directory).join(link).exists() {
                findings.push(format!("{document}: the link to `{link}` leads nowhere"));
            }
        }
        if *document == PLACES_IN {
            let missing = places(&text, &files).into_iter();
            let missing = missing.filter(|place| !paths::root().join(place).exists());
            findings.extend(missing.map(|place| format!("{document}: there is no `{place}`")));
        }
        let unknown = tests(&text)
            .into_iter()
            .filter(|name| !defines(&sources, name));
        findings.extend(unknown.map(|name| format!("{document}: no test `{name}`")));
    }
    Ok(Verdict::of(
        findings,
        format!("{} documents", documents.len()),
    ))
}

fn is_document(path: &str) -> bool {
    std::path::Path::new(path)
        .extension()
        .is_some_and(|extension| extension == "md")
}

/// Targets of links inside the tree, without their fragment.
fn links(text: &str) -> Vec<&str> {
    let targets = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    targets
        .filter(|target| !target.contains("://"))
        .filter_map(|target| target.split('#').next())
        .filter(|target| !target.is_empty())
        .collect()
}

/// Words in backquotes that begin with a directory of the tree.
fn places<'a>(text: &'a str, files: &[String]) -> Vec<&'a str> {
    let in_tree = |word: &str| {
        let first = word.split_once('/').map(|(first, _)| format!("{first}/"));
        first.is_some_and(|first| files.iter().any(|file| file.starts_with(&first)))
    };
    quoted(text)
        .filter(|word| in_tree(word) && !word.contains(' '))
        .collect()
}

/// Words in backquotes, line by line.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// Names in the last column of tables about tests.
fn tests(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut in_table = false;
    for line in text.lines() {
        let Some(row) = line.trim().strip_prefix('|') else {
            in_table = false;
            continue;
        };
        let last = row
            .trim_end_matches('|')
            .rsplit('|')
            .next()
            .unwrap_or_default();
        if TEST_COLUMNS.contains(&last.trim()) {
            in_table = true;
        } else if in_table {
            names.extend(quoted(last));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_out_of_the_tree_and_into_the_same_document_are_left_alone() {
        let text = "[a](docs/a.md#part) [b](mailto://nobody) [c](#below)";
        assert_eq!(links(text), ["docs/a.md"]);
    }

    #[test]
    fn only_the_last_column_of_a_table_about_tests_names_tests() {
        let text =
            "| when | test |\n|---|---|\n| `a` | `b`, `c` |\n\n| x | y |\n|---|---|\n| 1 | `d` |\n";
        assert_eq!(super::tests(text), ["b", "c"]);
    }

    #[test]
    fn a_place_of_the_tree_is_told_from_other_words_with_a_slash() {
        let files = ["agent/src/lib.rs".to_owned()];
        assert_eq!(
            places("`agent/src/gone` `/srv/held` `I/O` `a b`", &files),
            ["agent/src/gone"]
        );
    }
}
