//! The machine of the scenarios about the kernel itself and about mounts: root under five names, each with an effect of
//! its own, and a process that belongs to nobody to act on.
//!
//! Set up once per process; scenarios of one group share it and leave it as they found it.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, Result, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use stayhand_agent_ebpf::abi::{
    code::{answer, reason},
    record::Record,
};

use super::{
    client::{As, Puppet, Ticket},
    standin::{Pending, StandIn, denials, of_hold},
    sys::{EPERM, Ret},
};
use crate::{
    host::{Config, Host, grant_create},
    process, wait,
};

const POLICIES: &str = include_str!("../../fixtures/system.yaml");
/// Where mounts are tried.
pub const PLACES: &str = "/srv/m";
const LOGINS: [(&str, u32); 6] = [
    ("alice", 1001),
    ("bob", 1002),
    ("carol", 1003),
    ("dave", 1004),
    ("erin", 1005),
    ("frank", 1006),
];
/// What carol is granted.
const GRANTED: [&str; 2] = ["granted/system", "places/vault"];

/// The machine.
pub struct Subjects {
    _host: Host,
    /// In the agent's place
    pub agent: StandIn,
    puppets: BTreeMap<&'static str, Puppet>,
}

/// Something that waits for an answer.
pub struct Held {
    /// In the kernel
    pub hold: Pending,
    ticket: Ticket,
}

/// Runs a scenario on the machine of this process; the first one sets it up.
pub fn with(run: impl FnOnce(&mut Subjects) -> Result<()>) -> Result<()> {
    static MACHINE: Mutex<Option<Subjects>> = Mutex::new(None);
    let mut place = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut machine = match place.take() {
        Some(machine) => machine,
        None => Subjects::start()?,
    };
    run(&mut machine)?;
    machine.agent.clear().context("left behind")?;
    drop(machine.agent.records());
    *place = Some(machine);
    Ok(())
}

impl Subjects {
    fn start() -> Result<Self> {
        users()?;
        places()?;
        let documents = POLICIES.split("---\n");
        let mut host = Host::boot(&Config {
            policies: documents.map(str::to_owned).collect(),
            ..Config::default()
        })?;
        for name in GRANTED {
            host.cli(&grant_create("carol", name, "1h", "scenario"))?
                .ok()?;
        }
        let agent = StandIn::take_over(&mut host)?;
        Ok(Self {
            _host: host,
            agent,
            puppets: BTreeMap::new(),
        })
    }

    /// Root at a puppet, who logged in as this.
    pub fn root(&mut self, name: &'static str) -> Result<&mut Puppet> {
        self.puppet(name, 0)
    }

    /// A new puppet under this name, in the place of the one before: what a scenario did to that one is gone.
    pub fn fresh(&mut self, name: &'static str, uid: u32) -> Result<&mut Puppet> {
        self.puppets.remove(name);
        self.puppet(name, uid)
    }

    fn puppet(&mut self, name: &'static str, uid: u32) -> Result<&mut Puppet> {
        if !self.puppets.contains_key(name) {
            let login = LOGINS.iter().find(|(known, _)| *known == name);
            let (_, login) = login.context("nobody of that name")?;
            let groups: &'static [u32] = if uid == 0 { &[0] } else { &[2001] };
            let puppet = Puppet::start(As {
                login: Some(*login),
                uid,
                groups,
            })?;
            self.puppets.insert(name, puppet);
        }
        self.puppets.get_mut(name).context("no puppet")
    }

    /// What came of it and what was recorded. Words are for [`Puppet::tell`].
    pub fn tell(&mut self, name: &'static str, words: &str) -> Result<(Ret, Vec<Record>)> {
        drop(self.agent.records());
        let result = self.root(name)?.tell(words)?;
        Ok((result, self.agent.records()))
    }

