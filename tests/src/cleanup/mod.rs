//! Brings the machine back to how it was before a scenario: no process, no hook, no state of it is left.
//!
//! Only ever run by the runner, which no policy guards.

mod emptied;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use nix::mount::{MntFlags, umount2};
use nix::sys::signal::Signal;
use stayhand_agent_ebpf::abi::ABI_VERSION;

use crate::scenario::LOGS;
use crate::{console, process, wait};

/// Where the agent pins.
pub const PINS: &str = "/sys/fs/bpf/stayhand";
/// Directories of state; emptied.
const STATE: [&str; 6] = [
    "/run/stayhand",
    "/var/lib/stayhand",
    "/etc/stayhand",
    "/tmp",
    LOGS,
    "/opt/demo",
];
/// What scenarios guard; removed.
const PLACES: [&str; 5] = [
    "/srv/held",
    "/srv/vault",
    "/srv/work",
    "/srv/stress",
    "/srv/honest",
];

/// What becomes of the hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hooks {
    /// They go, as everything else does
    Removed,
    /// They stay attached, over empty maps: verifying them takes longer than most scenarios do
    Kept,
}

/// All of it.
pub fn everything(hooks: Hooks) -> Result<()> {
    kill_leftovers()?;
    if hooks == Hooks::Removed || !is_pinned() {
        uninstall()?;
    } else if let Err(error) = emptied::all() {
        console::log(&format!("the hooks are removed: {error:#}"));
        uninstall()?;
    }
    // A scenario may have put a small disk there; without one this fails, as it should.
    let _none_there = umount2("/var/lib/stayhand", MntFlags::MNT_DETACH);
    unmount_all_below("/srv")?;
    for directory in STATE {
        empty(Path::new(directory))?;
    }
    for place in PLACES {
        gone(fs::remove_dir_all(place)).with_context(|| format!("cannot remove {place}"))?;
    }
    Ok(())
}

/// What a reboot takes from an agent, which is not alive: everything in the kernel but the programs, over whose empty maps the next
/// one finds nothing. One scenario shows loading after a reboot; others would only wait for the verifier.
pub fn as_after_a_reboot() -> Result<()> {
    emptied::all()
}

/// The last mount first; it goes for good once nobody uses it.
fn unmount_all_below(top: &str) -> Result<()> {
    let mounts = procfs::process::Process::myself()?.mountinfo()?;
    let mut points: Vec<PathBuf> = mounts.into_iter().map(|one| one.mount_point).collect();
    points.retain(|point| point.starts_with(top));
    for point in points.iter().rev() {
        umount2(point, MntFlags::MNT_DETACH)
            .with_context(|| format!("cannot unmount {}", point.display()))?;
    }
    Ok(())
}

/// Everything but PID 1, this process and the kernel's own threads.
fn kill_leftovers() -> Result<()> {
    wait::until_done(wait::SOON, "the last scenario's processes to go", || {
        let left = leftovers();
        for pid in &left {
            // It may be gone by now.
            drop(process::signal(*pid, Signal::SIGKILL));
        }
        Ok(left.is_empty().then_some(()))
    })
    .with_context(process::listing)
}

fn leftovers() -> Vec<u32> {
    let own = std::process::id();
    let all = procfs::process::all_processes()
        .into_iter()
        .flatten()
        .flatten();
    let foreign = all.filter(|process| {
        process
            .stat()
            .is_ok_and(|stat| stat.ppid != 2 && stat.pid != 2)
    });
    let pids = foreign.filter_map(|process| u32::try_from(process.pid).ok());
    pids.filter(|pid| *pid != 1 && *pid != own && process::is_alive(*pid))
        .collect()
}

/// The documented way first; what it leaves would be reported and is then unlinked by hand.
fn uninstall() -> Result<()> {
    if !is_pinned() {
        return Ok(());
    }
    let mut command = Command::new("stayhand-agent");
    command.arg("--uninstall");
    let left = match process::run(&mut command, wait::LONG).and_then(process::Output::ok) {
        Ok(_) if !is_pinned() => return Ok(()),
        Ok(_) => "pins are left after `stayhand-agent --uninstall`".to_owned(),
        Err(error) => format!("`stayhand-agent --uninstall`: {error:#}"),
    };
    console::log(&left);
    gone(fs::remove_dir_all(PINS)).with_context(|| format!("cannot remove {PINS}"))
}

/// What the agent of this build pins.
pub fn pins_of_this_build() -> PathBuf {
    Path::new(PINS).join(format!("v{ABI_VERSION}"))
}

/// Whether anything is pinned; the agent leaves the directory itself, which operators may have made.
pub fn is_pinned() -> bool {
    fs::read_dir(PINS).is_ok_and(|mut entries| entries.next().is_some())
}

fn empty(directory: &Path) -> Result<()> {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        gone(if is_directory {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        })
        .with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

fn gone(result: std::io::Result<()>) -> std::io::Result<()> {
    result.or_else(|error| {
        if error.kind() == ErrorKind::NotFound {
            Ok(())
        } else {
            Err(error)
        }
    })
}
