//! The host that these scenarios share, and its policy.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, Result, ensure};
use sha2::Digest as _;
use stayhand_guardrail::policy::args::Sha256;

use crate::{
    actors::{
        client::{ALICE, Puppet},
        elf,
        rig::{DYNAMIC, PROGRAM_CODE, write_executable},
        sys::{EPERM, Ret},
    },
    host::{Config, Host},
};

/// Where the programs are.
pub const ROOT: &str = "/srv/facts";
/// What a program of a content that rules do not name ends with.
pub const FREE: u8 = 42;
/// What the denied build ends with.
pub const DENIED: u8 = 66;
/// What the build ends with that a permission names.
pub const GRANTED: u8 = 77;

/// A host, and alice at work on it.
pub struct Machine {
    /// Its services
    pub host: Host,
    /// The guarded person
    pub alice: Puppet,
}

fn hash(bytes: &[u8]) -> Sha256 {
    Sha256(sha2::Sha256::digest(bytes).into())
}

fn policy() -> Result<String> {
    let (denied, granted) = (hash(&elf::exit64(DENIED)), hash(&elf::exit64(GRANTED)));
    let dynamic = hash(&fs::read(DYNAMIC).context(DYNAMIC)?);
    Ok(format!(
        r"apiVersion: stayhand/v1
kind: Policy
metadata: {{ name: facts }}
spec:
  subjects: {{ users: [alice, bob] }}
  permissions:
    build: {{ exec: {{ path: {ROOT}/tool, sha256: {granted} }} }}
  rules:
    - {{ id: drop, effect: deny, exec: {{ path: {ROOT}/sql, regex: '(?i)\b(drop|truncate)\s+table\b' }} }}
    - {{ id: line, effect: deny, exec: {{ path: {ROOT}/kube, lineRegex: '^(-n \S+ )?delete ns(/| )prod' }} }}
    - {{ id: both, effect: deny, exec: {{ path: {ROOT}/both, anyArg: [now], regex: '^x+$' }} }}
    - {{ id: racer, effect: deny, exec: {{ path: {ROOT}/racer, regex: '^s' }} }}
    - {{ id: held, effect: hold, exec: {{ path: {ROOT}/held, regex: 'prod' }}, timeout: 2m }}
    - {{ id: content, effect: deny, exec: {{ path: {ROOT}/**, sha256: [{denied}, {dynamic}] }} }}
    - {{ id: build, effect: require-grant, exec: {{ path: {ROOT}/tool }} }}
"
    ))
}

/// Runs a scenario on the machine of this process; the first one sets it up.
pub fn with(run: impl FnOnce(&mut Machine) -> Result<()>) -> Result<()> {
    static MACHINE: Mutex<Option<Machine>> = Mutex::new(None);
    let mut place = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut machine = match place.take() {
        Some(machine) => machine,
        None => start()?,
    };
    run(&mut machine)?;
    *place = Some(machine);
    Ok(())
}

fn start() -> Result<Machine> {
    fs::create_dir_all(ROOT)?;
    fs::set_permissions(ROOT, fs::Permissions::from_mode(0o777))?;
    for name in ["sql", "kube", "both", "held", "tool"] {
        program(name, FREE)?;
    }
    write_executable(&at("racer"), &elf::first_byte64())?;
    Ok(Machine {
        host: Host::boot(&Config::policy(&policy()?))?,
        alice: Puppet::start(ALICE)?,
    })
}

/// A name below [`ROOT`].
pub fn at(name: &str) -> String {
    format!("{ROOT}/{name}")
}

/// A program that ends with `code`.
pub fn program(name: &str, code: u8) -> Result<()> {
    write_executable(&at(name), &elf::exit64(code))
}

impl Machine {
    /// What becomes of a program below [`ROOT`].
    pub fn exec(&mut self, name: &str, arguments: &[&str]) -> Result<Ret> {
        let program = at(name);
        let words = [&[program.as_str()], arguments].concat();
        self.alice.tell(&format!("exec|fork|{}", words.join("|")))
    }

    /// It runs.
    pub fn runs(&mut self, name: &str, arguments: &[&str]) -> Result<()> {
        let found = self.exec(name, arguments)?;
        ensure!(found == PROGRAM_CODE, "{name} {arguments:?} gives {found}");
        Ok(())
    }

    /// It is denied.
    pub fn denied(&mut self, name: &str, arguments: &[&str]) -> Result<()> {
        let found = self.exec(name, arguments)?;
        ensure!(found == EPERM, "{name} {arguments:?} gives {found}");
        Ok(())
    }

    /// Nothing was asked in vain.
    pub fn all_answered(&self) -> Result<()> {
        let unanswered = self.host.counter("unanswered")?;
        ensure!(unanswered == 0, "{unanswered} questions have no answer");
        Ok(())
    }
}
