//! A rule that counts while a flag is set: from when the hosts are told until its end, which nobody has to live to see.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

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
    "a_flag_counts_until_its_end_with_nobody_alive",
    until_its_end,
)
.on_any_kernel()];

const FILE: &str = "/srv/work/flagged";
/// For how long it is set: the hosts hear of it, an agent is killed, and some is left.
const SET_S: u64 = 25;

const POLICY: &str = "\
apiVersion: stayhand/v1
kind: Policy
metadata: { name: flags }
spec:
  subjects: { users: [alice] }
  rules:
    - { id: busy, effect: deny, file: { ops: [write], path: /srv/work/flagged }, when: { flags: [busy, incident] }, message: not now }
";

fn write(alice: &mut Puppet) -> Result<Ret> {
    alice.tell(&format!("open|open|{FILE}|{}|0", libc::O_WRONLY))
}

fn until_its_end(ctx: &mut Ctx) -> Result<()> {
    fs::create_dir_all("/srv/work")?;
    fs::write(FILE, "flagged")?;
    fs::set_permissions(FILE, fs::Permissions::from_mode(0o666))?;
    let mut host = Host::boot(&Config::policy(POLICY))?;
    let mut alice = Puppet::start(ALICE)?;
    ensure!(write(&mut alice)? == 0, "denied, and no flag is set");
    ctx.step("another flag");
    host.cli(&["flag", "set", "other", "--for", "1h", "--reason", "a test"])?
        .ok()?;
    ctx.step("one that the rule names");
    let length = format!("{SET_S}s");
    host.cli(&[
        "flag", "set", "busy", "--for", &length, "--reason", "a test",
    ])?
    .ok()?;
    let begun = std::time::Instant::now();
    wait::until_ok(wait::SOON, "the flag to count", || {
        Ok((write(&mut alice)? == EPERM).then_some(()))
    })?;
    host.kill_agent()?;
    host.kill_control()?;
    ctx.step("nobody is alive but the kernel");
    ensure!(write(&mut alice)? == EPERM, "written while the flag is set");
    let left = Duration::from_secs(SET_S + 2).saturating_sub(begun.elapsed());
    std::thread::sleep(left);
    ensure!(write(&mut alice)? == 0, "denied after the end of the flag");
    ctx.step("set again, and taken away");
    host.start_agent()?;
    host.start_control()?;
    host.cli(&[
        "flag", "set", "incident", "--for", "1h", "--reason", "a test",
    ])?
    .ok()?;
    wait::until_ok(wait::SOON, "the flag to count", || {
        Ok((write(&mut alice)? == EPERM).then_some(()))
    })?;
    host.cli(&["flag", "clear", "incident", "--reason", "over"])?
        .ok()?;
    wait::until_ok(wait::SOON, "the flag to count no more", || {
        Ok((write(&mut alice)? == 0).then_some(()))
    })?;
    let events: Vec<String> = host.events()?.iter().map(ToString::to_string).collect();
    let told = |words: &str| events.iter().any(|event| event.contains(words));
    ensure!(
        told("while `busy` or `incident` is set") && told("flag incident cleared"),
        "the events do not say so: {events:?}"
    );
    Ok(())
}
