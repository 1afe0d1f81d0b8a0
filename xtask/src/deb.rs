//! Reads `.deb` files through `dpkg-deb`, as a tar stream: exact owners and modes without unpacking as root.
//!
//! Never runs a maintainer script and never installs anything.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// One entry of a package's file tree.
pub struct Item {
    /// Path without a leading `./`.
    pub path: String,
    /// Permission bits, with set-id bits.
    pub mode: u32,
    /// Numeric owner as packed.
    pub uid: u32,
    /// Numeric group as packed.
    pub gid: u32,
    /// What it is.
    pub kind: Kind,
}

/// The kinds of file that Debian packages carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Dir,
    /// A regular file's content.
    File(Vec<u8>),
    /// A symbolic link's target.
    Link(String),
    /// Another name of a file of the same package.
    Hard(String),
}

/// Calls `each` for every entry; entries that `wanted` refuses by path are skipped without being read.
pub fn walk(
    deb: &Path,
    wanted: impl Fn(&str) -> bool,
    mut each: impl FnMut(Item) -> Result<()>,
) -> Result<()> {
    let mut child = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(deb)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start `dpkg-deb` (package dpkg)")?;
    let stream = child.stdout.take().context("dpkg-deb without output")?;
    let mut archive = tar::Archive::new(stream);
    for entry in archive.entries()? {
        let mut entry = entry.with_context(|| format!("`{}` is damaged", deb.display()))?;
        let path = String::from_utf8_lossy(&entry.path_bytes())
            .trim_start_matches("./")
            .trim_end_matches('/')
            .to_owned();
        if path.is_empty() || !wanted(&path) {
            continue;
        }
        let target = entry
            .link_name_bytes()
            .map(|t| String::from_utf8_lossy(&t).into_owned());
        let kind = match entry.header().entry_type() {
            tar::EntryType::Directory => Kind::Dir,
            tar::EntryType::Symlink => Kind::Link(target.unwrap_or_default()),
            tar::EntryType::Link => Kind::Hard(
                target
                    .unwrap_or_default()
                    .trim_start_matches("./")
                    .to_owned(),
            ),
            tar::EntryType::Regular | tar::EntryType::Continuous => {
                let mut data = Vec::new();
                entry.read_to_end(&mut data)?;
                Kind::File(data)
            }
            other => bail!(
                "`{}` in `{}`: {other:?} is not expected in a package",
                path,
                deb.display()
            ),
        };
        let header = entry.header();
        let id = |n: u64| u32::try_from(n).unwrap_or(0);
        each(Item {
            path,
            mode: header.mode()? & 0o7777,
            uid: id(header.uid()?),
            gid: id(header.gid()?),
            kind,
        })?;
    }
    // tar stops at its end marker; dpkg-deb may still have padding to write and would die of SIGPIPE.
    std::io::copy(&mut archive.into_inner(), &mut std::io::sink())?;
    let status = child.wait()?;
    if !status.success() {
        bail!(
            "dpkg-deb cannot read `{}` ({status}); remove the file and run `cargo xtask setup` again",
            deb.display()
        );
    }
    Ok(())
}
