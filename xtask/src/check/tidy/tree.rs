//! The files of the tree as git sees them: tracked, or new and not ignored.

use std::process::Command;

use anyhow::{Context, Result};

use crate::{paths, run};

/// Paths relative to the root, sorted, existing.
pub fn files() -> Result<Vec<String>> {
    let mut cmd = Command::new("git");
    // A checkout that belongs to another user (containers) is still our own tree.
    cmd.args([
        "-c",
        "safe.directory=*",
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ])
    .current_dir(paths::root());
    let text = run::output(&mut cmd).context("the tidy rules read git's list of files")?;
    let mut files: Vec<String> = text
        .split('\0')
        .filter(|p| !p.is_empty() && paths::root().join(p).is_file())
        .map(str::to_owned)
        .collect();
    files.sort();
    files.dedup();
    Ok(files)
}

/// Rust sources that people write.
pub fn sources() -> Result<Vec<String>> {
    Ok(files()?
        .into_iter()
        .filter(|p| is_rust(p) && !p.contains("/generated/"))
        .collect())
}

/// A file's text; bytes that are no UTF-8 do not matter to the rules.
pub fn read(path: &str) -> Result<String> {
    let bytes =
        std::fs::read(paths::root().join(path)).with_context(|| format!("cannot read `{path}`"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// By its extension.
pub fn is_rust(path: &str) -> bool {
    std::path::Path::new(path)
        .extension()
        .is_some_and(|e| e == "rs")
}
