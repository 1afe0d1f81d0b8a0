//! Guest kernels: Debian's cloud images, downloaded and unpacked into the cache, never installed.
//!
//! Versions are resolved through Debian's metapackages and move on with security updates; apt checks signatures.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::apt::Apt;
use crate::{deb, paths};

/// A kernel series that the suite runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Series {
    /// What `--kernel` takes.
    pub name: &'static str,
    /// Debian's metapackage that depends on the newest image.
    meta: &'static str,
}

/// Oldest first. All have BPF LSM, BTF and a serial console built in.
pub const ALL: [Series; 2] = [
    Series {
        name: "6.1",
        meta: "linux-image-cloud-amd64",
    },
    Series {
        name: "6.12",
        meta: "linux-image-6.12-cloud-amd64",
    },
];

/// A kernel ready to boot.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// Series name.
    pub series: &'static str,
    /// What `uname -r` will say.
    pub release: String,
    /// The image.
    pub image: PathBuf,
}

impl Series {
    /// Looks a series up by name.
    pub fn named(name: &str) -> Result<Self> {
        let known: Vec<_> = ALL.iter().map(|s| s.name).collect();
        ALL.into_iter()
            .find(|s| s.name == name)
            .with_context(|| format!("no kernel series `{name}`; there are {}", known.join(", ")))
    }

    /// The named ones, or all if none is named.
    pub fn all_or_named(names: &[&str]) -> Result<Vec<Self>> {
        if names.is_empty() {
            Ok(ALL.to_vec())
        } else {
            names.iter().map(|n| Self::named(n)).collect()
        }
    }

    /// The newest image in the cache, if any. No network.
    pub fn cached(self) -> Result<Option<Kernel>> {
        let current = paths::cache_dir("kernels")?.join(format!("{}.current", self.name));
        let Ok(release) = fs::read_to_string(current) else {
            return Ok(None);
        };
        let release = release.trim().to_owned();
        let image = paths::cache_dir("kernels")?.join(format!("vmlinuz-{release}"));
        Ok(image.is_file().then_some(Kernel {
            series: self.name,
            release,
            image,
        }))
    }

    /// Downloads and unpacks the newest image of the series.
    pub fn fetch(self, apt: &Apt) -> Result<Kernel> {
        let package = apt
            .depends(self.meta)?
            .into_iter()
            .find(|p| p.starts_with("linux-image-"))
            .with_context(|| format!("`{}` depends on no image", self.meta))?;
        let release = package.trim_start_matches("linux-image-").to_owned();
        if !release.starts_with(&format!("{}.", self.name)) {
            bail!(
                "Debian's `{}` is now {release}: not a {} kernel any more",
                self.meta,
                self.name
            );
        }
        let debs = paths::cache_dir("debs")?;
        apt.download(
            &format!("setup  guest kernel {}", self.name),
            &[&package],
            &debs,
        )?;
        let dir = paths::cache_dir("kernels")?;
        let image = dir.join(format!("vmlinuz-{release}"));
        extract(&newest_deb(&debs, &package)?, &image)?;
        fs::write(dir.join(format!("{}.current", self.name)), &release)?;
        Ok(Kernel {
            series: self.name,
            release,
            image,
        })
    }
}

fn newest_deb(debs: &Path, package: &str) -> Result<PathBuf> {
    let prefix = format!("{package}_");
    fs::read_dir(debs)?
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| {
            p.file_name()
                .is_some_and(|n| n.to_string_lossy().starts_with(&prefix))
        })
        .max_by_key(|p| p.metadata().and_then(|m| m.modified()).ok())
        .with_context(|| format!("apt downloaded no `{package}`"))
}

fn extract(package: &Path, image: &Path) -> Result<()> {
    let mut found = None;
    deb::walk(
        package,
        |path| path.starts_with("boot/vmlinuz-"),
        |item| {
            if let deb::Kind::File(data) = item.kind {
                found = Some(data);
            }
            Ok(())
        },
    )?;
    let data = found.with_context(|| format!("no kernel image in `{}`", package.display()))?;
    // Beside and renamed: a broken download never looks like a kernel.
    let fresh = image.with_extension("new");
    fs::write(&fresh, data)?;
    fs::rename(fresh, image).with_context(|| format!("cannot write `{}`", image.display()))
}
