//! Every policy document of the tree: examples, fixtures, and those of the documentation.

use std::path::{Path, PathBuf};

/// By name, with its text.
type Documents = Vec<(String, String)>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(below(&path));
        } else if path.extension().is_some_and(|ending| ending == "yaml") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn files(directory: &str) -> Documents {
    let paths = below(&root().join(directory)).into_iter();
    paths
        .flat_map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let name = path.display().to_string();
            // Fixtures of scenarios have several policies in one file.
            let each: Vec<&str> = if is_refused(&name) {
                vec![&text]
            } else {
                text.split("\n---\n").collect()
            };
            each.into_iter()
                .map(|one| (name.clone(), one.to_owned()))
                .collect::<Documents>()
        })
        .collect()
}

fn is_refused(name: &str) -> bool {
    name.contains("/invalid/")
}

/// Valid policies.
pub(in crate::policy) fn policies() -> Documents {
    let mut found = files("docs/examples");
    found.extend(files("tests/fixtures"));
    let page = std::fs::read_to_string(root().join("docs/policy.md")).unwrap();
    let blocks = page.split("```yaml\n").skip(1);
    let whole = blocks.filter(|block| block.starts_with("apiVersion"));
    found.extend(whole.enumerate().map(|(number, block)| {
        let text = block.split("```").next().unwrap_or_default();
        (format!("docs/policy.md, {number}"), text.to_owned())
    }));
    found.retain(|(name, _)| !is_refused(name));
    assert!(found.len() >= 18, "policies are missing");
    found
}

/// Documents that are refused.
pub(in crate::policy) fn refused() -> Documents {
    files("tests/fixtures/policies/invalid")
}
