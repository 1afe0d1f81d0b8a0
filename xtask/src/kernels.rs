//! Guest kernels: Debian's cloud images, downloaded and unpacked into the cache, never installed.
//!
//! Versions are resolved through Debian's metapackages (or by looking, for newer ones) and move on with security
//! updates; apt checks signatures.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::apt::Apt;
use crate::{deb, paths};

/// Series that every test run covers, with the metapackages that depend on their newest image. Oldest first. All have
/// BPF LSM, BTF and a serial console built in.
const TESTED: [(&str, &str); 2] = [
    ("6.1", "linux-image-cloud-amd64"),
    ("6.12", "linux-image-6.12-cloud-amd64"),
];
/// `--full` also takes the newest series that Debian's backports have.
const NEWEST: &str = "newest";
/// Ending of the names of images that we can boot.
const FLAVOUR: &str = "-cloud-amd64";
/// Modules that scenarios load: file systems that the images do not have built in, and what those need. Not every series
/// has all of them: some are built in.
const MODULES: [&str; 10] = [
    "overlay",
    "loop",
    "libcrc32c",
    "xor",
    "raid6_pq",
    "blake2b_generic",
    "zstd_compress",
    "btrfs",
    "xfs",
    "veth",
];

/// A kernel series, such as `6.12`, or the newest there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// What `--kernel` takes.
    pub name: String,
}

/// A kernel ready to boot.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// Series name.
    pub series: String,
    /// What `uname -r` will say.
    pub release: String,
    /// The image.
    pub image: PathBuf,
    /// Directory of the modules that scenarios load, as they were packed.
    pub modules: PathBuf,
}

/// The series of the CI tier.
pub fn tested() -> Vec<Series> {
    TESTED
        .iter()
        .map(|(name, _)| Series {
            name: (*name).to_owned(),
        })
        .collect()
}

/// The series of `--full`.
pub fn every() -> Vec<Series> {
    let mut all = tested();
    all.push(Series {
        name: NEWEST.to_owned(),
    });
    all
}

impl Series {
    /// A tested series, `newest`, or any other `N.N` that Debian's backports have.
    pub fn named(name: &str) -> Result<Self> {
        let numbers: Vec<_> = name.split('.').collect();
        let is_series = numbers.len() == 2 && numbers.iter().all(|n| n.parse::<u32>().is_ok());
        if !is_series && name != NEWEST {
            let known: Vec<_> = TESTED.iter().map(|(n, _)| *n).collect();
            bail!(
                "`{name}` is no kernel series; take one of {}, another such as 7.1, or `{NEWEST}`",
                known.join(", ")
            );
        }
        Ok(Self {
            name: name.to_owned(),
        })
    }

    /// The named ones, or the tested ones if none is named.
    pub fn tested_or_named(names: &[String]) -> Result<Vec<Self>> {
        if names.is_empty() {
            Ok(tested())
        } else {
            names.iter().map(|n| Self::named(n)).collect()
        }
    }

    /// The image in the cache, if any. No network.
    pub fn cached(&self) -> Result<Option<Kernel>> {
        let dir = paths::cache_dir("kernels")?;
        let Ok(release) = fs::read_to_string(dir.join(format!("{}.current", self.name))) else {
            return Ok(None);
        };
        let release = release.trim().to_owned();
        let image = dir.join(format!("vmlinuz-{release}"));
        let modules = dir.join(format!("modules-{release}"));
        if fs::read_to_string(wanted(&modules)).ok() != Some(MODULES.join(" ")) {
            // A cache from before scenarios loaded these; the package may still be there.
            let debs = paths::cache_dir("debs")?;
            match newest_deb(&debs, &format!("linux-image-{release}")) {
                Ok(deb) if extract_modules(&deb, &modules)? => {}
                _ => return Ok(None),
            }
        }
        Ok(image.is_file().then_some(Kernel {
            series: self.name.clone(),
            release,
            image,
            modules,
        }))
    }

