//! The machine of the kernel's scenarios: a policy of every effect enforced, the agent gone, a stand-in with a
//! hand on every step, alice at a puppet.
//!
//! Set up once per process; scenarios of one group share it and leave it as they found it.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, Result, ensure};
use stayhand_agent_ebpf::abi::code::{answer, reason};

use super::{
    client::{ALICE, As, Puppet, Ticket},
    elf,
    standin::{Pending, StandIn, of_hold},
    sys::{EPERM, Ret},
};
use crate::{
    host::{Config, Host},
    process, wait,
};

/// The policy of these machines.
pub const POLICY: &str = include_str!("../../fixtures/policies/kernel.yaml");
/// Where everything is.
pub const WORK: &str = "/srv/work";
/// A program that needs a loader, and ends well.
pub const DYNAMIC: &str = "/usr/bin/true";
/// Exit code of the held program.
pub const PROGRAM_CODE: Ret = 42;

/// The machine.
pub struct Rig {
    /// The host, whose services are gone; kept because its end cleans the machine up
    _host: Host,
    /// In the agent's place
    pub agent: StandIn,
    /// Alice, uid 1001
    pub alice: Puppet,
}

/// An action that is held, and how its answer will come.
#[derive(Debug)]
pub struct Held {
    /// In the kernel
    pub hold: Pending,
    /// At the puppet
    pub ticket: Ticket,
}

/// Where the scenarios of one group keep their machine.
pub type Shared = Mutex<Option<Rig>>;

/// Runs a scenario on the machine of this process; the first one sets it up.
pub fn with(run: impl FnOnce(&mut Rig) -> Result<()>) -> Result<()> {
    static RIG: Shared = Mutex::new(None);
    shared(&RIG, || Rig::with_places(&Config::policy(POLICY)), run)
}

/// The same on a group's own machine, which the first scenario makes and one that fails takes with it.
pub fn shared(
    place: &Shared,
    make: impl FnOnce() -> Result<Rig>,
    run: impl FnOnce(&mut Rig) -> Result<()>,
) -> Result<()> {
    let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
    let mut rig = match place.take() {
        Some(rig) => rig,
        None => make()?,
    };
    run(&mut rig)?;
    rig.agent.clear().context("left behind")?;
    rig.agent.collect();
    drop(rig.agent.records());
    *place = Some(rig);
    Ok(())
}

/// Runs a scenario on a machine of its own whose holds take their time between their steps.
pub fn with_delays(run: impl FnOnce(&mut Rig) -> Result<()>) -> Result<()> {
    const OBJECT: &str = "object = \"/usr/lib/stayhand/stayhand-hooks-delays.o\"";
    let mut config = Config::policy(POLICY);
    config.agent = config
        .agent
        .replace("[kernel]\n", &format!("[kernel]\n{OBJECT}\n"));
    ensure!(config.agent.contains(OBJECT), "nowhere to name the object");
    let mut rig = Rig::with_places(&config)?;
    run(&mut rig)?;
    rig.agent.clear().context("left behind")
}

impl Rig {
    fn with_places(config: &Config) -> Result<Self> {
        places()?;
        Self::start(config, ALICE)
    }

    /// A machine of its own, with another policy and alice at a puppet as this.
    pub fn start(config: &Config, alice: As) -> Result<Self> {
        let mut host = Host::boot(config)?;
        let agent = StandIn::take_over(&mut host)?;
        Ok(Self {
            _host: host,
            agent,
            alice: Puppet::start(alice)?,
        })
    }

    /// Asks alice to open what nobody has looked up since the caches were dropped, and to write `text` into it.
    pub fn ask_cold(&mut self, path: &str, flags: i32, text: &str) -> Result<Ticket> {
        fs::write("/proc/sys/vm/drop_caches", "2").context("cannot drop the caches")?;
        drop(self.agent.records());
        self.alice
            .ask(&format!("open|open|{path}|{flags}|420|{text}"))
    }

    /// The same, and its result.
    pub fn tell_cold(&mut self, path: &str, flags: i32, text: &str) -> Result<Ret> {
        let ticket = self.ask_cold(path, flags, text)?;
        let result = self.alice.answer(&ticket, wait::SOON);
        result.with_context(|| format!("pending: {:?}", self.agent.pending()))
    }

    /// Alice at a new puppet, which has one thread and no signal handler yet.
    pub fn fresh_alice(&mut self) -> Result<()> {
        self.alice = Puppet::start(ALICE)?;
        Ok(())
    }

    /// Asks alice for something that is held; gives it when it is published and she is stopped.
    pub fn hold(&mut self, words: &str) -> Result<Held> {
        let ticket = self.alice.ask(words)?;
        self.held(ticket)
            .with_context(|| format!("asked `{words}`"))
    }

    /// Waits until the one thing that is pending has stopped its process.
    pub fn held(&self, ticket: Ticket) -> Result<Held> {
        let hold = match self.agent.wait_one() {
            Ok(hold) => hold,
            Err(error) => {
                return Err(error.context(format!(
                    "the answer so far: {:?}",
                    self.alice.answered(&ticket)
                )));
            }
        };
        process::wait_stopped(hold.entry.tgid, wait::SOON)?;
        ensure!(
            self.alice.answered(&ticket).is_none(),
            "the call returned {:?}",
            self.alice.answered(&ticket)
        );
        Ok(Held { hold, ticket })
    }

