//! Others that stop because a child is stopped: `su` and `runuser` wait for a child and stop with it, `sudo` stops its
//! whole process group, the script that called it included. They were running when the hold opened, and are
//! continued when it ends.
//!
//! Never touches a process of another session, nor one that somebody had stopped before, as far as that can be
//! told: the first look comes milliseconds after the stop, so a program that is known to stop itself counts as
//! running then, and so does whoever is in its process group.

use std::io;

use super::{
    process::Stat,
    row::{Ancestor, Others},
};
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
    let mut groups = vec![];
    let mut child = pid;
    for _ in 0..LEVELS_MAX {
        let Ok(Some((pid, cookie, stat))) = parent_of(child, identify) else {
            break;
        };
        let stops_itself = STOP_THEMSELVES.contains(&stat.comm.as_slice());
        if stops_itself {
            groups.push(stat.group);
        }
        others.ancestors.push(Ancestor {
            pid,
            cookie,
            group: stat.group,
            stops_itself,
            ran: !stat.is_stopped() || groups.contains(&stat.group),
        });
        child = pid;
    }
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
    for one in others.ancestors.iter().rev().filter(|one| one.ran) {
        any |= resume(one, identify);
    }
    let groups: Vec<u32> = self_stoppers(others).map(|one| one.group).collect();
    if !groups.is_empty() {
        wake_groups(&groups, identify);
    }
    any
}

/// Continues programs that stop themselves and were left so: nothing between them and the held process is stopped
/// any more. `sudo` handles every stop that its monitor reported, also one that has long been over, and stops again
/// after it was continued. Whoever is stopped together with a child, as Ctrl-Z does it, is left alone.
pub fn wake_left_behind(others: &Others, held_is_stopped: bool, identify: Identify<'_>) {
    let mut stopped_below = held_is_stopped;
    let mut groups = vec![];
    for one in &others.ancestors {
        let Some(stopped) = is_stopped(one, identify) else {
            continue;
        };
        if stopped && one.stops_itself && !stopped_below {
            resume(one, identify);
            groups.push(one.group);
        } else {
            stopped_below |= stopped && !groups.contains(&one.group);
        }
    }
    if !groups.is_empty() {
        wake_groups(&groups, identify);
    }
}

/// Whether a program that stops itself is still there.
pub fn may_be_left_behind(others: &Others, identify: Identify<'_>) -> bool {
    self_stoppers(others).any(|one| is_stopped(one, identify).is_some())
}

fn self_stoppers(others: &Others) -> impl Iterator<Item = &Ancestor> {
    others.ancestors.iter().filter(|one| one.stops_itself)
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
            resume_if(pid, &|process| identify(process).is_some());
        }
    }
}

/// Whether it is stopped; nothing if it is gone.
fn is_stopped(one: &Ancestor, identify: Identify<'_>) -> Option<bool> {
    let process = PidFd::open(one.pid).ok()??;
    let stat = Stat::of(one.pid).ok()?;
    (identify(&process) == Some(one.cookie) && stat.state != 'Z').then_some(stat.is_stopped())
}

fn resume(one: &Ancestor, identify: Identify<'_>) -> bool {
    resume_if(one.pid, &|process| identify(process) == Some(one.cookie))
}

/// Continues a process that is stopped, if it is the right one. The number is read after it was opened.
fn resume_if(pid: u32, is_right: &dyn Fn(&PidFd) -> bool) -> bool {
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
    use std::{
        os::unix::process::CommandExt as _,
        process::{Child, Command},
    };

    use rustix::process::Signal;

    use super::*;

    const COOKIE: u64 = 7;

    /// A process in a group of its own that somebody stopped.
    struct Stopped(Child);

    impl Stopped {
        fn start() -> Self {
            let mut command = Command::new("sleep");
            let stopped = Self(command.arg("60").process_group(0).spawn().unwrap());
            let process = PidFd::open(stopped.0.id()).unwrap().unwrap();
            process.send(Signal::STOP).unwrap();
            while !stopped.is_stopped() {
                std::thread::yield_now();
            }
            stopped
        }

        fn is_stopped(&self) -> bool {
            Stat::of(self.0.id()).unwrap().is_stopped()
        }

        fn continues(&self) {
            while self.is_stopped() {
                std::thread::yield_now();
            }
        }

        fn as_ancestor(&self, stops_itself: bool) -> Ancestor {
            Ancestor {
                pid: self.0.id(),
                cookie: COOKIE,
                group: self.0.id(),
                stops_itself,
                ran: true,
            }
        }
    }

    impl Drop for Stopped {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    fn others(ancestors: &[Ancestor]) -> Others {
        Others {
            ancestors: ancestors.to_vec(),
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "the shape of `Identify`")]
    fn own(_: &PidFd) -> Option<u64> {
        Some(COOKIE)
    }

    #[test]
    fn another_sessions_processes_are_left_alone() {
        assert_eq!(find(std::process::id(), &|_| None), Others::default());
        let stopped = Stopped::start();
        let group = others(&[stopped.as_ancestor(true)]);
        wake(&group, &|_| None);
        wake_left_behind(&group, false, &|_| None);
        assert!(stopped.is_stopped());
        assert!(!may_be_left_behind(&group, &|_| None));
    }

    #[test]
    fn another_process_with_the_same_number_is_left_alone() {
        let stopped = Stopped::start();
        let mut ancestor = stopped.as_ancestor(false);
        ancestor.cookie = COOKIE + 1;
        assert!(!wake(&others(&[ancestor]), &own));
        assert!(stopped.is_stopped());
    }

    #[test]
    fn one_that_was_stopped_before_is_left_alone() {
        let stopped = Stopped::start();
        let mut ancestor = stopped.as_ancestor(false);
        ancestor.ran = false;
        assert!(!wake(&others(&[ancestor]), &own));
        assert!(stopped.is_stopped());
    }

    #[test]
    fn a_running_parent_is_found_and_continued_if_it_stops() {
        let found = find(std::process::id(), &own);
        assert!(found.ancestors.first().is_some_and(|parent| parent.ran));
        let stopped = Stopped::start();
        assert!(wake(&others(&[stopped.as_ancestor(false)]), &own));
        stopped.continues();
    }

    #[test]
    fn the_group_of_one_that_stops_itself_is_continued() {
        let stopped = Stopped::start();
        let mut gone = stopped.as_ancestor(true);
        gone.pid = u32::MAX;
        wake(&others(&[gone]), &own);
        stopped.continues();
    }

    #[test]
    fn only_one_that_stops_itself_is_left_behind_and_only_with_nothing_stopped_below() {
        let (child, parent) = (Stopped::start(), Stopped::start());
        let ends = |stops_itself| others(&[parent.as_ancestor(stops_itself)]);
        wake_left_behind(&ends(false), false, &own);
        wake_left_behind(&ends(true), true, &own);
        let both = others(&[child.as_ancestor(false), parent.as_ancestor(true)]);
        wake_left_behind(&both, false, &own);
        assert!(child.is_stopped() && parent.is_stopped());
        wake_left_behind(&ends(true), false, &own);
        parent.continues();
        assert!(may_be_left_behind(&both, &own) && !may_be_left_behind(&ends(false), &own));
    }
}