    /// The metapackage of a tested series.
    fn meta(&self) -> Option<&'static str> {
        TESTED
            .iter()
            .find(|(name, _)| *name == self.name)
            .map(|(_, meta)| *meta)
    }

    /// True if the host's own release has it, so that its ordinary package lists serve.
    pub fn is_tested(&self) -> bool {
        self.meta().is_some()
    }

    /// Downloads and unpacks the newest image of the series.
    pub fn fetch(&self, apt: &Apt) -> Result<Kernel> {
        let package = self.package(apt)?;
        let release = package.trim_start_matches("linux-image-").to_owned();
        let label = format!("setup  guest kernel {}", self.name);
        let debs = paths::cache_dir("debs")?;
        let dir = paths::cache_dir("kernels")?;
        let image = dir.join(format!("vmlinuz-{release}"));
        let mut packages = vec![package.clone()];
        // From 7.2 on image and modules are in packages of their own that this one depends on.
        packages.extend(apt.depends(&package)?.into_iter().filter(|needed| {
            ["linux-binary-", "linux-modules-"]
                .iter()
                .any(|prefix| needed.starts_with(prefix))
        }));
        let names: Vec<&str> = packages.iter().map(String::as_str).collect();
        apt.download(&label, &names, &debs)?;
        let modules = dir.join(format!("modules-{release}"));
        for package in &names {
            if extract_modules(&newest_deb(&debs, package)?, &modules)? {
                break;
            }
        }
        // A series that packs them elsewhere: scenarios that need one are skipped, and say so.
        fs::create_dir_all(&modules)?;
        for package in names.iter().rev() {
            if extract(&newest_deb(&debs, package)?, &image)? {
                fs::write(dir.join(format!("{}.current", self.name)), &release)?;
                return Ok(Kernel {
                    series: self.name.clone(),
                    release,
                    image,
                    modules,
                });
            }
        }
        bail!("no kernel image in {}", names.join(", "))
    }

    /// The image's package: by metapackage, or the highest version of that series.
    fn package(&self, apt: &Apt) -> Result<String> {
        let prefix = format!("linux-image-{}.", self.name);
        if let Some(meta) = self.meta() {
            let found = apt
                .depends(meta)?
                .into_iter()
                .find(|p| p.starts_with("linux-image-"));
            let package = found.with_context(|| format!("`{meta}` depends on no image"))?;
            if !package.starts_with(&prefix) {
                bail!(
                    "Debian's `{meta}` is now {package}: not a {} kernel any more",
                    self.name
                );
            }
            return Ok(package);
        }
        apt.names("linux-image-")?
            .into_iter()
            .filter(|p| p.ends_with(FLAVOUR) && version(p).is_some())
            .filter(|p| self.name == NEWEST || p.starts_with(&prefix))
            .max_by_key(|p| version(p))
            .with_context(|| format!("Debian's backports have no {} kernel", self.name))
    }
}

/// `linux-image-7.1.8+deb13-cloud-amd64` has version 7.1.8; metapackages have none.
fn version(package: &str) -> Option<(u32, u32, u32)> {
    let rest = package.strip_prefix("linux-image-")?;
    let numbers = rest.split(['+', '-']).next()?;
    let mut parts = numbers.split('.').map(|n| n.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
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

/// Unpacks the image of a package, if it has one.
fn extract(package: &Path, image: &Path) -> Result<bool> {
    let mut found = None;
    deb::walk(
        package,
        |path| {
            path.rsplit('/')
                .next()
                .is_some_and(|name| name == "vmlinuz" || name.starts_with("vmlinuz-"))
        },
        |item| {
            if let deb::Kind::File(data) = item.kind {
                found = Some(data);
            }
            Ok(())
        },
    )?;
    let Some(data) = found else { return Ok(false) };
    // Beside and renamed: a broken download never looks like a kernel.
    let fresh = image.with_extension("new");
    fs::write(&fresh, data)?;
    fs::rename(fresh, image).with_context(|| format!("cannot write `{}`", image.display()))?;
    Ok(true)
}

/// Unpacks the wanted modules of a package; false if it has none.
fn extract_modules(package: &Path, to: &Path) -> Result<bool> {
    let mut found = Vec::new();
    deb::walk(
        package,
        |path| {
            let name = path.rsplit('/').next().unwrap_or_default();
            path.contains("lib/modules/")
                && MODULES
                    .iter()
                    .any(|module| name.starts_with(&format!("{module}.ko")))
        },
        |item| {
            let name = item.path.rsplit('/').next().unwrap_or_default().to_owned();
            if let deb::Kind::File(data) = item.kind {
                found.push((name, data));
            }
            Ok(())
        },
    )?;
    if found.is_empty() {
        return Ok(false);
    }
    let fresh = to.with_extension("new");
    fs::create_dir_all(&fresh)?;
    for (name, data) in found {
        fs::write(fresh.join(name), data)?;
    }
    if to.is_dir() {
        fs::remove_dir_all(to)?;
    }
    fs::rename(fresh, to).with_context(|| format!("cannot write `{}`", to.display()))?;
    fs::write(wanted(to), MODULES.join(" "))?;
    Ok(true)
}

/// Beside a directory of modules: which ones were looked for.
fn wanted(modules: &Path) -> PathBuf {
    let mut name = modules.as_os_str().to_owned();
    name.push(".wanted");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers_and_metapackages_have_none() {
        assert!(
            version("linux-image-6.19.14+deb13-cloud-amd64")
                > version("linux-image-6.19.6+deb13-cloud-amd64")
        );
        assert_eq!(version("linux-image-6.1.0-56-cloud-amd64"), Some((6, 1, 0)));
        assert_eq!(version("linux-image-cloud-amd64"), None);
    }

    #[test]
    fn words_are_no_series() {
        assert!(Series::named("7.1").is_ok() && Series::named("newest").is_ok());
        assert!(
            Series::named("6.1.0").is_err()
                && Series::named("old").is_err()
                && Series::named("../x").is_err()
        );
    }
}
