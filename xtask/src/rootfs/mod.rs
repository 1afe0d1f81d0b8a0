//! The guest's root file system, as initial RAM disk: a cached base of Debian packages and a project archive.
//!
//! Never mounts anything and needs no privilege.

pub mod base;
mod needed;
mod packages;
pub mod programs;
pub mod project;
mod tree;

use std::path::Path;

use anyhow::{Context, Result};

/// Calls `each` for every regular file below `dir`, in the order of names.
fn walk_files(dir: &Path, each: &mut dyn FnMut(&Path) -> Result<()>) -> Result<()> {
    let mut entries: Vec<_> = std::fs::read_dir(dir)
        .with_context(|| format!("cannot read `{}`", dir.display()))?
        .filter_map(|e| Some(e.ok()?.path()))
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            walk_files(&path, each)?;
        } else {
            each(&path)?;
        }
    }
    Ok(())
}
