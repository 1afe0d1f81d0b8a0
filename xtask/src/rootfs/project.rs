//! The second archive: this project's binaries, kernel object and fixtures, made anew for every boot.
//!
//! The kernel unpacks it over the base, so the base stays cached.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::needed;
use super::tree::{Node, Tree};
use crate::cpio::Meta;
use crate::{paths, run};

/// Binaries and where they live in the guest; `true` = the guest cannot start without it.
const BINARIES: [(&str, &str); 4] = [
    ("stayhand", "usr/bin/stayhand"),
    ("stayhand-agent", "usr/bin/stayhand-agent"),
    ("stayhand-control", "usr/bin/stayhand-control"),
    ("stayhand-guest", "usr/lib/stayhand/stayhand-guest"),
];

/// Where the agent looks for the kernel object.
const OBJECT: &str = "usr/lib/stayhand/stayhand-hooks.o";

/// Writes base and project, one after the other, as the initial RAM disk of one boot.
pub fn write_initrd(base: &Path, init: Option<&Path>, to: &Path) -> Result<()> {
    if let Some(dir) = to.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::copy(base, to).with_context(|| format!("cannot write `{}`", to.display()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o644))?;
    let mut out = std::io::BufWriter::new(fs::OpenOptions::new().append(true).open(to)?);
    tree(base, init)?.write(&mut out)?;
    out.flush()?;
    Ok(())
}

/// What the build has made so far.
fn tree(base: &Path, init: Option<&Path>) -> Result<Tree> {
    let mut tree = Tree::default();
    for (name, place) in BINARIES {
        let file = paths::target().join("release").join(name);
        if file.is_file() {
            let data = stripped(&file)?;
            check_libraries(&data, name, base)?;
            tree.put(place, Node::File(Meta::root(0o755), data));
        }
    }
    let object = crate::compile::object_path();
    if object.is_file() {
        tree.put(OBJECT, Node::File(Meta::root(0o644), fs::read(object)?));
    }
    add_fixtures(&mut tree)?;
    if let Some(init) = init {
        tree.put("init", Node::File(Meta::root(0o755), fs::read(init)?));
    } else if tree.get("usr/lib/stayhand/stayhand-guest").is_none() {
        bail!("no `stayhand-guest` in the target directory; run `cargo xtask build`");
    }
    Ok(tree)
}

fn add_fixtures(tree: &mut Tree) -> Result<()> {
    let root = paths::root().join("tests/fixtures");
    if !root.is_dir() {
        return Ok(());
    }
    super::walk_files(&root, &mut |file| {
        let path = format!(
            "usr/lib/stayhand/fixtures/{}",
            file.strip_prefix(&root)?.to_string_lossy()
        );
        let mode = if file.metadata()?.permissions().mode() & 0o100 != 0 {
            0o755
        } else {
            0o644
        };
        tree.put(&path, Node::File(Meta::root(mode), fs::read(file)?));
        Ok(())
    })
}

/// Debug sections are most of a binary and the guest unpacks every byte; `strip` comes with the C linker.
fn stripped(file: &Path) -> Result<Vec<u8>> {
    let out: PathBuf = paths::vm_dir("stripped").join(file.file_name().unwrap_or_default());
    if let Some(dir) = out.parent() {
        fs::create_dir_all(dir)?;
    }
    run::output(
        Command::new("strip")
            .arg("--strip-debug")
            .arg("-o")
            .arg(&out)
            .arg(file),
    )?;
    fs::read(&out).with_context(|| format!("cannot read `{}`", out.display()))
}

fn check_libraries(data: &[u8], name: &str, base: &Path) -> Result<()> {
    let listing = fs::read(base)?;
    for library in needed::libraries(data)? {
        let entry = format!("/{library}\0");
        if !listing.windows(entry.len()).any(|w| w == entry.as_bytes()) {
            bail!("`{name}` needs {library}, which the guest lacks (xtask/src/rootfs/packages.rs)");
        }
    }
    Ok(())
}
