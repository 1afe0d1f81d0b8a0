//! Pins the processes that were there before the hooks: every one with a login uid, and later those of services.
//!
//! Never replaces a pin that the kernel set. Runs after the hooks are attached, so that whatever is forked
//! meanwhile is pinned by them.

use std::{collections::BTreeSet, fs, io, path::Path};

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
    /// Nobody's: without a login uid
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
    scan_with(&person, &mut |process, (auid, session)| {
        tasks.pin_person(process, auid, session)
    })
}

/// Rounds in which processes are looked for that run as a service: what one that is not pinned yet forks meanwhile is found
/// in the next. Whatever is executed, or takes the user on, is pinned by the hooks.
const ROUNDS_MAX: u32 = 5;

/// Pins every process for which nobody logged in and that runs as one of these users.
pub fn serve(tasks: &Tasks, services: &BTreeSet<u32>) -> Result<ScanReport, ScanError> {
    let service = |pid| service(pid, services);
    let mut pin = |process: &PidFd, (auid, session)| tasks.pin_person(process, auid, session);
    let mut report = scan_with(&service, &mut pin)?;
    let mut found = report.pinned;
    for _ in 1..ROUNDS_MAX {
        if found == 0 {
            break;
        }
        let again = scan_with(&service, &mut pin)?;
        found = again.pinned;
        report = ScanReport {
            pinned: report.pinned + found,
            ..again
        };
    }
    Ok(report)
}

/// Login uid and audit session.
type Login = (u32, u32);
/// Who a process is to be; nobody, if it is not to be pinned.
type Whose<'a> = &'a dyn Fn(u32) -> io::Result<Option<Login>>;

fn scan_with(
    whose: Whose<'_>,
    pin: &mut impl FnMut(&PidFd, Login) -> Result<Pinned, TasksError>,
) -> Result<ScanReport, ScanError> {
    let mut report = ScanReport::default();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        report.seen += 1;
        match one(pid, whose, pin) {
            Ok(Found::Unguarded) => report.unguarded += 1,
            Ok(Found::Subject(Pinned::New)) => report.pinned += 1,
            Ok(Found::Subject(Pinned::Already)) => report.already += 1,
            Ok(Found::Subject(Pinned::Gone) | Found::Gone) => report.gone += 1,
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
    Subject(Pinned),
    Gone,
}

/// The descriptor is opened first and asked again after reading, so that what was read is what is pinned.
fn one(
    pid: u32,
    whose: Whose<'_>,
    pin: &mut impl FnMut(&PidFd, Login) -> Result<Pinned, TasksError>,
) -> Result<Found, Box<dyn std::error::Error + Send + Sync>> {
    let Some(process) = PidFd::open(pid)? else {
        return Ok(Found::Gone);
    };
    let read = whose(pid);
    if !process.is_alive() {
        return Ok(Found::Gone);
    }
    match read? {
        None => Ok(Found::Unguarded),
        Some(login) => Ok(Found::Subject(pin(&process, login)?)),
    }
}

/// Who logged in; nobody for a daemon.
fn person(pid: u32) -> io::Result<Option<Login>> {
    let (auid, session) = login(pid)?;
    Ok((auid != UNSET).then_some((auid, session)))
}

/// The service as which a daemon runs.
fn service(pid: u32, services: &BTreeSet<u32>) -> io::Result<Option<Login>> {
    let (auid, _) = login(pid)?;
    if auid != UNSET {
        return Ok(None);
    }
    let uid = user(pid)?;
    Ok(services.contains(&uid).then_some((uid, UNSET)))
}

/// The user as whom a process runs: the real one, as the hooks have it.
fn user(pid: u32) -> io::Result<u32> {
    let status = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    let uid = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    uid.ok_or_else(|| io::Error::other("/proc/PID/status has no `Uid:`"))
}

/// Login uid and audit session; a kernel without audit has neither.
fn login(pid: u32) -> io::Result<Login> {
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
        let report = scan_with(&person, &mut |process, (auid, _)| {
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
    fn a_service_is_whoever_runs_as_it_and_did_not_log_in() {
        let own = std::process::id();
        let uid = nix::unistd::getuid().as_raw();
        let (auid, _) = login(own).unwrap();
        let as_service = (auid == UNSET).then_some((uid, UNSET));
        assert_eq!(service(own, &[uid].into()).unwrap(), as_service);
        assert_eq!(service(own, &[uid + 1].into()).unwrap(), None);
    }

    #[test]
    fn an_ended_process_is_not_pinned() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let found = one(child.id(), &person, &mut |_, _| {
            panic!("pinned a dead process")
        });
        assert!(matches!(found.unwrap(), Found::Gone));
    }
}