    /// Denied at once, for this reason, with as many records as said.
    pub fn denied(&mut self, name: &'static str, words: &str, reason: u32) -> Result<()> {
        let (result, records) = self.tell(name, words)?;
        ensure!(result == EPERM, "`{words}` of {name} gives {result}");
        let found = denials(&records, reason);
        ensure!(
            found == 1 && records.len() == 1,
            "`{words}` of {name}: {found} denials for reason {reason} among {:x?}",
            reasons(&records)
        );
        Ok(())
    }

    /// Not denied, and nothing is recorded.
    pub fn unnoticed(&mut self, name: &'static str, words: &str, expected: Ret) -> Result<()> {
        let (result, records) = self.tell(name, words)?;
        ensure!(
            result == expected,
            "`{words}` of {name} gives {result}, not {expected}"
        );
        ensure!(
            records.is_empty(),
            "`{words}` of {name}: {:x?}",
            reasons(&records)
        );
        Ok(())
    }

    /// Goes on under a grant, recorded each time that it was asked about.
    pub fn granted(&mut self, name: &'static str, words: &str, expected: Ret) -> Result<()> {
        let (result, records) = self.tell(name, words)?;
        ensure!(
            result == expected,
            "`{words}` of {name} gives {result}, not {expected}"
        );
        let under_grant = records
            .iter()
            .filter(|record| record.reason == reason::GRANT);
        let count = under_grant.count();
        ensure!(
            count >= 1 && count == records.len(),
            "`{words}` of {name}: {:x?}",
            reasons(&records)
        );
        Ok(())
    }

    /// Asks for something that is held; gives it when it is published and its process is stopped.
    pub fn hold(&mut self, name: &'static str, words: &str) -> Result<Held> {
        let ticket = self.root(name)?.ask(words)?;
        let hold = self.agent.wait_one().with_context(|| {
            let answered = self
                .puppets
                .get(name)
                .and_then(|puppet| puppet.answered(&ticket));
            format!("asked `{words}` of {name}; the answer so far: {answered:?}")
        })?;
        process::wait_stopped(hold.entry.tgid, wait::SOON)?;
        Ok(Held { hold, ticket })
    }

    /// The answer of whoever asked.
    pub fn result(&self, name: &'static str, held: &Held) -> Result<Ret> {
        let puppet = self.puppets.get(name).context("no puppet")?;
        puppet.answer(&held.ticket, wait::SOON)
    }

    /// The whole property, as `Rig::held_without_effect` has it: refused without effect, held without effect through
    /// stray `SIGCONT`s, approved with the right result and its effect.
    pub fn held_without_effect(
        &mut self,
        name: &'static str,
        words: &str,
        effect: &dyn Fn(u32) -> bool,
        expected: Ret,
    ) -> Result<()> {
        let held = self.hold(name, words)?;
        let pid = held.hold.entry.tgid;
        self.agent.refuse(&held.hold)?;
        let result = self.result(name, &held)?;
        ensure!(result == EPERM, "`{words}` refused gives {result}");
        ensure!(
            !effect(pid),
            "`{words}` had its effect although it was refused"
        );
        drop(self.agent.records());
        let held = self.hold(name, words)?;
        let pid = held.hold.entry.tgid;
        ensure!(
            !effect(pid),
            "`{words}` had its effect before anybody answered"
        );
        for _ in 0..2 {
            self.stray_continue(name, &held)?;
            ensure!(
                !effect(pid),
                "`{words}` had its effect after a stray SIGCONT"
            );
        }
        self.agent.approve(&held.hold)?;
        let result = self.result(name, &held)?;
        ensure!(
            result == expected,
            "`{words}` approved gives {result}, not {expected}"
        );
        ensure!(effect(pid), "`{words}` approved has no effect");
        let told = of_hold(&self.agent.records(), held.hold.entry.hold);
        ensure!(
            told == (1, vec![reason::HOLD_APPROVED]),
            "`{words}`: {told:?}"
        );
        Ok(())
    }

