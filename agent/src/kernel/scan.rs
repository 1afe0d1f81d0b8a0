//! Pins the people's processes that were there before the hooks: every process with a login uid.
//!
//! Never replaces a pin that the kernel set. Runs after the hooks are attached, so that whatever is forked
//! meanwhile is pinned by them.

use std::{fs, io, path::Path};

use stayhand_agent_ebpf::abi::UNSET;

use super::{
    pidfd::PidFd,
    task_storage::{Pinned, Tasks, TasksError},
};

/// What a scan found; the sum of all but `seen` is `seen`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanReport {
    /// Processes in /proc
    pub seen: u64,
    /// Pinned by this scan
    pub pinned: u64,
    /// Pinned before
    pub already: u64,
    /// Without a login uid
    pub unguarded: u64,
    /// Ended while being looked at
    pub gone: u64,
    /// Not pinned because of an error
    pub failed: u64,
}

impl std::fmt::Display for ScanReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            seen,
            pinned,
            already,
            unguarded,
            gone,
            failed,
        } = self;
        write!(
            f,
            "{seen} processes: {pinned} pinned now, {already} before, {unguarded} without login, {gone} gone, {failed} failed"
        )
    }
}

/// Why a scan could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// /proc cannot be listed.
    #[error("cannot list /proc: {0}; mount it, without `hidepid` for the agent")]
    Proc(#[from] io::Error),
}

/// Pins every process that has a login uid and no pin.
pub fn scan(tasks: &Tasks) -> Result<ScanReport, ScanError> {
    scan_with(|process, auid, session| tasks.pin_person(process, auid, session))
}

fn scan_with(
    mut pin: impl FnMut(&PidFd, u32, u32) -> Result<Pinned, TasksError>,
) -> Result<ScanReport, ScanError> {
    let mut report = ScanReport::default();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        report.seen += 1;
        match one(pid, &mut pin) {
            Ok(Found::Unguarded) => report.unguarded += 1,
            Ok(Found::Person(Pinned::New)) => report.pinned += 1,
            Ok(Found::Person(Pinned::Already)) => report.already += 1,
            Ok(Found::Person(Pinned::Gone) | Found::Gone) => report.gone += 1,
            Err(error) => {
                tracing::warn!(pid, error = %crate::exit::chain(error.as_ref()), "process could not be pinned");
                report.failed += 1;
            }
        }
    }
    Ok(report)
}

enum Found {
    Unguarded,
    Person(Pinned),
    Gone,
}

/// The descriptor is opened first and asked again after reading, so that what was read is what is pinned.
fn one(
    pid: u32,
    pin: &mut impl FnMut(&PidFd, u32, u32) -> Result<Pinned, TasksError>,
) -> Result<Found, Box<dyn std::error::Error + Send + Sync>> {
    let Some(process) = PidFd::open(pid)? else {
        return Ok(Found::Gone);
    };
    let read = login(pid);
    if !process.is_alive() {
        return Ok(Found::Gone);
    }
    let (auid, session) = read?;
    if auid == UNSET {
        return Ok(Found::Unguarded);
    }
    Ok(Found::Person(pin(&process, auid, session)?))
}

/// Login uid and audit session; a kernel without audit has neither.
fn login(pid: u32) -> io::Result<(u32, u32)> {
    let process = Path::new("/proc").join(pid.to_string());
    Ok((
        number(&process.join("loginuid"))?,
        number(&process.join("sessionid"))?,
    ))
}

fn number(path: &Path) -> io::Result<u32> {
    match fs::read_to_string(path) {
        Ok(text) => text.trim().parse().map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(UNSET),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_accounts_for_every_process_and_pins_only_logins() {
        let mut asked = Vec::new();
        let report = scan_with(|process, auid, _| {
            assert_ne!(auid, UNSET);
            asked.push(process.pid());
            Ok(Pinned::New)
        })
        .unwrap();
        assert_eq!(report.pinned, asked.len() as u64);
        let ScanReport {
            seen,
            pinned,
            already,
            unguarded,
            gone,
            failed,
        } = report;
        assert_eq!(
            seen,
            pinned + already + unguarded + gone + failed,
            "{report}"
        );
        assert!(seen > 0 && failed == 0, "{report}");
    }

    #[test]
    fn an_ended_process_is_not_pinned() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let found = one(child.id(), &mut |_, _, _| panic!("pinned a dead process")).unwrap();
        assert!(matches!(found, Found::Gone));
    }
}
