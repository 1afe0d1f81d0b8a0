//! Ways to be somebody else: the pin is inherited by everything and cleared by nothing.

use std::{fs, os::fd::AsRawFd as _};

use anyhow::{Context as _, Result, ensure};
use stayhand_agent_ebpf::abi::{
    code::{counter, reason},
    task::{Scratch, TaskState},
};

use crate::{
    actors::{
        bpf::Map,
        client::{ALICE, ALICE_ROOT, BOB, DAEMON, Puppet},
        rig::{self, PROGRAM_CODE, WORK, changed, file},
        standin::denials,
        sys::{self, EPERM},
    },
    host::{Config, Host},
    login::Session,
    scenario::{Ctx, Scenario},
    wait,
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "root_with_a_pin_cannot_clear_her_login_uid_and_stays_denied",
        clear_login_uid,
    )
    .group("kernel"),
    Scenario::new("a_changed_login_uid_does_not_change_the_pin", pin_not_field).group("kernel"),
    Scenario::new("a_state_without_a_pin_is_refused", without_pin).group("kernel"),
    Scenario::new("a_daemonised_child_stays_pinned", daemonised).group("kernel"),
    Scenario::new("setuid_and_setsid_keep_the_pin", set_ids).group("kernel"),
    Scenario::new("a_fork_storm_keeps_the_pin", fork_storm).group("kernel"),
    Scenario::new("unguarded_people_and_daemons_are_not_noticed", unguarded).group("kernel"),
    Scenario::new(
        "nobody_whom_no_policy_guards_gets_anything_to_be_judged_with",
        without_scratch,
    )
    .group("kernel"),
    Scenario::new(
        "processes_and_threads_from_before_the_agent_are_denied",
        before_the_agent,
    )
    .bare()
    .on_any_kernel(),
];

fn writing(path: &str) -> String {
    format!(
        "open|open|{path}|{}|0|after",
        libc::O_WRONLY | libc::O_TRUNC
    )
}

/// Words of the kernel's state of a task.
const STATE_WORDS: usize = size_of::<TaskState>() / 8;

/// Nobody makes such a state; if one is met, it must not pass for the state of somebody whom nothing guards.
fn without_pin(_: &mut Ctx) -> Result<()> {
    rig::with(|_| {
        let path = file("free/f")?;
        let mut daemon = Puppet::start(DAEMON)?;
        ensure!(daemon.tell(&writing(&path))? == 5, "this shows nothing");
        let path = file("free/f")?;
        let states: Map<i32, [u64; STATE_WORDS]> = Map::open("TASKS")?;
        let process = sys::pidfd(daemon.pid()).context("no descriptor of the puppet")?;
        states.put(&process.as_raw_fd(), &[0; STATE_WORDS])?;
        let result = daemon.tell(&writing(&path))?;
        ensure!(result == EPERM && !changed(&path), "it gives {result}");
        Ok(())
    })
}

/// Words of what a task is judged with.
const SCRATCH_WORDS: usize = size_of::<Scratch>() / 8;

/// A pinned person whom no policy guards, and whoever starts for her, costs the kernel the small state alone.
fn without_scratch(_: &mut Ctx) -> Result<()> {
    rig::with(|_| {
        let states: Map<i32, [u64; STATE_WORDS]> = Map::open("TASKS")?;
        let scratches: Map<i32, [u64; SCRATCH_WORDS]> = Map::open("SCRATCH")?;
        for (who, pinned, judged) in [
            (DAEMON, false, false),
            (BOB, true, false),
            (ALICE, true, true),
        ] {
            let mut puppet = Puppet::start(who)?;
            let path = file("denied/f")?;
            let result = puppet.tell(&writing(&path))?;
            ensure!((result == EPERM) == judged, "{who:?}: {result}");
            ensure!(puppet.tell(&format!("exec|fork|{WORK}/bin/free"))? == PROGRAM_CODE);
            let process = sys::pidfd(puppet.pid()).context("no descriptor of the puppet")?;
            let key = process.as_raw_fd();
            let found = (states.get(&key).is_some(), scratches.get(&key).is_some());
            ensure!(found == (pinned, judged), "{who:?}: {found:?}");
        }
        Ok(())
    })
}

const CLEAR: &str = "open|open|/proc/self/loginuid|1|0|4294967295";

fn clear_login_uid(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let path = file("denied/f")?;
        let mut root = Puppet::start(ALICE_ROOT)?;
        drop(rig.agent.records());
        let cleared = root.tell(CLEAR)?;
        ensure!(cleared == EPERM, "clearing the login uid gives {cleared}");
        ensure!(
            denials(&rig.agent.records(), reason::CAP_AUDIT_CONTROL) == 1,
            "no event says so"
        );
        ensure!(
            root.text("read|/proc/self/loginuid")? == "1001",
            "the login uid is another"
        );
        let result = root.tell(&writing(&path))?;
        ensure!(
            result == EPERM && !changed(&path),
            "as root it gives {result}"
        );
        // Over the kernel's other way to it, the audit socket, the same capability is asked for.
        ensure!(
            root.tell("audit-set")? == EPERM,
            "the audit socket takes her word"
        );
        Ok(())
    })
}