    /// Approves what is not any more what would happen: it is asked about anew, which is refused.
    pub fn approved_in_vain(&mut self, name: &'static str, held: &Held) -> Result<()> {
        self.agent.write_answer(&held.hold, answer::APPROVED)?;
        self.agent.wake(&held.hold);
        let asked = wait::until(wait::SOON, "a question of its own", || {
            let pending = self.agent.pending();
            pending
                .into_iter()
                .find(|one| one.entry.hold != held.hold.entry.hold)
        })?;
        self.agent.refuse(&asked)?;
        self.agent.forget(&held.hold)?;
        let result = self.result(name, held)?;
        ensure!(result == EPERM, "refused, and yet {result}");
        Ok(())
    }

    fn stray_continue(&self, name: &'static str, held: &Held) -> Result<()> {
        self.agent.stops_again(&held.hold)?;
        let answered = self
            .puppets
            .get(name)
            .and_then(|puppet| puppet.answered(&held.ticket));
        ensure!(
            answered.is_none(),
            "a stray SIGCONT let the call return {answered:?}"
        );
        Ok(())
    }
}

/// Verdict and reason of each.
pub fn reasons(records: &[Record]) -> Vec<(u32, u32)> {
    let of = |record: &Record| (record.verdict, record.reason);
    records.iter().map(of).collect()
}

/// Names that this guest does not come with.
pub fn users() -> Result<()> {
    let mut known = fs::read_to_string("/etc/passwd")?;
    for (name, uid) in LOGINS {
        if !known.contains(&format!("{name}:x:{uid}:")) {
            // Writing to a string cannot fail.
            writeln!(known, "{name}:x:{uid}:{uid}::/:/bin/sh").ok();
        }
    }
    Ok(fs::write("/etc/passwd", known)?)
}

/// Directories of every effect, with something mounted where it is to be moved, changed or taken away: the agent knows
/// the roots of what is mounted.
fn places() -> Result<()> {
    let none: Option<&str> = None;
    for name in ["denied", "held", "vault", "free"] {
        for place in ["empty", "full", "full2", "other"] {
            fs::create_dir_all(format!("{PLACES}/{name}/{place}"))?;
        }
        for full in ["full", "full2"] {
            let full = format!("{PLACES}/{name}/{full}");
            // An earlier process may have left one.
            while umount2(full.as_str(), MntFlags::MNT_DETACH).is_ok() {}
            mount(none, full.as_str(), Some("tmpfs"), MsFlags::empty(), none)?;
            fs::write(format!("{full}/mark"), name)?;
        }
    }
    fs::create_dir_all(format!("{PLACES}/secret"))?;
    fs::write(format!("{PLACES}/secret/f"), "before")?;
    Ok(())
}

/// A process that belongs to nobody, in a group of its own, and waits to be acted on; dropping it ends it.
pub struct Bystander(Child);

impl Bystander {
    /// Starts one.
    pub fn start() -> Result<Self> {
        let child = Command::new("sleep")
            .arg("1000")
            .process_group(0)
            .stdin(Stdio::null())
            .spawn()?;
        let made = Self(child);
        // Until it has executed its program it has the name of its parent, and a question names it.
        let comm = format!("/proc/{}/comm", made.pid());
        wait::until(wait::SOON, "the bystander's own name", || {
            let name = fs::read_to_string(&comm).ok()?;
            (name.trim_end() == "sleep").then_some(())
        })?;
        Ok(made)
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Whether it runs on.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    /// Where its stack begins, of which the first bytes are used by nobody.
    pub fn stack(&self) -> Result<u64> {
        let start = || -> Option<String> {
            let maps = fs::read_to_string(format!("/proc/{}/maps", self.pid())).ok()?;
            let line = maps.lines().find(|line| line.ends_with("[stack]"))?;
            line.split('-').next().map(str::to_owned)
        };
        // A moment after it was started it has none.
        let start = wait::until(wait::SOON, "the bystander's stack", start)?;
        Ok(u64::from_str_radix(&start, 16)?)
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A member of `/proc/PID/status`.
pub fn status(pid: u32, member: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(member));
    line.map(|line| {
        line[member.len()..]
            .trim_start_matches(':')
            .trim()
            .to_owned()
    })
    .unwrap_or_default()
}
