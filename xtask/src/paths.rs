//! Where things are: the work tree, its `target/`, and the cache outside the tree.
//!
//! Never creates anything inside the tree except below `target/`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The workspace root: the parent of this package.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Cargo's target directory, shared with plain `cargo build`.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The eBPF build has its own target directory: another compiler must not throw away the user-space cache.
pub fn bpf_target() -> PathBuf {
    target().join("bpf")
}

/// Logs and initial RAM disks of one guest run, by kernel series (or another label).
pub fn vm_dir(label: &str) -> PathBuf {
    target().join("vm").join(label)
}

/// The cache: `STAYHAND_CACHE`, else `$XDG_CACHE_HOME/stayhand`, else `~/.cache/stayhand`.
pub fn cache() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("STAYHAND_CACHE") {
        return Ok(PathBuf::from(dir));
    }
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|p| p.is_absolute())
        .or_else(|| std::env::home_dir().map(|h| h.join(".cache")))
        .context("no home directory; set `STAYHAND_CACHE` to a directory for downloads")?;
    Ok(base.join("stayhand"))
}

/// A directory below the cache, created.
pub fn cache_dir(name: &str) -> Result<PathBuf> {
    let dir = cache()?.join(name);
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot create `{}`", dir.display()))?;
    Ok(dir)
}