    /// Continues the process behind the agent's back, several times: every time it must stop again by itself.
    pub fn stray_continues(&self, held: &Held, times: u32) -> Result<()> {
        for _ in 0..times {
            self.agent.stops_again(&held.hold)?;
            ensure!(
                self.alice.answered(&held.ticket).is_none(),
                "a stray SIGCONT let the call return"
            );
        }
        Ok(())
    }

    /// The puppet's answer.
    pub fn result(&self, held: &Held) -> Result<Ret> {
        self.alice
            .answer(&held.ticket, wait::SOON)
            .context("the call does not return")
    }

    /// The whole property: held without effect, stopped again by every stray `SIGCONT`, refused without effect,
    /// approved with the right result; each time one announcement and one outcome.
    pub fn held_without_effect(
        &mut self,
        words: &str,
        effect: &dyn Fn() -> bool,
        expected: Ret,
    ) -> Result<()> {
        self.refused_without_effect(words, effect)?;
        drop(self.agent.records());
        let held = self.hold(words)?;
        ensure!(
            !effect(),
            "`{words}` had its effect before anybody answered"
        );
        self.stray_continues(&held, 2)?;
        ensure!(!effect(), "`{words}` had its effect after a stray SIGCONT");
        self.agent.approve(&held.hold)?;
        let result = self.result(&held)?;
        ensure!(
            result == expected,
            "`{words}` approved gives {result}, not {expected}"
        );
        ensure!(effect(), "`{words}` approved has no effect");
        self.told(&held, reason::HOLD_APPROVED)
    }

    fn refused_without_effect(&mut self, words: &str, effect: &dyn Fn() -> bool) -> Result<()> {
        drop(self.agent.records());
        let held = self.hold(words)?;
        self.agent.settle(&held.hold, answer::REFUSED)?;
        let result = self.result(&held)?;
        ensure!(result == EPERM, "`{words}` refused gives {result}");
        ensure!(
            !effect(),
            "`{words}` had its effect although it was refused"
        );
        self.told(&held, reason::HOLD_REFUSED)
    }

    /// Exactly one announcement and this outcome, and nothing left in the kernel.
    pub fn told(&mut self, held: &Held, outcome: u32) -> Result<()> {
        let (announced, outcomes) = of_hold(&self.agent.records(), held.hold.entry.hold);
        ensure!(announced == 1, "announced {announced} times");
        ensure!(
            outcomes == [outcome],
            "outcomes {outcomes:?}, not {outcome}"
        );
        ensure!(
            !self.agent.has_answer(&held.hold),
            "the used answer is still there"
        );
        Ok(())
    }

    /// An action that is denied at once, for this reason, with exactly one record.
    pub fn denied(&mut self, words: &str, reason: u32) -> Result<()> {
        drop(self.agent.records());
        let result = self.alice.tell(words)?;
        ensure!(result == EPERM, "`{words}` gives {result}");
        let records = self.agent.records();
        let found = super::standin::denials(&records, reason);
        let all: Vec<(u32, u32)> = records
            .iter()
            .map(|record| (record.verdict, record.reason))
            .collect();
        ensure!(
            found == 1,
            "`{words}`: {found} denials for reason {reason} among {all:x?}"
        );
        Ok(())
    }
}

/// An existing file below the work directory with known content, writable for everybody; its path.
pub fn file(name: &str) -> Result<String> {
    let path = format!("{WORK}/{name}");
    fs::write(&path, "before")?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666))?;
    Ok(path)
}

/// Removes everything in a directory, which stays itself: the kernel knows it by its identity.
pub fn empty(directory: &str) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let is_directory = fs::symlink_metadata(&path)?.is_dir();
        let removed = if is_directory {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

/// Whether a file has other content than [`file()`] gave it, or is there at all if it did not.
pub fn changed(path: &str) -> bool {
    fs::read(path).is_ok_and(|content| content != b"before")
}

/// A program that ends with [`PROGRAM_CODE`].
pub fn program(name: &str) -> Result<String> {
    let path = format!("{WORK}/{name}");
    write_executable(&path, &elf::exit64(PROGRAM_CODE as u8))?;
    Ok(path)
}

/// Any executable file.
pub fn write_executable(path: &str, content: &[u8]) -> Result<()> {
    // A running or mapped old one must not make this fail.
    drop(fs::remove_file(path));
    fs::write(path, content).with_context(|| format!("cannot write {path}"))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// The directories and programs that the policy speaks of.
pub fn places() -> Result<()> {
    for name in [
        "",
        "held",
        "brief",
        "denied",
        "vault",
        "seen",
        "free",
        "swap",
        "bin",
        "kept",
        "secret",
        "lib",
        "shut",
        "outer",
        "outer/inner",
        "open",
        "open/team",
        "open/team/secret",
        "sockets/denied",
        "sockets/held",
        "sockets/free",
    ] {
        let path = Path::new(WORK).join(name);
        fs::create_dir_all(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777))?;
    }
    for name in ["open/app-0.log", "open/team/secret/f"] {
        file(name)?;
    }
    program("bin/held")?;
    // Denied, and started by the loader of programs that need one.
    write_executable(&format!("{WORK}/bin/dynamic"), &fs::read(DYNAMIC)?)?;
    for name in ["denied", "gone", "free", "interp"] {
        program(&format!("bin/{name}"))?;
    }
    for name in ["script", "brief"] {
        write_executable(
            &format!("{WORK}/bin/{name}"),
            format!("#!{WORK}/bin/interp\n").as_bytes(),
        )?;
    }
    Ok(())
}
