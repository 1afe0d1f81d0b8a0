//! The guest's base: Debian packages and our own `/etc`, one archive in the cache.
//!
//! Its key covers package versions, our files and the recipe's number, so that nothing stale is ever booted.
//! Project binaries are not in it (see `project`).

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::needed;
use super::packages::{is_kept, packages, usr_merged};
use super::tree::{Node, Tree};
use crate::apt::Apt;
use crate::cpio::Meta;
use crate::{deb, paths};

/// Raise when this module changes what it makes from the same packages and files.
const RECIPE: u32 = 2;

/// Empty directories of the guest with their modes and owners.
const DIRS: [(&str, Meta); 15] = [
    ("dev", Meta::root(0o755)),
    ("proc", Meta::root(0o555)),
    ("sys", Meta::root(0o555)),
    ("run", Meta::root(0o755)),
    ("tmp", Meta::root(0o1777)),
    ("var/tmp", Meta::root(0o1777)),
    ("var/lib/stayhand", Meta::root(0o755)),
    ("var/lib/sudo", Meta::root(0o711)),
    ("etc/stayhand", Meta::root(0o755)),
    ("etc/sudoers.d", Meta::root(0o750)),
    ("root", Meta::root(0o700)),
    ("home", Meta::root(0o755)),
    (
        "home/alice",
        Meta {
            mode: 0o755,
            uid: 1001,
            gid: 1001,
        },
    ),
    (
        "home/bob",
        Meta {
            mode: 0o755,
            uid: 1002,
            gid: 1002,
        },
    ),
    ("srv", Meta::root(0o755)),
];

/// The newest base in the cache that was made from the present recipe and files. No network.
pub fn cached() -> Result<Option<PathBuf>> {
    let dir = paths::cache_dir("rootfs")?;
    let current = fs::read_to_string(dir.join(format!("{}.current", recipe_key()?)));
    let Ok(name) = current else { return Ok(None) };
    let file = dir.join(name.trim());
    Ok(file.is_file().then_some(file))
}

/// Downloads the packages' newest versions and packs the base.
pub fn make(apt: &Apt) -> Result<PathBuf> {
    let versions = apt.candidates(&packages())?;
    let recipe = recipe_key()?;
    let key = hex(Sha256::digest(format!("{recipe} {versions:?}")).as_slice());
    let debs = paths::cache_dir("rootfs-debs")?.join(&key);
    apt.download("setup  guest packages", &packages(), &debs)?;
    let tree = collect(&debs)?;
    check_libraries(&tree, &[])?;
    let dir = paths::cache_dir("rootfs")?;
    let name = format!("base-{key}.cpio");
    let fresh = dir.join(format!("{name}.new"));
    tree.write(std::io::BufWriter::new(fs::File::create(&fresh)?))?;
    fs::rename(&fresh, dir.join(&name))?;
    fs::write(dir.join(format!("{recipe}.current")), &name)?;
    fs::remove_dir_all(&debs)?;
    remove_older(&dir, &name)?;
    Ok(dir.join(name))
}

