//! Parents that stop themselves because a child is stopped: `su` and `runuser` wait for a child and stop with it.
//! They were running when the hold opened, and are continued when it ends.
//!
//! Never touches a process of another session, nor one that somebody had stopped before, as far as that can be
//! told: the first look comes milliseconds after the stop, so a program that is known to stop itself counts as
//! running then.

use std::io;

use super::process::Stat;
use crate::kernel::pidfd::PidFd;

/// Levels upward: login shell, `su`, shell, `sudo`, its monitor, shell, script and some to spare.
const LEVELS_MAX: usize = 16;
/// Programs that stop themselves with their child.
const STOP_THEMSELVES: [&[u8]; 3] = [b"su", b"runuser", b"sudo"];

/// Who a process is: its cookie, if it is of the session that is asked for.
pub type Identify<'i> = &'i dyn Fn(&PidFd) -> Option<u64>;

/// The ancestors of `pid` within its session that will have to be continued, as process ids and cookies.
pub fn find(pid: u32, identify: Identify<'_>) -> Vec<(u32, u64)> {
    let mut found = Vec::new();
    let mut child = pid;
    for _ in 0..LEVELS_MAX {
        let Ok(Some((parent, cookie, stat))) = parent_of(child, identify) else {
            break;
        };
        if !stat.is_stopped() || STOP_THEMSELVES.contains(&stat.comm.as_slice()) {
            found.push((parent, cookie));
        }
        child = parent;
    }
    found
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

/// Continues those that are stopped now.
pub fn wake(ancestors: &[(u32, u64)], identify: Identify<'_>) {
    for (pid, cookie) in ancestors {
        let Ok(Some(process)) = PidFd::open(*pid) else {
            continue;
        };
        let same = identify(&process) == Some(*cookie);
        if same && Stat::of(*pid).is_ok_and(|stat| stat.is_stopped()) {
            let _gone_meanwhile = process.resume();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rustix::process::Signal;

    use super::*;

    #[test]
    fn another_sessions_parent_is_left_alone() {
        assert!(find(std::process::id(), &|_| None).is_empty());
    }

    #[test]
    fn a_running_parent_is_found_and_continued_if_it_stops() {
        let own = |_: &PidFd| Some(7);
        let ancestors = find(std::process::id(), &own);
        assert!(!ancestors.is_empty(), "the test runner has a parent");
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = PidFd::open(child.id()).unwrap().unwrap();
        process.send(Signal::STOP).unwrap();
        while !Stat::of(child.id()).unwrap().is_stopped() {
            std::thread::yield_now();
        }
        wake(&[(child.id(), 8)], &own);
        assert!(
            Stat::of(child.id()).unwrap().is_stopped(),
            "another cookie is another process"
        );
        wake(&[(child.id(), 7)], &own);
        while Stat::of(child.id()).unwrap().is_stopped() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
