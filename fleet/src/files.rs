//! Descriptors: every connection takes one here and one in the control plane, which inherits what is set here.

use anyhow::{Context as _, Result, bail};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors besides those of connections: store, sockets, runtimes, logs.
const BESIDES: u64 = 512;
/// Of two hosts: their connections, and an old one that the other end has not noticed to be gone.
const OF_TWO: u64 = 3;

/// Makes room for so many hosts, or says what to do.
pub fn raise(hosts: u32) -> Result<()> {
    let needed = u64::from(hosts) * OF_TWO / 2 + BESIDES;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("cannot read RLIMIT_NOFILE")?;
    if soft >= needed {
        return Ok(());
    }
    if setrlimit(Resource::RLIMIT_NOFILE, needed, hard.max(needed)).is_err() {
        bail!(
            "{hosts} hosts take {needed} open files, and this shell allows {hard}: run as root, or raise it first (ulimit -Hn {needed}, or \
             LimitNOFILE= of the service)"
        );
    }
    Ok(())
}
