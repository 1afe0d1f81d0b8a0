//! `onLoss`: what becomes of what is held, or granted, while no agent lives or no record finds room.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use stayhand_agent_ebpf::abi::pulse::AGENT_SILENT_NS;

use crate::{
    actors::{
        client::{ALICE, Puppet},
        sys::{EPERM, Ret},
    },
    host::{Config, Host, grant_create},
    process,
    scenario::{Ctx, Scenario},
    wait,
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "with_no_agent_alive_nothing_waits_where_a_policy_says_so",
        no_agent,
    )
    .on_any_kernel(),
    Scenario::new(
        "a_granted_action_goes_on_unrecorded_only_where_every_policy_says_so",
        no_room,
    )
    .on_any_kernel(),
];

const ROOT: &str = "/srv/losses";
/// What is denied is denied by then.
const AT_ONCE: Duration = Duration::from_secs(1);
/// Uses of a grant after which the ring of their records is full, with no agent that empties it.
const USES_MAX: u32 = 2_000;

/// A policy that holds `NAME` and asks for a grant on `granted-NAME`; `both` names the last file, too.
fn policy(name: &str, on_loss: &str) -> String {
    format!(
        r"apiVersion: stayhand/v1
kind: Policy
metadata: {{ name: {name} }}
spec:
  subjects: {{ users: [alice] }}
  {on_loss}
  permissions:
    granted: {{ file: {{ ops: [write], path: [{ROOT}/granted-{name}, {ROOT}/both] }} }}
  rules:
    - {{ id: waits, effect: hold, file: {{ ops: [write], path: {ROOT}/held-{name} }}, timeout: 10m }}
    - {{ id: needs, effect: require-grant, permission: granted }}
"
    )
}

struct Machine {
    host: Host,
    alice: Puppet,
}

impl Machine {
    fn boot() -> Result<Self> {
        fs::create_dir_all(ROOT)?;
        let names = [
            "held-strict",
            "held-lenient",
            "granted-strict",
            "granted-lenient",
            "both",
        ];
        for name in names {
            let path = format!("{ROOT}/{name}");
            fs::write(&path, "x")?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o666))?;
        }
        let mut host = Host::boot(&Config::policy(&policy(
            "strict",
            "onLoss: { agent: deny }",
        )))?;
        host.apply(&policy("lenient", "onLoss: { audit: allow }"))?;
        Ok(Self {
            host,
            alice: Puppet::start(ALICE)?,
        })
    }
}

fn writing(name: &str) -> String {
    format!("open|open|{ROOT}/{name}|{}|0", libc::O_WRONLY)
}

fn write(alice: &mut Puppet, name: &str) -> Result<Ret> {
    alice.tell(&writing(name))
}

fn no_agent(ctx: &mut Ctx) -> Result<()> {
    let Machine {
        mut host,
        mut alice,
    } = Machine::boot()?;
    ctx.step("the agent lives: both wait");
    for name in ["held-strict", "held-lenient"] {
        let mut puppet = Puppet::start(ALICE)?;
        let ticket = puppet.ask(&writing(name))?;
        let hold = host.wait_hold(&format!("{ROOT}/{name}"))?;
        host.approve(hold.text("/id"), "a test")?.ok()?;
        ensure!(
            puppet.answer(&ticket, wait::SOON)? == 0,
            "approved, and not opened"
        );
    }
    ctx.step("it hangs, and the kernel takes it for dead");
    let agent = host.agent_pid();
    process::signal(agent, Signal::SIGSTOP)?;
    std::thread::sleep(Duration::from_nanos(AGENT_SILENT_NS) + Duration::from_secs(1));
    let result = write(&mut alice, "held-strict")?;
    ensure!(result == EPERM, "waits for an agent that hangs: {result}");
    process::signal(agent, Signal::SIGCONT)?;
    wait::until_ok(wait::SOON, "the agent to be heard again", || {
        let mut puppet = Puppet::start(ALICE)?;
        let ticket = puppet.ask(&writing("held-strict"))?;
        std::thread::sleep(AT_ONCE);
        if puppet.answered(&ticket) == Some(EPERM) {
            return Ok(None);
        }
        let hold = host.wait_hold(&format!("{ROOT}/held-strict"))?;
        host.refuse(hold.text("/id"), "a test")?.ok()?;
        Ok(Some(puppet.answer(&ticket, wait::SOON)?))
    })?;
    ctx.step("it ends: denied at once, without waiting for its silence");
    host.stop_agent()?;
    ensure!(
        write(&mut alice, "held-strict")? == EPERM,
        "waits for an agent that ended"
    );
    ctx.step("what another policy holds waits for the next agent");
    let ticket = alice.ask(&writing("held-lenient"))?;
    std::thread::sleep(AT_ONCE);
    ensure!(alice.answered(&ticket).is_none(), "not held");
    host.start_agent()?;
    let hold = host.wait_hold(&format!("{ROOT}/held-lenient"))?;
    host.approve(hold.text("/id"), "a test")?.ok()?;
    ensure!(
        alice.answer(&ticket, wait::SOON)? == 0,
        "approved, and not opened"
    );
    let events: Vec<String> = host.events()?.iter().map(ToString::to_string).collect();
    let told = events.iter().any(|event| event.contains("no-agent"));
    ensure!(told, "no event says why: {events:?}");
    Ok(())
}

fn no_room(ctx: &mut Ctx) -> Result<()> {
    let Machine {
        mut host,
        mut alice,
    } = Machine::boot()?;
    for permission in ["strict/granted", "lenient/granted"] {
        host.cli(&grant_create("alice", permission, "1h", "a test"))?
            .ok()?;
    }
    for name in ["granted-strict", "granted-lenient", "both"] {
        wait::until_ok(wait::SOON, "the grant to count", || {
            Ok((write(&mut alice, name)? == 0).then_some(()))
        })?;
    }
    host.kill_agent()?;
    ctx.step("nobody empties the rings");
    let full = (0..USES_MAX).find_map(|_| match write(&mut alice, "granted-strict") {
        Ok(0) => None,
        other => Some(other),
    });
    ensure!(
        matches!(full, Some(Ok(EPERM))),
        "the ring did not fill up: {full:?}"
    );
    ctx.step("no record finds room");
    ensure!(
        write(&mut alice, "granted-lenient")? == 0,
        "denied, and its policy lets it go on"
    );
    ensure!(
        write(&mut alice, "both")? == EPERM,
        "one of its two policies does not let it go on"
    );
    ensure!(
        write(&mut alice, "granted-strict")? == EPERM,
        "let go on without a record"
    );
    ctx.step("an agent comes back and tells of the loss");
    host.start_agent()?;
    wait::until_ok(wait::LONG, "the loss to be told", || {
        let lost = |event: &serde_json::Value| {
            let class = event.pointer("/unmapped/stayhand/lost/class");
            class.is_some_and(|class| class == "A")
        };
        Ok(host.events()?.iter().any(lost).then_some(()))
    })?;
    ensure!(
        write(&mut alice, "granted-strict")? == 0,
        "denied with room for its record"
    );
    Ok(())
}
