//! The second archive: this project's binaries, kernel object and fixtures, made anew for every boot.
//!
//! The kernel unpacks it over the base, so the base stays cached.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::needed;
use super::tree::{Node, Tree};
use crate::compile::Flavour;
use crate::cpio::{self, Meta};
use crate::kernels::Kernel;
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
/// The same with delays inside a hold, see `agent-ebpf/src/delay.rs`.
const DELAYED_OBJECT: &str = "usr/lib/stayhand/stayhand-hooks-delays.o";

/// The initial RAM disk of one run. Its file is this process's own and goes away with it.
pub struct Initrd {
    path: PathBuf,
}

impl Initrd {
    /// Writes base and project, one after the other, and these programs behind them.
    pub fn write(
        base: &Path,
        programs: Option<&Path>,
        kernels: &[Kernel],
        init: Option<&Path>,
    ) -> Result<Self> {
        let dir = paths::vm_dir("initrd");
        fs::create_dir_all(&dir)?;
        remove_orphaned(&dir)?;
        let kind = if programs.is_some() {
            "programs"
        } else {
            "usual"
        };
        let path = dir.join(format!("{}.{kind}.cpio", std::process::id()));
        fs::copy(base, &path).with_context(|| format!("cannot write `{}`", path.display()))?;
        let initrd = Self { path };
        let file = fs::OpenOptions::new().append(true).open(&initrd.path)?;
        let mut tree = tree(base, init)?;
        for kernel in kernels {
            add_modules(&mut tree, kernel)?;
        }
        tree.write(std::io::BufWriter::new(&file))?;
        if let Some(programs) = programs {
            // Where the kernel looks for another archive (init/initramfs.c): the end of one is padded.
            std::io::copy(&mut fs::File::open(programs)?, &mut &file)?;
        }
        Ok(initrd)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Initrd {
    fn drop(&mut self) {
        // A file left behind is found below `target/` and does no harm.
        fs::remove_file(&self.path).ok();
    }
}

/// Files of runs that were killed before they could clean up.
fn remove_orphaned(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let owner = name.split('.').next();
        let owner = owner.map(|pid| Path::new("/proc").join(pid));
        if owner.is_some_and(|owner| !owner.exists()) {
            fs::remove_file(&path).ok();
        }
    }
    Ok(())
}

/// What the build has made so far.
fn tree(base: &Path, init: Option<&Path>) -> Result<Tree> {
    let mut tree = Tree::default();
    let base = fs::read(base)?;
    let base = cpio::names(&base);
    for (name, place) in BINARIES {
        let file = paths::target().join("debug").join(name);
        if file.is_file() {
            let data = stripped(&file)?;
            check_libraries(&data, name, &base)?;
            tree.put(place, Node::File(Meta::root(0o755), data));
        }
    }
    let objects = [
        (OBJECT, Flavour::Plain.path()),
        (DELAYED_OBJECT, Flavour::Delayed.path()),
    ];
    for (place, object) in objects {
        if object.is_file() {
            tree.put(place, Node::File(Meta::root(0o644), fs::read(object)?));
        }
    }
    add_fixtures(&mut tree)?;
    if let Some(init) = init {
        tree.put("init", Node::File(Meta::root(0o755), fs::read(init)?));
    } else if tree.get("usr/lib/stayhand/stayhand-guest").is_none() {
        bail!("no `stayhand-guest` in the target directory; run `cargo xtask build`");
    }
    Ok(tree)
}

/// Where the guest looks for what its kernel has not built in.
fn add_modules(tree: &mut Tree, kernel: &Kernel) -> Result<()> {
    super::walk_files(&kernel.modules, &mut |file| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let path = format!("usr/lib/modules/{}/{name}", kernel.release);
        tree.put(&path, Node::File(Meta::root(0o644), fs::read(file)?));
        Ok(())
    })
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
    // Of this process's own: another one may be at the same.
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let out = paths::vm_dir("stripped").join(format!("{}-{name}", std::process::id()));
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
    let bytes = fs::read(&out).with_context(|| format!("cannot read `{}`", out.display()))?;
    fs::remove_file(&out)?;
    Ok(bytes)
}

/// Fails if the base lacks a library that this program names.
fn check_libraries(data: &[u8], name: &str, base: &[&str]) -> Result<()> {
    for library in needed::libraries(data)? {
        let is_there = base
            .iter()
            .any(|path| path.rsplit('/').next() == Some(library.as_str()));
        if !is_there {
            bail!("`{name}` needs {library}, which the guest lacks (xtask/src/rootfs/packages.rs)");
        }
    }
    Ok(())
}
