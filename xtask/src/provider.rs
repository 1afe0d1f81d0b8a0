//! The identity provider with which signing in is tested: npm's `oidc-provider`, with the versions that its lock file names.
//!
//! Installed below `target/`, and only anew where the lock file is another one. Runs nothing of what it installs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};

use crate::{paths, run};

/// What the tests read to find it.
pub const VARIABLE: &str = "STAYHAND_OIDC_PROVIDER";
/// What is installed from, and run.
const FILES: [&str; 3] = ["package.json", "package-lock.json", "provider.mjs"];
/// The oldest that the provider runs on.
const NODE_MAJOR: u32 = 20;
/// The file of versions; a copy of it is written last, and says that the rest is there.
const LOCK: &str = "package-lock.json";

/// Installs it where it is not, and says where it is.
pub fn installed() -> Result<PathBuf> {
    let from = paths::root().join("tests/tests/sign_in/provider");
    let to = paths::target().join("oidc-provider");
    let stamp = to.join("installed.lock");
    let locked = fs::read(from.join(LOCK)).context("the provider's lock file")?;
    let is_there = fs::read(&stamp).is_ok_and(|there| there == locked);
    copy(&from, &to)?;
    if is_there {
        return Ok(to);
    }
    let node = version("node", "Node.js")?;
    let major = node.trim().trim_start_matches('v').split('.').next();
    if !major.is_some_and(|major| major.parse::<u32>().is_ok_and(|major| major >= NODE_MAJOR)) {
        bail!(
            "the tests of signing in need Node.js {NODE_MAJOR} or newer, and this is {}",
            node.trim()
        );
    }
    version("npm", "npm")?;
    println!("setup  identity provider for tests");
    let mut npm = Command::new("npm");
    // No scripts: what comes from a registry runs in the provider's process and nowhere else.
    npm.args([
        "ci",
        "--omit=dev",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
    ])
    .current_dir(&to);
    run::output(&mut npm).context("the identity provider for tests cannot be installed")?;
    fs::write(&stamp, locked)?;
    Ok(to)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for name in FILES {
        fs::copy(from.join(name), to.join(name)).with_context(|| format!("cannot copy {name}"))?;
    }
    Ok(())
}

fn version(program: &str, what: &str) -> Result<String> {
    run::output(Command::new(program).arg("--version")).map_err(|_| {
        anyhow!(
            "the tests of signing in need {what}, and there is no `{program}`: install it (Debian 13: apt-get install nodejs npm; \
             elsewhere as nodejs.org says)"
        )
    })
}
