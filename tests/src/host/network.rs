//! A control plane elsewhere: in a network namespace of its own, which a pair of virtual interfaces joins to this one. Its
//! sockets for operators are files and as near as before, as they are for somebody on its machine.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{
    process,
    scenario::{load_module, module},
    wait,
};

/// The namespace of the control plane.
const NAMESPACE: &str = "control";
/// This end.
const HERE: &str = "veth-host";
/// Its end.
const THERE: &str = "veth-control";
const HERE_ADDRESS: &str = "10.77.0.2/24";
const THERE_ADDRESS: &str = "10.77.0.1/24";
/// What the agent's configuration says more: the socket of the control plane's machine is a file here, and no host elsewhere has it.
pub const AGENT_TOML: &str = "[control]\nsocket = \"/run/stayhand/nobody.sock\"\n";
/// What the control plane's configuration says more, last.
pub const CONTROL_TOML: &str =
    "[network]\nlisten = \"10.77.0.1:7443\"\naddress = \"10.77.0.1:7443\"\n";
/// Name of this host: another one than the machine's, which is the control plane's as well.
pub const HOST: &str = "db1";

/// The link. Dropping it takes it and the namespace away.
pub struct Elsewhere(());

impl Elsewhere {
    /// Makes both ends.
    pub fn set_up() -> Result<Self> {
        // Built into some kernels.
        if module("veth").is_some() {
            load_module("veth")?;
        }
        fs::create_dir_all("/run/netns")?;
        // Neighbours that share one host end without taking it away.
        tear_down();
        ip(&["netns", "add", NAMESPACE])?;
        let link = Self(());
        ip(&[
            "link", "add", HERE, "type", "veth", "peer", "name", THERE, "netns", NAMESPACE,
        ])?;
        ip(&["addr", "add", HERE_ADDRESS, "dev", HERE])?;
        ip(&["link", "set", HERE, "up"])?;
        ip(&["-n", NAMESPACE, "addr", "add", THERE_ADDRESS, "dev", THERE])?;
        ip(&["-n", NAMESPACE, "link", "set", THERE, "up"])?;
        ip(&["-n", NAMESPACE, "link", "set", "lo", "up"])?;
        Ok(link)
    }

    /// Words before a program that is to run there.
    pub const THERE: [&'static str; 4] = ["ip", "netns", "exec", NAMESPACE];

    /// Lives on without this program.
    pub fn leave(self) {
        std::mem::forget(self);
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        tear_down();
    }
}

/// Best effort: the interfaces go with the namespace, and that with its last process.
fn tear_down() {
    for gone in [&["link", "del", HERE][..], &["netns", "del", NAMESPACE]] {
        drop(ip(gone));
    }
}

fn ip(args: &[&str]) -> Result<()> {
    let ran = process::run(Command::new("ip").args(args), wait::LONG)?;
    ran.ok()
        .map(drop)
        .with_context(|| format!("ip {}", args.join(" ")))
}

/// How this host came to be one of the control plane's.
pub struct Joined {
    /// What the operator typed
    pub asked: String,
    /// The command that was printed for it, without its secret
    pub command: String,
    /// What that said
    pub said: String,
}

/// Joins, as an operator and whoever sets the host up do it: the printed command is run as it is.
pub fn join(token: &[&str]) -> Result<Joined> {
    let ask = [&["host", "token", "create"], token].concat();
    let made = process::run(Command::new("stayhand").args(&ask), wait::LONG)?;
    let made = made.ok().context("no join token was made")?;
    let command = made.stdout.lines().next().unwrap_or_default().to_owned();
    let joined = process::run(Command::new("sh").args(["-c", &made.stdout]), wait::LONG)?;
    let joined = joined
        .ok()
        .with_context(|| format!("the printed command failed: {command}"))?;
    Ok(Joined {
        asked: format!("stayhand {}", ask.join(" ")),
        command,
        said: joined.stdout,
    })
}

/// Whether a file of keys is there, for root only.
pub fn keys_are_private() -> Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let file = Path::new("/var/lib/stayhand/agent/membership.toml");
    let mode = fs::metadata(file).context("no membership")?.mode() & 0o777;
    Ok(mode == 0o600)
}
