//! A host over the network: joins by the command that an operator's program prints, renews, comes back, and is put out. What it
//! enforces does not depend on any of it.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use anyhow::{Result, ensure};

use super::kernel_clocks::WallClock;
use crate::{
    actors::{
        client::{ALICE, Puppet},
        sys::{EPERM, Ret},
    },
    host::{Config, Host, grant_create, network},
    login::Session,
    scenario::{Ctx, LIMIT_LONG, Scenario},
    wait,
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[Scenario::new(
    "a_host_over_the_network_renews_comes_back_and_is_put_out_and_enforces_throughout",
    whole_life,
)
.limit(LIMIT_LONG)
.on_any_kernel()];

const DENIED: &str = "/srv/work/members";
const GRANTED: &str = "/srv/work/members-granted";

const POLICY: &str = "\
apiVersion: stayhand/v1
kind: Policy
metadata: { name: members }
spec:
  subjects: { users: [alice] }
  permissions:
    granted: { file: { ops: [write], path: /srv/work/members-granted } }
  rules:
    - { id: no, effect: deny, file: { ops: [write], path: /srv/work/members } }
    - { id: needs, effect: require-grant, permission: granted }
";

/// A minute's certificate is renewed within half of it; the rest is for a slow machine.
const RENEWAL: Duration = Duration::from_secs(90);

fn write(alice: &mut Puppet, path: &str) -> Result<Ret> {
    alice.tell(&format!("open|open|{path}|{}|0", libc::O_WRONLY))
}

/// One word about this host's membership, as operators see it.
fn membership(host: &Host, pointer: &str) -> Result<serde_json::Value> {
    let shown = host.json(&["host", "show", network::HOST])?;
    let found = shown.pointer(&format!("/membership/{pointer}")).cloned();
    Ok(found.unwrap_or_default())
}

fn whole_life(ctx: &mut Ctx) -> Result<()> {
    fs::create_dir_all("/srv/work")?;
    for path in [DENIED, GRANTED] {
        fs::write(path, "x")?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
    }
    let mut config = Config::policy(POLICY).over_the_network();
    config
        .control_toml
        .push_str("certificate_lifetime = \"1m\"\n");
    let mut host = Host::boot(&config)?;
    let mut alice = Puppet::start(ALICE)?;
    ensure!(network::keys_are_private()?, "others can read the keys");
    ensure!(write(&mut alice, DENIED)? == EPERM, "not denied");
    ensure!(
        write(&mut alice, GRANTED)? == EPERM,
        "not asked for a grant"
    );
    host.cli(&grant_create("alice", "members/granted", "1h", "a test"))?
        .ok()?;
    wait::until_ok(wait::LONG, "the grant", || {
        Ok((write(&mut alice, GRANTED)? == 0).then_some(()))
    })?;

    ctx.step("whoever is guarded takes the host nowhere");
    let mut session = Session::login("alice")?;
    let join = "echo shj1.x | sudo stayhand-agent join 10.77.0.1:7443 --replace";
    let refused = session.run(join)?;
    ensure!(
        refused.code == 77 && refused.stdout.contains("is guarded on this host"),
        "{}: {}",
        refused.code,
        refused.stdout
    );

    ctx.step("renewed in time");
    let before = membership(&host, "certificate_expire_time")?;
    wait::until_ok(RENEWAL, "another certificate", || {
        Ok((membership(&host, "certificate_expire_time")? != before).then_some(()))
    })?;

    ctx.step("over, and back by the bound key");
    let _clock = WallClock::set(180)?;
    wait::until_ok(RENEWAL, "the bound key", || {
        Ok((membership(&host, "recoveries")? == 1).then_some(()))
    })?;
    wait_connected(&host, true)?;
    ensure!(write(&mut alice, DENIED)? == EPERM, "not denied after that");

    ctx.step("put out");
    let out = ["host", "revoke", network::HOST, "--reason", "stolen"];
    host.cli(&out)?.ok()?;
    wait_connected(&host, false)?;
    wait::until_ok(wait::LONG, "the host to be told", || {
        let problems = host.status()?.problems;
        let told = problems.iter().any(|problem| problem.contains("stolen"));
        Ok(told.then_some(()))
    })?;
    ensure!(
        write(&mut alice, DENIED)? == EPERM,
        "free because the host is out"
    );
    let listed = host.cli(&["host", "ls"])?.ok()?.stdout;
    ensure!(listed.contains("REVOKED"), "{listed}");

    ctx.step("and in again");
    network::join(&["--host", network::HOST, "--replace"])?;
    host.kill_agent()?;
    host.start_agent()?;
    ensure!(write(&mut alice, DENIED)? == EPERM, "not denied in the end");
    told(&host)
}

fn wait_connected(host: &Host, connected: bool) -> Result<()> {
    let what = if connected {
        "a connection"
    } else {
        "no connection"
    };
    wait::until_ok(wait::LONG, what, || {
        Ok((host.status()?.control_connected == connected).then_some(()))
    })
}

/// Every step is in the record.
fn told(host: &Host) -> Result<()> {
    let events = host.events()?;
    let codes: Vec<&str> = events
        .iter()
        .filter_map(|event| event.pointer("/metadata/event_code")?.as_str())
        .collect();
    for (code, times) in [
        ("join-token.created", 2),
        ("host.joined", 2),
        ("host.recovered", 1),
        ("host.revoked", 1),
    ] {
        let found = codes.iter().filter(|one| **one == code).count();
        ensure!(found == times, "{found} of {code} among {codes:?}");
    }
    Ok(())
}
