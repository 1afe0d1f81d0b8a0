//! What machine this is: distribution, suite, and whether we may install packages.
//!
//! Never changes the machine.

use std::fs;

/// What `setup` may count on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// `VERSION_CODENAME` of a Debian system, nothing on others.
    pub debian: Option<String>,
    /// Effective user 0: packages can be installed.
    pub root: bool,
}

/// The one suite that the automatic route is written and tested for.
pub const SUITE: &str = "bookworm";

impl Host {
    /// Reads `/etc/os-release` and our own effective user id.
    pub fn detect() -> Self {
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            debian: debian_suite(&release),
            root: effective_uid(&status) == Some(0),
        }
    }

    /// The automatic route exists here.
    pub fn is_supported_debian(&self) -> bool {
        self.debian.as_deref() == Some(SUITE)
    }
}

fn debian_suite(os_release: &str) -> Option<String> {
    let field = |name: &str| {
        os_release
            .lines()
            .find_map(|l| l.strip_prefix(name)?.strip_prefix('='))
            .map(|v| v.trim_matches('"').to_owned())
    };
    (field("ID")? == "debian")
        .then(|| field("VERSION_CODENAME"))
        .flatten()
}

fn effective_uid(status: &str) -> Option<u32> {
    // "Uid:  real  effective  saved  fs"
    status
        .lines()
        .find_map(|l| l.strip_prefix("Uid:"))?
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_are_not_taken_for_debian() {
        assert_eq!(debian_suite("ID=ubuntu\nVERSION_CODENAME=jammy\n"), None);
        assert_eq!(
            debian_suite("VERSION_CODENAME=bookworm\nID=debian\n").as_deref(),
            Some("bookworm")
        );
    }

    #[test]
    fn the_effective_user_counts_not_the_real_one() {
        assert_eq!(effective_uid("Name:\tx\nUid:\t1000\t0\t0\t0\n"), Some(0));
    }
}
