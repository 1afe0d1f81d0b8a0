//! A service: its user without a login, however the process came to run as it.

use std::{fs, os::unix::fs::PermissionsExt as _};

use anyhow::{Result, ensure};

use crate::{
    actors::{
        client::{As, BOB, DAEMON, Puppet},
        sys::{EPERM, Ret},
    },
    host::{Config, Host, grant_create},
    scenario::{Ctx, Scenario},
    wait,
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[Scenario::new(
    "a_service_is_guarded_without_a_login_however_it_came_to_run_as_its_user",
    however,
)];

const DENIED: &str = "/srv/work/served";
const GRANTED: &str = "/srv/work/granted";
const HELD: &str = "/srv/work/held";

/// Bob's user as a daemon runs as it.
const RUNNER: As = As {
    login: None,
    uid: BOB.uid,
    groups: BOB.groups,
};

const POLICY: &str = "\
apiVersion: stayhand/v1
kind: Policy
metadata: { name: services }
spec:
  subjects: { services: [bob] }
  permissions:
    granted: { file: { ops: [write], path: /srv/work/granted } }
  rules:
    - { id: served, effect: deny, file: { ops: [write], path: /srv/work/served } }
    - { id: granted, effect: require-grant, permission: granted }
    - { id: held, effect: hold, file: { ops: [write], path: /srv/work/held }, timeout: 2m }
";

/// Guards somebody else, so that hooks and image are there before anybody is a service.
const BEFORE: &str = "\
apiVersion: stayhand/v1
kind: Policy
metadata: { name: before }
spec:
  subjects: { users: [alice] }
  rules:
    - { id: other, effect: deny, file: { ops: [write], path: /srv/work/other } }
";

fn words(file: &str) -> String {
    format!("open|open|{file}|{}|0", libc::O_WRONLY)
}

fn write(puppet: &mut Puppet, file: &str) -> Result<Ret> {
    puppet.tell(&words(file))
}

fn however(ctx: &mut Ctx) -> Result<()> {
    fs::create_dir_all("/srv/work")?;
    for file in [DENIED, GRANTED, HELD] {
        fs::write(file, "work")?;
        fs::set_permissions(file, fs::Permissions::from_mode(0o666))?;
    }
    let mut host = Host::boot(&Config::policy(BEFORE))?;
    let mut earlier = Puppet::start(RUNNER)?;
    let mut daemon = Puppet::start(DAEMON)?;
    ensure!(
        write(&mut earlier, DENIED)? == 0,
        "denied, and nobody is a service yet"
    );
    host.apply(POLICY)?;
    ctx.step("one that ran before its policy came");
    wait::until_ok(wait::SOON, "the earlier process to be guarded", || {
        Ok((write(&mut earlier, DENIED)? == EPERM).then_some(()))
    })?;
    ctx.step("one that is started as the user, and its child");
    let mut runner = Puppet::start(RUNNER)?;
    ensure!(write(&mut runner, DENIED)? == EPERM, "a new one is free");
    let child = format!("fork|{}", words(DENIED));
    ensure!(runner.tell(&child)? == EPERM, "its child is free");
    ctx.step("a daemon that takes the user on, and one that does not");
    ensure!(
        write(&mut daemon, DENIED)? == 0,
        "root's daemons are no service"
    );
    ensure!(
        daemon.tell(&format!("setuid|{}", RUNNER.uid))? == 0,
        "it cannot become the user"
    );
    ensure!(
        write(&mut daemon, DENIED)? == EPERM,
        "a daemon that became the user is free"
    );
    ctx.step("the person of that name is guarded, too");
    let mut bob = Puppet::start(BOB)?;
    ensure!(write(&mut bob, DENIED)? == EPERM, "the person is free");
    granted_and_held(ctx, &mut host, &mut runner)
}

fn granted_and_held(ctx: &mut Ctx, host: &mut Host, runner: &mut Puppet) -> Result<()> {
    ctx.step("a grant for a service");
    ensure!(write(runner, GRANTED)? == EPERM, "allowed without a grant");
    host.cli(&grant_create("bob", "granted", "1h", "a test"))?
        .ok()?;
    ensure!(write(runner, GRANTED)? == 0, "a grant does not cover it");
    ctx.step("a hold of a service");
    let asked = runner.ask(&words(HELD))?;
    let hold = host.wait_hold(HELD)?;
    ensure!(
        hold.text("/subject/user") == "bob" && hold.number("/subject/session").is_none(),
        "{hold:?}"
    );
    host.approve(hold.text("/id"), "let it")?.ok()?;
    ensure!(
        runner.answer(&asked, wait::LONG)? == 0,
        "it does not go on after an approval"
    );
    ctx.step("an agent that starts anew");
    host.kill_agent()?;
    ensure!(write(runner, DENIED)? == EPERM, "free without an agent");
    host.start_agent()?;
    ensure!(write(runner, DENIED)? == EPERM, "free after a restart");
    Ok(())
}
