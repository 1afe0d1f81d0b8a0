//! `open(O_CREAT)` of names that the kernel has not looked up yet: one question per call, and about what it does.
//!
//! On kernfs, whose names go away with the caches; tmpfs keeps those of its files for ever.

use std::{fs, path::Path};

use anyhow::{Result, ensure};
use stayhand_agent_ebpf::abi::code::{op, reason};

use crate::{
    actors::{
        client::ALICE_ROOT,
        rig::Rig,
        standin::of_hold,
        sys::{EPERM, Ret},
    },
    host::Config,
    process,
    scenario::{Ctx, Scenario},
    wait,
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "an_existing_file_that_is_not_looked_up_yet_is_asked_about_once_as_a_write",
        once,
    ),
    Scenario::new(
        "what_is_said_about_a_creation_is_not_said_of_a_file_that_is_there",
        nothing_false,
    ),
];

/// Files in them are the kernel's: `cgroup.max.depth` takes a number, and nothing can be made by hand.
const HELD: &str = "/sys/fs/cgroup/held";
const NEVER_MADE: &str = "/sys/fs/cgroup/denied";
const POLICY: &str = "\
apiVersion: stayhand/v1
kind: Policy
metadata: { name: creation }
spec:
  subjects: { users: [alice] }
  rules:
    - { id: held, effect: hold, file: { ops: [write, create], path: /sys/fs/cgroup/held/** }, timeout: 10m }
    - { id: never-made, effect: deny, file: { ops: [create], path: /sys/fs/cgroup/denied/** } }
";

/// Alice is root there: whoever makes files of the kernel must be.
fn machine() -> Result<Rig> {
    for directory in [HELD, NEVER_MADE] {
        fs::create_dir_all(directory)?;
    }
    Rig::start(&Config::policy(POLICY), ALICE_ROOT)
}

fn depth(of: &str) -> Result<String> {
    Ok(fs::read_to_string(format!("{of}/cgroup.max.depth"))?
        .trim()
        .to_owned())
}

fn once(_: &mut Ctx) -> Result<()> {
    let mut machine = machine()?;
    let path = format!("{HELD}/cgroup.max.depth");
    fs::write(&path, "5")?;
    for (answer, expected) in [(EPERM, "5"), (1, "7")] {
        let ticket = machine.ask_cold(&path, libc::O_CREAT | libc::O_WRONLY, "7")?;
        let hold = machine.agent.wait_one()?;
        process::wait_stopped(hold.entry.tgid, wait::SOON)?;
        ensure!(
            hold.entry.op == op::WRITE,
            "asked about operations {:#x}",
            hold.entry.op
        );
        ensure!(machine.agent.pending().len() == 1);
        ensure!(depth(HELD)? == "5", "it had its effect");
        let outcome = if answer == EPERM {
            machine.agent.refuse(&hold)?;
            reason::HOLD_REFUSED
        } else {
            machine.agent.approve(&hold)?;
            reason::HOLD_APPROVED
        };
        ensure!(machine.alice.answer(&ticket, wait::SOON)? == answer);
        ensure!(depth(HELD)? == expected, "depth {}", depth(HELD)?);
        ensure!(
            machine.agent.pending().is_empty(),
            "another question is left"
        );
        let records = machine.agent.records();
        ensure!(of_hold(&records, hold.entry.hold) == (1, vec![outcome]));
        ensure!(records.len() == 2, "{} records", records.len());
    }
    Ok(())
}

fn nothing_false(_: &mut Ctx) -> Result<()> {
    let mut machine = machine()?;
    let (asked_about, never_made) = (
        format!("{HELD}/cgroup.max.depth"),
        format!("{NEVER_MADE}/cgroup.max.depth"),
    );
    // Nothing restricts these: the file is there.
    let exists = -Ret::from(libc::EEXIST);
    for (path, flags, text, expected) in [
        (&asked_about, libc::O_WRONLY | libc::O_EXCL, "8", exists),
        (&asked_about, libc::O_RDONLY, "", 0),
        (&never_made, libc::O_WRONLY | libc::O_EXCL, "8", exists),
        (&never_made, libc::O_WRONLY, "8", 1),
    ] {
        let result = machine.tell_cold(path, libc::O_CREAT | flags, text)?;
        ensure!(result == expected, "{path} with {flags:#o} gives {result}");
        ensure!(machine.agent.pending().is_empty(), "a question is left");
        let records = machine.agent.records();
        ensure!(records.is_empty(), "{} records", records.len());
    }
    ensure!(depth(NEVER_MADE)? == "8" && depth(HELD)? != "8");
    // And these are not there.
    let result = machine.tell_cold(
        &format!("{NEVER_MADE}/new"),
        libc::O_CREAT | libc::O_WRONLY,
        "",
    )?;
    ensure!(result == EPERM, "a denied creation gives {result}");
    ensure!(machine.agent.records().len() == 1);
    let ticket = machine.ask_cold(&format!("{HELD}/new"), libc::O_CREAT | libc::O_WRONLY, "")?;
    let hold = machine.agent.wait_one()?;
    ensure!(hold.entry.op == op::CREATE | op::WRITE);
    machine.agent.approve(&hold)?;
    // kernfs has no way to make it.
    let result = machine.alice.answer(&ticket, wait::SOON)?;
    ensure!(result == -Ret::from(libc::EACCES), "gives {result}");
    ensure!(!Path::new(HELD).join("new").exists());
    Ok(())
}