/// Somebody whom no policy guards may change the login uid: the kernel field then names another, the pin does not.
fn pin_not_field(_: &mut Ctx) -> Result<()> {
    rig::with(|_| {
        let path = file("denied/f")?;
        let mut bob = Puppet::start(BobRoot::AS)?;
        ensure!(
            bob.tell(&writing(&path))? == 5,
            "bob is guarded: this shows nothing"
        );
        ensure!(
            bob.tell(CLEAR)? > 0,
            "bob's root cannot clear the login uid: this shows nothing"
        );
        ensure!(bob.tell("open|open|/proc/self/loginuid|1|0|1001")? > 0);
        ensure!(bob.text("read|/proc/self/loginuid")? == "1001");
        let path = file("denied/f")?;
        ensure!(
            bob.tell(&writing(&path))? == 5,
            "the field decided, not the pin"
        );
        Ok(())
    })
}

/// Bob, who has become root.
struct BobRoot;

impl BobRoot {
    const AS: crate::actors::client::As = crate::actors::client::As {
        uid: 0,
        groups: &[0],
        ..BOB
    };
}

fn daemonised(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let path = file("denied/f")?;
        for way in ["fork", "daemon", "fork|fork|fork", "daemon|daemon"] {
            let result = rig.alice.tell(&format!("{way}|{}", writing(&path)))?;
            ensure!(result == EPERM && !changed(&path), "{way}: {result}");
        }
        Ok(())
    })
}

fn set_ids(_: &mut Ctx) -> Result<()> {
    rig::with(|_| {
        let path = file("denied/f")?;
        for way in ["setuid|1002", "setuid|65534", "unshare|131072"] {
            let mut root = Puppet::start(ALICE_ROOT)?;
            ensure!(root.tell(way)? == 0, "{way}");
            let result = root.tell(&writing(&path))?;
            ensure!(result == EPERM && !changed(&path), "after {way}: {result}");
        }
        Ok(())
    })
}

fn fork_storm(_: &mut Ctx) -> Result<()> {
    const CHILDREN: u32 = 60;
    const THREADS: u32 = 4;
    rig::with(|rig| {
        let failed = rig.agent.counter(counter::STORAGE_FAILED)?;
        let mut alice = Puppet::start(ALICE)?;
        let words = format!("forks|{CHILDREN}|{WORK}/bin/denied");
        let tickets: Vec<_> = (1..=THREADS)
            .map(|thread| alice.ask_thread(thread, &words))
            .collect::<Result<_>>()?;
        for ticket in tickets {
            let denied = alice.answer(&ticket, wait::LONG)?;
            ensure!(
                denied == i64::from(CHILDREN),
                "not every child was denied: {denied}"
            );
        }
        ensure!(
            rig.agent.counter(counter::STORAGE_FAILED)? == failed,
            "task storage failed"
        );
        Ok(())
    })
}

fn unguarded(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        drop(rig.agent.records());
        for who in [BOB, DAEMON] {
            let mut other = Puppet::start(who)?;
            for place in ["denied", "held", "vault"] {
                let path = file(&format!("{place}/f"))?;
                ensure!(
                    other.tell(&writing(&path))? == 5,
                    "{who:?} cannot write in {place}"
                );
            }
            ensure!(other.tell(&format!("exec|fork|{WORK}/bin/denied"))? == PROGRAM_CODE);
        }
        ensure!(
            rig.agent.records().is_empty(),
            "records of people whom nothing guards"
        );
        Ok(())
    })
}

fn before_the_agent(ctx: &mut Ctx) -> Result<()> {
    rig::places()?;
    let path = file("denied/f")?;
    let mut alice = Puppet::start(ALICE)?;
    let mut root = Puppet::start(ALICE_ROOT)?;
    let warm = alice.ask_thread(1, "tid")?;
    alice.answer(&warm, wait::SOON)?;
    let mut session = Session::login("alice")?;
    let host = Host::boot(&Config::policy(rig::POLICY))?;
    for thread in [1, 0, 2] {
        ctx.step(format!("thread {thread}"));
        let ticket = alice.ask_thread(thread, &writing(&path))?;
        let result = alice.answer(&ticket, wait::SOON)?;
        ensure!(
            result == EPERM && !changed(&path),
            "thread {thread}: {result}"
        );
    }
    ensure!(
        root.tell(&writing(&path))? == EPERM,
        "root from before the agent"
    );
    ensure!(
        root.tell(CLEAR)? == EPERM,
        "root from before the agent clears her login uid"
    );
    let typed = session.run(&format!("echo after > {path}"))?;
    ensure!(
        typed.code != 0 && fs::read(&path)? == b"before",
        "the shell from before the agent: {typed:?}"
    );
    drop(host);
    Ok(())
}
