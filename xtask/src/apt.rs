//! A private view of the Debian archive: own source list, own package lists, own cache, the host's trust.
//!
//! The host's source entries are read to find its mirror and keyring; backports is added in our copy only. Never
//! writes below `/etc/apt` and never names a mirror by itself. Third-party sources of the host stay out of it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::host::SUITE;
use crate::{paths, run};

/// One entry of the host's source list.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    uri: String,
    suites: Vec<String>,
    /// Its other settings (key, proxy, validity), as lines that go into our copy unread.
    settings: String,
}

/// Handle on the private view; made by [`Apt::open`].
pub struct Apt {
    dir: PathBuf,
}

impl Apt {
    /// Writes the private source list (derived from the host's) and returns the view. No network.
    pub fn open() -> Result<Self> {
        let dir = paths::cache_dir("apt")?;
        for sub in ["sources", "lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(dir.join(sub))?;
        }
        let text = private_sources(&host_sources(Path::new("/etc/apt")))?;
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
        )
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
        run::watched(label, cmd.args(packages), apt_view)
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
        run::watched(label, &mut cmd, apt_view)
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

/// Our source list: the host's Debian entries, and backports from the same place as the main suite.
fn private_sources(host: &[Source]) -> Result<String> {
    let main = host
        .iter()
        .find(|s| s.suites.iter().any(|x| x == SUITE))
        .with_context(|| {
            format!(
                "no `{SUITE}` entry in the apt sources of this machine; add Debian's own archive"
            )
        })?;
    let security_suite = format!("{SUITE}-security");
    let security = host
        .iter()
        .find(|s| s.suites.contains(&security_suite))
        .with_context(|| {
            format!("no `{security_suite}` entry in the apt sources of this machine; add it")
        })?;
    let mut text = String::new();
    stanza(
        &mut text,
        main,
        &format!("{SUITE} {SUITE}-updates {SUITE}-backports"),
    )?;
    stanza(&mut text, security, &security_suite)?;
    Ok(text)
}

fn stanza(text: &mut String, source: &Source, suites: &str) -> Result<()> {
    writeln!(
        text,
        "Types: deb\nURIs: {}\nSuites: {suites}\nComponents: main",
        source.uri
    )?;
    text.push_str(&source.settings);
    writeln!(text)?;
    Ok(())
}

fn host_sources(etc: &Path) -> Vec<Source> {
    let mut files = vec![etc.join("sources.list")];
    if let Ok(dir) = fs::read_dir(etc.join("sources.list.d")) {
        files.extend(dir.filter_map(|e| Some(e.ok()?.path())));
    }
    files.sort();
    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap_or_default();
        match file.extension().and_then(|e| e.to_str()) {
            Some("sources") => found.extend(deb822(&text)),
            Some("list") => found.extend(text.lines().filter_map(one_line)),
            _ => {}
        }
    }
    found
}

/// `Types: deb` stanzas. Keys that we do not need are ignored.
fn deb822(text: &str) -> Vec<Source> {
    let clean: String = text
        .lines()
        .filter(|l| !l.starts_with('#'))
        .fold(String::new(), |all, l| all + l + "\n");
    clean.split("\n\n").filter_map(deb822_stanza).collect()
}

fn deb822_stanza(stanza: &str) -> Option<Source> {
    let field = |name: &str| {
        stanza.lines().find_map(|l| {
            let (key, value) = l.split_once(':')?;
            key.eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
    };
    if !field("Types")?.split_whitespace().any(|t| t == "deb")
        || field("Enabled").as_deref() == Some("no")
    {
        return None;
    }
    Some(Source {
        uri: field("URIs")?.split_whitespace().next()?.to_owned(),
        suites: field("Suites")?
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
        settings: settings(stanza),
    })
}

/// A stanza without the fields that we set ourselves; continuation lines go with their field.
fn settings(stanza: &str) -> String {
    const OURS: [&str; 6] = [
        "types",
        "uris",
        "suites",
        "components",
        "architectures",
        "enabled",
    ];
    let mut keep = false;
    let mut kept = String::new();
    for line in stanza.lines() {
        if !line.starts_with([' ', '\t']) {
            let key = line
                .split(':')
                .next()
                .unwrap_or_default()
                .to_ascii_lowercase();
            keep = !key.is_empty() && !OURS.contains(&key.as_str());
        }
        if keep {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// `deb [signed-by=/x] URI SUITE COMPONENT…`
fn one_line(line: &str) -> Option<Source> {
    let rest = line.trim().strip_prefix("deb ")?.trim();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(inner) => inner.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace();
    Some(Source {
        uri: words.next()?.to_owned(),
        suites: vec![words.next()?.to_owned()],
        settings: options
            .split_whitespace()
            .filter_map(|o| o.split_once('='))
            .filter(|(key, _)| *key != "arch")
            .fold(String::new(), |all, (key, value)| {
                all + &format!("{key}: {value}\n")
            }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANZAS: &str = "Types: deb\n# a comment\nURIs: mirror:/main\nSuites: bookworm bookworm-updates\nComponents: main\n\
        Signed-By: /usr/share/keyrings/k.gpg\n\nTypes: deb-src\nURIs: mirror:/src\nSuites: bookworm\n\n\
        Types: deb\nURIs: mirror:/security\nSuites: bookworm-security\nComponents: main\n";

    #[test]
    fn backports_comes_from_the_place_of_the_main_suite() {
        let text = private_sources(&deb822(STANZAS)).unwrap();
        assert!(
            text.contains(
                "URIs: mirror:/main\nSuites: bookworm bookworm-updates bookworm-backports"
            ),
            "{text}"
        );
        assert!(
            text.contains("Signed-By: /usr/share/keyrings/k.gpg"),
            "{text}"
        );
        assert!(!text.contains("mirror:/src"), "{text}");
    }

    #[test]
    fn a_machine_without_the_security_suite_is_told_so() {
        let only_main = &deb822(STANZAS)[..1];
        assert!(
            private_sources(only_main)
                .unwrap_err()
                .to_string()
                .contains("bookworm-security")
        );
    }

    #[test]
    fn one_line_entries_with_options_are_understood() {
        let source = one_line("deb [arch=amd64 signed-by=/k.gpg] mirror:/x bookworm main").unwrap();
        assert_eq!(source.uri, "mirror:/x");
        assert_eq!(source.suites, ["bookworm"]);
        assert_eq!(source.settings, "signed-by: /k.gpg\n");
        assert_eq!(one_line("# deb mirror:/x bookworm main"), None);
    }

    #[test]
    fn a_key_inside_the_entry_is_copied_whole() {
        let text = "Types: deb\nURIs: mirror:/m\nSuites: bookworm\nSigned-By:\n BEGIN\n .\n END\nTrusted: no\n";
        assert_eq!(
            deb822(text)[0].settings,
            "Signed-By:\n BEGIN\n .\n END\nTrusted: no\n"
        );
    }

    #[test]
    fn status_lines_become_a_percentage() {
        assert_eq!(
            apt_view("dlstatus:1:12.6:Retrieving file 1 of 9").as_deref(),
            Some("13 % Retrieving file 1 of 9")
        );
    }
}
