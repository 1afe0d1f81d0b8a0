//! What a process takes: memory and time on processors, by the kernel's account.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};
use procfs::process::Process;

/// Memory of a process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// Resident, KiB
    pub(crate) rss_kib: u64,
    /// Resident, pages that are shared counted by their part, KiB
    pub(crate) pss_kib: u64,
}

/// Of a process now.
pub(crate) fn memory(pid: u32) -> Result<Memory> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    let of = |name: &str| -> Result<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|rest| rest.split_whitespace().next());
        let number = number.with_context(|| format!("{path} has no {name}"))?;
        Ok(number.parse()?)
    };
    Ok(Memory {
        rss_kib: of("Rss:")?,
        pss_kib: of("Pss:")?,
    })
}

/// Time on processors since the process began, to the kernel's tick (10 ms).
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let stat = Process::new(i32::try_from(pid)?)?.stat()?;
    let ticks = stat.utime + stat.stime;
    Ok(Duration::from_secs(1) * u32::try_from(ticks)? / u32::try_from(procfs::ticks_per_second())?)
}
