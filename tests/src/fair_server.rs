//! Turns the scheduler's fair servers off, where this kernel has them (6.12).
//!
//! Their timer runs into itself where an emulator lets one processor of the guest wait for long (`dl_task_timer` warns in
//! `hrtimer_forward`), and a warning of the kernel ends a run. They keep real-time tasks from starving others; scenarios have none.

use std::{fs, io::ErrorKind, path::Path};

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// Mounted only meanwhile: what scenarios find there is what they are about.
const DEBUG: &str = "/sys/kernel/debug";

/// On every processor.
pub fn off() -> Result<()> {
    mount(
        Some("debugfs"),
        DEBUG,
        Some("debugfs"),
        MsFlags::empty(),
        None::<&str>,
    )
    .context("cannot mount debugfs")?;
    let done = all_off(&Path::new(DEBUG).join("sched/fair_server"));
    umount2(DEBUG, MntFlags::MNT_DETACH).context("cannot unmount debugfs")?;
    done
}

fn all_off(servers: &Path) -> Result<()> {
    let each = match fs::read_dir(servers) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        each => each.with_context(|| format!("cannot list {}", servers.display()))?,
    };
    for one in each {
        let runtime = one?.path().join("runtime");
        fs::write(&runtime, "0").with_context(|| format!("cannot write {}", runtime.display()))?;
    }
    Ok(())
}
