//! Others that stop because a child is stopped: `su` and `runuser` wait for a child and stop with it, `sudo` stops its
//! whole process group, the script that called it included. They were running when the hold opened, and are
//! continued when it ends.
//!
//! Never touches a process of another session, nor one that somebody had stopped before, as far as that can be
//! told: the first look comes milliseconds after the stop, so a program that is known to stop itself counts as
//! running then, and so does whoever is in its process group.

use std::io;

use super::{process::Stat, row::Others};
use crate::kernel::pidfd::PidFd;

/// Levels upward: login shell, `su`, shell, `sudo`, its monitor, shell, script and some to spare.
const LEVELS_MAX: usize = 16;
/// Programs that stop themselves with their child.
const STOP_THEMSELVES: [&[u8]; 3] = [b"su", b"runuser", b"sudo"];

/// Who a process is: its cookie, if it is of the session that is asked for.
pub type Identify<'i> = &'i dyn Fn(&PidFd) -> Option<u64>;

/// Who of the session of `pid` will have to be continued.
pub fn find(pid: u32, identify: Identify<'_>) -> Others {
    let mut others = Others::default();
    let mut child = pid;
    for _ in 0..LEVELS_MAX {
        let Ok(Some((parent, cookie, stat))) = parent_of(child, identify) else {
            break;
        };
        if STOP_THEMSELVES.contains(&stat.comm.as_slice()) {
            others.groups.push(stat.group);
        }
        if !stat.is_stopped() || others.groups.contains(&stat.group) {
            others.ancestors.push((parent, cookie));
        }
        child = parent;
    }
    others.groups.sort_unstable();
    others.groups.dedup();
    others
}

/// The parent, opened before its number is read a second time: the same number twice means the same process.
fn parent_of(child: u32, identify: Identify<'_>) -> io::Result<Option<(u32, u64, Stat)>> {
    let parent = Stat::of(child)?.ppid;
    if parent <= 1 {
        return Ok(None);
    }
    let Some(process) = PidFd::open(parent)? else {
        return Ok(None);
    };
    if Stat::of(child)?.ppid != parent {
        return Ok(None);
    }
    let stat = Stat::of(parent)?;
    Ok(identify(&process).map(|cookie| (parent, cookie, stat)))
}

/// Continues those that are stopped now, the outermost first. Says whether an ancestor was.
pub fn wake(others: &Others, identify: Identify<'_>) -> bool {
    let mut any = false;
    for (pid, cookie) in others.ancestors.iter().rev() {
        any |= resume(*pid, &|process| identify(process) == Some(*cookie));
    }
    if !others.groups.is_empty() {
        wake_groups(&others.groups, identify);
    }
    any
}

fn wake_groups(groups: &[u32], identify: Identify<'_>) {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return;
    };
    for name in processes.flatten().map(|entry| entry.file_name()) {
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if Stat::of(pid).is_ok_and(|stat| stat.is_stopped() && groups.contains(&stat.group)) {
            resume(pid, &|process| identify(process).is_some());
        }
    }
}

/// Continues a process that is stopped, if it is the right one. The number is read after it was opened.
fn resume(pid: u32, is_right: &dyn Fn(&PidFd) -> bool) -> bool {
    let Ok(Some(process)) = PidFd::open(pid) else {
        return false;
    };
    if !is_right(&process) || !Stat::of(pid).is_ok_and(|stat| stat.is_stopped()) {
        return false;
    }
    let resumed = process.resume().unwrap_or(false);
    tracing::debug!(pid, resumed, "continued with a held process");
    resumed
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rustix::process::Signal;

    use super::*;

    fn ancestor(pid: u32, cookie: u64) -> Others {
        Others {
            ancestors: vec![(pid, cookie)],
            groups: vec![],
        }
    }

    #[test]
    fn a_stopped_group_is_continued_but_not_another_sessions() {
        use std::os::unix::process::CommandExt as _;
        let mut child = Command::new("sleep")
            .arg("60")
            .process_group(0)
            .spawn()
            .unwrap();
        let process = PidFd::open(child.id()).unwrap().unwrap();
        process.send(Signal::STOP).unwrap();
        while !Stat::of(child.id()).unwrap().is_stopped() {
            std::thread::yield_now();
        }
        let group = Others {
            ancestors: vec![],
            groups: vec![child.id()],
        };
        wake(&group, &|_| None);
        assert!(
            Stat::of(child.id()).unwrap().is_stopped(),
            "another session's"
        );
        wake(&group, &|_| Some(7));
        while Stat::of(child.id()).unwrap().is_stopped() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn another_sessions_parent_is_left_alone() {
        assert_eq!(find(std::process::id(), &|_| None), Others::default());
    }

    #[test]
    fn a_running_parent_is_found_and_continued_if_it_stops() {
        let own = |_: &PidFd| Some(7);
        let others = find(std::process::id(), &own);
        assert!(!others.ancestors.is_empty(), "the test runner has a parent");
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = PidFd::open(child.id()).unwrap().unwrap();
        process.send(Signal::STOP).unwrap();
        while !Stat::of(child.id()).unwrap().is_stopped() {
            std::thread::yield_now();
        }
        wake(&ancestor(child.id(), 8), &own);
        assert!(
            Stat::of(child.id()).unwrap().is_stopped(),
            "another cookie is another process"
        );
        wake(&ancestor(child.id(), 7), &own);
        while Stat::of(child.id()).unwrap().is_stopped() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
