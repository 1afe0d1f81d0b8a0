//! The cases of the corpus that only root can try: mounts, what is asked of the kernel, and what is done to a process
//! that belongs to nobody.

use std::{collections::BTreeMap, fs};

use anyhow::{Context as _, Result, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use stayhand_guardrail::action::Operation;

use super::{
    Tried,
    corpus::{Case, cases, is_about_nothing},
};
use crate::{
    actors::{
        client::{As, ERIN, FRANK, Puppet},
        subjects::{Bystander, users},
        sys::{self, Ret},
    },
    scenario,
};

/// A directory to bind, and a mount to move.
const BOUND: &str = "/srv/agree-bound";
const MOVED: &str = "/srv/agree-moved";

/// Whether nobody else could do what a case is about.
pub fn is_for_root(case: &Case) -> bool {
    is_about_nothing(case.operation)
        || matches!(
            case.operation,
            Operation::Mount
                | Operation::Umount
                | Operation::MoveMount
                | Operation::Remount
                | Operation::BindMount
        )
}

/// Root, under every name.
pub struct Root {
    puppets: BTreeMap<String, Puppet>,
    bystander: Bystander,
}

impl Root {
    /// Makes what the cases need. What is mounted before the policies are installed carries their labels.
    pub fn prepare() -> Result<Self> {
        users()?;
        for directory in [BOUND, MOVED] {
            fs::create_dir_all(directory)?;
        }
        for case in cases()? {
            if !is_for_root(&case) || case.object == "-" {
                continue;
            }
            fs::create_dir_all(case.object)?;
            if matches!(case.operation, Operation::Umount | Operation::Remount) {
                unmount(case.object);
                tmpfs(case.object)?;
            }
        }
        Ok(Self {
            puppets: BTreeMap::new(),
            bystander: Bystander::start()?,
        })
    }

    /// Root at a puppet, who logged in as the case says.
    pub fn puppet(&mut self, case: &Case) -> Result<&mut Puppet> {
        let name = case.user.as_str();
        if !self.puppets.contains_key(name) {
            let login = match name {
                "alice" => 1001,
                "bob" => 1002,
                "carol" => 1003,
                "erin" => ERIN.uid,
                "frank" => FRANK.uid,
                _ => 1004,
            };
            let puppet = Puppet::start(As {
                login: Some(login),
                uid: 0,
                groups: &[0],
            })?;
            self.puppets.insert(name.to_owned(), puppet);
        }
        self.puppets.get_mut(name).context("no puppet")
    }

    /// How a case is tried; none if nothing in this guest asks the kernel for it.
    pub fn attempt(&self, case: &Case) -> Result<Option<Tried>> {
        let (path, pid) = (case.object, self.bystander.pid());
        let (words, beyond) = match case.operation {
            Operation::Mount => (format!("tmpfs|{path}"), None),
            Operation::BindMount => (format!("bind|{BOUND}|{path}"), None),
            Operation::MoveMount => {
                tmpfs(MOVED)?;
                (format!("move|{MOVED}|{path}"), None)
            }
            Operation::Umount => (format!("umount|{path}"), None),
            Operation::Remount => (format!("remount|{path}"), None),
            Operation::Ptrace => (format!("fork|seize|{pid}"), None),
            Operation::Signal => (format!("kill|{pid}|{}", libc::SIGCONT), None),
            Operation::Bpf => ("bpf|0".to_owned(), None),
            Operation::PerfEvent => ("perf".to_owned(), None),
            Operation::Module => {
                let file = scenario::module("overlay").context("no module in this guest")?;
                (format!("load-module|{}", file.display()), None)
            }
            Operation::Kexec => ("kexec".to_owned(), None),
            Operation::Setuid => ("fork|regain|1001".to_owned(), None),
            Operation::Namespace => (format!("fork|unshare|{}", libc::CLONE_NEWUSER), None),
            Operation::Time => (format!("clock-settime|{}", now()), None),
            Operation::Raw => ("call|socket|17|3|768".to_owned(), None),
            Operation::Netlink => {
                // A link that is not there: the kernel answers in a message of its own.
                let hex = "20000000130001000000000000000000000000000f270000000000000000ff00";
                let words = format!("call|sendto|sock:16:3:0|hex:{hex}|32|0|0|0");
                return Ok(Some((words, 32, None)));
            }
            Operation::Swap => ("swapon|/nonexistent".to_owned(), Some(libc::ENOENT)),
            Operation::Reboot => ("reboot".to_owned(), Some(libc::EINVAL)),
            // Only drivers of hardware that no guest has ask for any.
            _ => return Ok(None),
        };
        Ok(Some((words, 0, beyond)))
    }

    /// Takes back what an attempt did.
    pub fn clean_up(case: &Case) -> Result<()> {
        match case.operation {
            Operation::Mount | Operation::BindMount | Operation::MoveMount => {
                unmount(MOVED);
                unmount(case.object);
            }
            Operation::Module => {
                let unloaded = sys::unload_module(c"overlay");
                // Else nobody loaded it.
                ensure!(
                    unloaded == 0 || unloaded == -Ret::from(libc::ENOENT),
                    "the module stays: {unloaded}"
                );
            }
            _ => {}
        }
        Ok(())
    }
}

fn tmpfs(path: &str) -> Result<()> {
    let none: Option<&str> = None;
    Ok(mount(none, path, Some("tmpfs"), MsFlags::empty(), none)?)
}

fn unmount(path: &str) {
    while umount2(path, MntFlags::MNT_DETACH).is_ok() {}
}

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
