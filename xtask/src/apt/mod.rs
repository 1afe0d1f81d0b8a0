//! A private view of the Debian archive: own source list, own package lists, own cache, the host's trust.
//!
//! The host's source entries are read to find its mirror and keyring; backports is added in our copy only. Never
//! writes below `/etc/apt` and never names a mirror by itself. Third-party sources of the host stay out of it.

mod sources;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use self::sources::Source;
use crate::{paths, run};

/// Handle on the private view; made by [`Apt::open`].
pub struct Apt {
    dir: PathBuf,
}

impl Apt {
    /// The view of the host's own release with its backports. No network.
    pub fn open() -> Result<Self> {
        Self::at("apt", sources::private)
    }

    /// The view of newer kernels: only downloaded from, never installed from. No network.
    pub fn newer_kernels() -> Result<Self> {
        Self::at("apt-newer", sources::newer)
    }

    /// What a person adds to this machine's sources to have backports, if they are not there.
    pub fn backports_line() -> Option<String> {
        sources::backports_line(&sources::of_host(Path::new("/etc/apt")))
    }

    /// Writes the private source list, derived from the host's.
    fn at(name: &str, list: fn(&[Source]) -> Result<String>) -> Result<Self> {
        let dir = paths::cache_dir(name)?;
        for sub in ["sources", "lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(dir.join(sub))?;
        }
        let text = list(&sources::of_host(Path::new("/etc/apt")))?;
        fs::write(dir.join("sources/stayhand.sources"), text)?;
        Ok(Self { dir })
    }

    /// `apt-get`, `apt-cache` bound to this view.
    fn command(&self, program: &str) -> Command {
        let mut cmd = Command::new(program);
        cmd.env("DEBIAN_FRONTEND", "noninteractive")
            .env("LC_ALL", "C.UTF-8");
        let option = |key: &str, value: &Path| format!("{key}={}", value.display());
        for opt in [
            "Dir::Etc::sourcelist=/dev/null".to_owned(),
            option("Dir::Etc::sourceparts", &self.dir.join("sources")),
            option("Dir::State::lists", &self.dir.join("lists")),
            option("Dir::Cache", &self.dir.join("cache")),
            // The cache is in somebody's home: apt's download user could not enter it.
            "APT::Sandbox::User=root".to_owned(),
            // Translations and desktop metadata: megabytes that nobody here reads.
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            "Acquire::Retries=3".to_owned(),
            // A fresh machine may be busy with its own upgrades.
            "DPkg::Lock::Timeout=300".to_owned(),
        ] {
            cmd.args(["-o", &opt]);
        }
        cmd
    }

    /// Fetches the package lists.
    pub fn update(&self) -> Result<()> {
        run::watched(
            "setup  package lists",
            self.command("apt-get").args(["update", "--error-on=any"]),
            apt_view,
        )?;
        Ok(())
    }

    /// Installs packages on the host (root). `release` prefers one suite, for backports.
    pub fn install(&self, label: &str, packages: &[&str], release: Option<&str>) -> Result<()> {
        let mut cmd = self.command("apt-get");
        cmd.args([
            "install",
            "--yes",
            "--no-install-recommends",
            "-o",
            "APT::Status-Fd=1",
        ]);
        if let Some(release) = release {
            cmd.args(["-t", release]);
        }
        run::watched(label, cmd.args(packages), apt_view)?;
        Ok(())
    }

    /// What a package depends on directly: resolves kernel metapackages.
    pub fn depends(&self, package: &str) -> Result<Vec<String>> {
        let text = run::output(self.command("apt-cache").args(["depends", package]))?;
        Ok(text
            .lines()
            .filter_map(|l| l.trim().strip_prefix("Depends: "))
            .map(str::to_owned)
            .collect())
    }

    /// Names that start so.
    pub fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let text = run::output(self.command("apt-cache").args(["pkgnames", prefix]))?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Candidate versions as `(package, version)`; a name that the archive does not know is an error.
    pub fn candidates(&self, packages: &[&str]) -> Result<Vec<(String, String)>> {
        let text = run::output(self.command("apt-cache").arg("policy").args(packages))?;
        let mut found = Vec::new();
        let mut name = String::new();
        for line in text.lines() {
            if let Some(head) = line.strip_suffix(':').filter(|l| !l.starts_with(' ')) {
                head.clone_into(&mut name);
            } else if let Some(version) = line.trim().strip_prefix("Candidate: ") {
                found.push((name.clone(), version.to_owned()));
            }
        }
        for package in packages {
            if !found.iter().any(|(n, v)| n == package && v != "(none)") {
                bail!("the Debian archive has no package `{package}`; is the mirror complete?");
            }
        }
        Ok(found)
    }

    /// Downloads `.deb` files into `into` (signatures checked by apt); those already there are kept.
    pub fn download(&self, label: &str, packages: &[&str], into: &Path) -> Result<()> {
        fs::create_dir_all(into)?;
        let mut cmd = self.command("apt-get");
        cmd.current_dir(into).arg("download").args(packages);
        run::watched(label, &mut cmd, apt_view)?;
        Ok(())
    }
}

/// For `run::watched`: apt's status lines carry a percentage.
fn apt_view(line: &str) -> Option<String> {
    if line.starts_with("dlstatus:") || line.starts_with("pmstatus:") {
        let mut fields = line.splitn(4, ':').skip(2);
        let percent: f64 = fields.next()?.parse().ok()?;
        return Some(format!("{percent:.0} % {}", fields.next()?));
    }
    (line.starts_with("Get:") || line.starts_with("Unpacking") || line.starts_with("Setting up"))
        .then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines_become_a_percentage() {
        assert_eq!(
            apt_view("dlstatus:1:12.6:Retrieving file 1 of 9").as_deref(),
            Some("13 % Retrieving file 1 of 9")
        );
    }
}
