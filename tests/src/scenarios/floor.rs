//! What a host enforces of its own: before it ever hears of a control plane, and whatever that one says.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use anyhow::{Result, ensure};

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
pub const SCENARIOS: &[Scenario] = &[Scenario::new(
    "the_floor_is_enforced_before_any_state_and_whatever_the_control_plane_says",
    whatever_is_said,
)
.on_any_kernel()];

const FILE: &str = "/srv/work/floored";
const OTHER: &str = "/srv/work/other";
const FLOOR: &str = "/etc/stayhand/floor/base.yaml";
/// Exit code of an agent whose configuration is wrong.
const CONFIG: i32 = 78;

const DOCUMENT: &str = "\
apiVersion: stayhand/v1
kind: Policy
metadata: { name: floor.base }
spec:
  subjects: { users: [alice] }
  rules:
    - { id: kept, effect: deny, file: { ops: [write], path: /srv/work/floored }, message: this host keeps it }
";

/// Everything that could lift a denial, if anything could.
const POLICY: &str = "\
apiVersion: stayhand/v1
kind: Policy
metadata: { name: all }
spec:
  subjects: { users: [alice] }
  permissions:
    work: { file: { ops: [write], path: /srv/work/** } }
  rules:
    - { id: work, effect: allow, permission: work, record: true }
    - { id: none, effect: require-grant, file: { ops: [write], path: /srv/work/** } }
";

fn write(alice: &mut Puppet, file: &str) -> Result<Ret> {
    alice.tell(&format!("open|open|{file}|{}|0", libc::O_WRONLY))
}

fn restart(host: &mut Host) -> Result<()> {
    host.kill_agent()?;
    host.start_agent()
}

fn whatever_is_said(ctx: &mut Ctx) -> Result<()> {
    fs::create_dir_all("/srv/work")?;
    for file in [FILE, OTHER] {
        fs::write(file, "work")?;
        fs::set_permissions(file, fs::Permissions::from_mode(0o666))?;
    }
    fs::create_dir_all("/etc/stayhand/floor")?;
    fs::write(FLOOR, DOCUMENT)?;
    ctx.step("an agent that never heard of a control plane");
    let mut host = Host::boot(&Config {
        control: false,
        ..Config::default()
    })?;
    let mut alice = Puppet::start(ALICE)?;
    ensure!(
        write(&mut alice, FILE)? == EPERM,
        "the floor is not enforced"
    );
    ensure!(
        write(&mut alice, OTHER)? == 0,
        "more than the floor is enforced"
    );
    let status = host.status()?;
    ensure!(
        status.generation == 0 && status.floor.len() == 1,
        "{status:?}"
    );
    restart(&mut host)?;
    ensure!(
        write(&mut alice, FILE)? == EPERM,
        "a restart took the floor away"
    );
    ctx.step("a control plane that allows it, and grants it");
    host.start_control()?;
    let theirs = "/tmp/floor.yaml";
    fs::write(theirs, DOCUMENT)?;
    let refused = host.cli(&["policy", "apply", theirs])?;
    ensure!(refused.code != 0, "a policy of that name was applied");
    host.apply(POLICY)?;
    ensure!(
        write(&mut alice, OTHER)? == EPERM,
        "no grant, and it is allowed"
    );
    let words = grant_create("alice", "work", "1h", "a test");
    host.cli(&words)?.ok()?;
    ensure!(write(&mut alice, OTHER)? == 0, "the grant covers it");
    ensure!(
        write(&mut alice, FILE)? == EPERM,
        "a grant lifted the floor"
    );
    let hosts = host.json(&["host", "ls"])?.to_string();
    ensure!(hosts.contains("floor.base sha256:"), "{hosts}");
    wait::until_ok(wait::SOON, "an event that names the floor's rule", || {
        let events = host.events()?;
        let named = |event: &serde_json::Value| event.to_string().contains("floor.base/kept");
        Ok(events.iter().any(named).then_some(()))
    })?;
    wrong_and_gone(ctx, &mut host, &mut alice)
}

fn wrong_and_gone(ctx: &mut Ctx, host: &mut Host, alice: &mut Puppet) -> Result<()> {
    ctx.step("a floor that cannot be read");
    fs::write(FLOOR, DOCUMENT.replace("effect: deny", "effect: hold"))?;
    let checked = process::run(
        Command::new("stayhand-agent").arg("--check-config"),
        wait::LONG,
    )?;
    ensure!(checked.code == CONFIG, "{checked:?}");
    restart(host)?;
    ensure!(
        write(alice, FILE)? == EPERM,
        "a wrong floor is taken for no floor"
    );
    let problems = host.status()?.problems.join("; ");
    ensure!(
        problems.contains("no `hold` in the floor"),
        "the agent says nothing of it: {problems}"
    );
    ctx.step("a floor that its owner takes away");
    fs::remove_file(FLOOR)?;
    restart(host)?;
    ensure!(write(alice, FILE)? == 0, "denied though nothing says so");
    ensure!(host.status()?.problems.is_empty(), "{:?}", host.status()?);
    Ok(())
}
