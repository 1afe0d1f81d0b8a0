//! A revision that is rolled out: while it is watched it restricts nothing and its events are its own, and after a stop the
//! kernel has the one before.

use std::{fs, os::unix::fs::PermissionsExt as _};

use anyhow::{Result, ensure};

use crate::{
    actors::{
        client::{ALICE, Puppet},
        sys::{EPERM, Ret},
    },
    host::{Config, Host},
    scenario::{Ctx, Scenario},
    wait,
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[Scenario::new(
    "a_watched_revision_restricts_nothing_and_a_stopped_one_no_more",
    watched_then_stopped,
)
.on_any_kernel()];

const FILE: &str = "/srv/work/rolled-out";
const NEW: &str = "/srv/work/new.yaml";

/// The new revision names another file than the one before.
fn policy(path: &str) -> String {
    format!(
        "apiVersion: stayhand/v1\nkind: Policy\nmetadata: {{ name: rolled }}\nspec:\n  subjects: {{ users: [alice] }}\n  rules:\n    - \
         {{ id: no, effect: deny, file: {{ ops: [write], path: {path} }} }}\n"
    )
}

fn write(alice: &mut Puppet) -> Result<Ret> {
    alice.tell(&format!("open|open|{FILE}|{}|0", libc::O_WRONLY))
}

fn change(host: &Host, change: &[&str]) -> Result<()> {
    let asked = [
        &["policy", "roll-out", "rolled"],
        change,
        &["--reason", "a test"],
    ];
    host.cli(&asked.concat())?.ok()?;
    Ok(())
}

/// Waits until the host enforces what it is to have in this phase.
fn enforced(host: &Host, phase: &str) -> Result<()> {
    wait::until_ok(wait::SOON, &format!("the host in phase {phase}"), || {
        let status = host.json(&["policy", "status", "rolled"])?;
        let at = |pointer: &str| status.pointer(pointer).cloned().unwrap_or_default();
        let in_phase = at("/items/0/rollout/state") == phase;
        let waits = at("/items/0/waits_for") != serde_json::Value::Null;
        Ok((in_phase && !waits).then_some(()))
    })
}

fn watched_then_stopped(ctx: &mut Ctx) -> Result<()> {
    fs::create_dir_all("/srv/work")?;
    fs::write(FILE, "rolled out")?;
    fs::set_permissions(FILE, fs::Permissions::from_mode(0o666))?;
    fs::write(NEW, policy(FILE))?;
    let mut config = Config::policy(&policy("/srv/work/another"));
    config.agent.push_str("\n[labels]\nenv = \"canary\"\n");
    let host = Host::boot(&config)?;
    let mut alice = Puppet::start(ALICE)?;
    ctx.step("watched");
    let apply = ["policy", "apply", NEW, "--roll-out", "--monitor", "1h"];
    let canary = ["--canary", "env=canary", "--canary-for", "1h"];
    host.cli(&[&apply[..], &canary[..]].concat())?.ok()?;
    enforced(&host, "monitor")?;
    // Once only, here and below: ten would be a jump, and stop it.
    ensure!(write(&mut alice)? == 0, "denied by what is only watched");
    wait::until_ok(wait::SOON, "a would-have of the new revision", || {
        let events = host.events()?;
        let mut words = events.iter().map(ToString::to_string);
        let is_told = |event: &String| event.contains("would-have") && event.contains(FILE);
        Ok(words.any(|event| is_told(&event)).then_some(()))
    })?;
    ctx.step("on the canary hosts, of which this is one");
    change(&host, &["--advance", "monitor"])?;
    enforced(&host, "canary")?;
    let result = write(&mut alice)?;
    ensure!(result == EPERM, "the canary host gives {result}");
    ctx.step("stopped");
    change(&host, &["--stop"])?;
    wait::until_ok(wait::SOON, "the revision before to count", || {
        Ok((write(&mut alice)? == 0).then_some(()))
    })?;
    let status = host.json(&["policy", "status", "rolled"])?.to_string();
    ensure!(
        status.contains("\"state\":\"stopped\"") && status.contains("a test"),
        "{status}"
    );
    Ok(())
}