/// Bases of earlier recipes and package versions.
fn remove_older(dir: &Path, current: &str) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("base-") && name != current {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Our own files for the guest, in the tree beside this package's `src`.
fn overlay() -> PathBuf {
    paths::root().join("xtask/guest")
}

fn collect(debs: &Path) -> Result<Tree> {
    let mut tree = Tree::default();
    for top in ["bin", "sbin", "lib", "lib64"] {
        tree.put(top, Node::Link(format!("usr/{top}")));
    }
    let mut files: Vec<_> = fs::read_dir(debs)?
        .filter_map(|e| Some(e.ok()?.path()))
        .collect();
    files.sort();
    for file in files
        .iter()
        .filter(|f| f.extension().is_some_and(|e| e == "deb"))
    {
        add_package(&mut tree, file, &|path| is_kept(&usr_merged(path)))?;
    }
    for (path, meta) in DIRS {
        tree.put(path, Node::Dir(meta));
    }
    // Without a console node the kernel gives init no standard streams; devtmpfs comes later.
    tree.put("dev/console", Node::Char(Meta::root(0o600), (5, 1)));
    tree.put("dev/null", Node::Char(Meta::root(0o666), (1, 3)));
    // Alternatives are links made by maintainer scripts.
    tree.put("usr/bin/awk", Node::Link("mawk".into()));
    tree.put(
        "init",
        Node::Link("/usr/lib/stayhand/stayhand-guest".into()),
    );
    for (path, mode, data) in overlay_files()? {
        tree.put(&path, Node::File(overlay_meta(&path, mode), data));
    }
    Ok(tree)
}

/// Puts the files of a package that are kept into a tree.
pub fn add_package(tree: &mut Tree, file: &Path, is_kept: &dyn Fn(&str) -> bool) -> Result<()> {
    deb::walk(file, is_kept, |item| {
        let path = usr_merged(&item.path);
        let meta = Meta {
            mode: item.mode,
            uid: item.uid,
            gid: item.gid,
        };
        let node = match item.kind {
            // The merged names themselves are links in the guest.
            deb::Kind::Dir if matches!(item.path.as_str(), "bin" | "sbin" | "lib" | "lib64") => {
                return Ok(());
            }
            deb::Kind::Dir => Node::Dir(meta),
            deb::Kind::File(data) => Node::File(meta, data),
            deb::Kind::Link(target) => Node::Link(target),
            deb::Kind::Hard(target) => tree
                .get(&usr_merged(&target))
                .cloned()
                .with_context(|| format!("hard link to nothing: `{target}`"))?,
        };
        tree.put(&path, node);
        Ok(())
    })
}

/// Fails if a program or library of the tree lacks one that it names, here and among these other paths.
pub fn check_libraries(tree: &Tree, others: &[&str]) -> Result<()> {
    let mut missing = Vec::new();
    for (path, data) in tree.files() {
        for name in needed::libraries(data).unwrap_or_default() {
            let elsewhere = others
                .iter()
                .any(|path| path.rsplit('/').next() == Some(&name));
            if !elsewhere && !tree.has_name(&name) {
                missing.push(format!("{name} (for {path})"));
            }
        }
    }
    if !missing.is_empty() {
        bail!(
            "the guest lacks libraries; extend the list in xtask/src/rootfs/packages.rs or programs.rs: {}",
            missing.join(", ")
        );
    }
    Ok(())
}

fn overlay_files() -> Result<Vec<(String, u32, Vec<u8>)>> {
    let root = overlay();
    let mut found = Vec::new();
    super::walk_files(&root, &mut |file| {
        let path = file.strip_prefix(&root)?.to_string_lossy().into_owned();
        found.push((path, file.metadata()?.permissions().mode(), fs::read(file)?));
        Ok(())
    })?;
    found.sort();
    Ok(found)
}

/// Secrets and sudo's own demands; git keeps only the executable bit.
fn overlay_meta(path: &str, mode: u32) -> Meta {
    match path {
        "etc/shadow" | "etc/gshadow" => Meta {
            mode: 0o640,
            uid: 0,
            gid: 42,
        },
        "etc/sudoers" => Meta::root(0o440),
        _ if mode & 0o100 != 0 => Meta::root(0o755),
        _ => Meta::root(0o644),
    }
}

/// Everything that decides the base, except package versions.
fn recipe_key() -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(format!("{RECIPE} {DIRS:?}"));
    hash.update(include_str!("packages.rs"));
    for (path, mode, data) in overlay_files()? {
        hash.update(format!("\0{path}\0{}\0", mode & 0o100));
        hash.update(data);
    }
    Ok(hex(hash.finalize().as_slice()))
}

/// Enough of a digest for a file name.
pub fn hex(digest: &[u8]) -> String {
    digest
        .iter()
        .take(8)
        .fold(String::new(), |all, b| all + &format!("{b:02x}"))
}
