//! Ways around what the agent labels: objects that leave their path while it looks, and other places shown under a
//! granted directory. Always with the agent running, and always longer than its look takes.

use std::{fs, os::fd::AsRawFd as _, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};

use super::service;
use crate::{
    actors::{
        client::{ALICE_ROOT, DAEMON, Puppet},
        rig::WORK,
        sys::{EPERM, Ret},
    },
    host::{Config, Host, grant_create},
    scenario::{Ctx, LIMIT_LONG, Scenario},
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "a_moved_object_keeps_its_rule_for_as_long_as_it_lives",
        moved,
    )
    .limit(LIMIT_LONG)
    .on_any_kernel(),
    Scenario::new(
        "a_lease_does_not_open_what_is_mounted_or_linked_below_its_directory",
        shown_elsewhere,
    )
    .on_any_kernel()
    .limit(LIMIT_LONG),
];

const POLICY: &str = include_str!("../../fixtures/policies/labels.yaml");

/// More than two looks of the agent: whatever it does to labels by itself is done.
const LOOKS: Duration = Duration::from_secs(7);

fn writing(path: &str) -> String {
    format!(
        "open|open|{path}|{}|0|after",
        libc::O_WRONLY | libc::O_TRUNC
    )
}

fn is_denied(alice: &mut Puppet, words: &str) -> Result<()> {
    let result = alice.tell(words)?;
    ensure!(result == EPERM, "`{words}` gives {result}");
    Ok(())
}

fn done(puppet: &mut Puppet, words: &str) -> Result<Ret> {
    let result = puppet.tell(words)?;
    ensure!(result >= 0, "`{words}` gives {result}: this shows nothing");
    Ok(result)
}

fn file(path: &str) -> Result<()> {
    if let Some(above) = Path::new(path).parent() {
        fs::create_dir_all(above)?;
    }
    fs::write(path, "before").with_context(|| format!("cannot make {path}"))
}

fn moved(ctx: &mut Ctx) -> Result<()> {
    service::programs()?;
    file(&format!("{WORK}/app/cfg"))?;
    file(&format!("{WORK}/tree/deep/f"))?;
    fs::copy("/usr/bin/echo", "/opt/demo/unlinked")?;
    let mut host = Host::boot(&Config::policy(POLICY))?;
    let mut alice = Puppet::start(ALICE_ROOT)?;
    is_denied(&mut alice, &writing(&format!("{WORK}/app/cfg")))?;
    ctx.step("what the rules name is moved, renamed above, or unlinked while it is open");
    for (from, to) in [
        (format!("{WORK}/app/cfg"), format!("{WORK}/app/x")),
        (format!("{WORK}/tree"), format!("{WORK}/other")),
        ("/opt/demo/forbidden".into(), "/opt/demo/n".into()),
    ] {
        done(&mut alice, &format!("rename|{from}|{to}"))?;
    }
    let open = fs::File::open("/opt/demo/unlinked")?;
    done(&mut alice, "unlink|/opt/demo/unlinked")?;
    let unlinked = format!("/proc/{}/fd/{}", std::process::id(), open.as_raw_fd());
    let attempts = [
        writing(&format!("{WORK}/app/x")),
        writing(&format!("{WORK}/other/deep/f")),
        "exec|fork|/opt/demo/n".to_owned(),
        format!("exec|fork|{unlinked}"),
    ];
    let all_denied = |alice: &mut Puppet| attempts.iter().try_for_each(|one| is_denied(alice, one));
    all_denied(&mut alice)?;
    ctx.step("the agent looks, by itself and because of a mount");
    let mut root = Puppet::start(DAEMON)?;
    fs::create_dir_all("/tmp/mounted")?;
    done(&mut root, "tmpfs|/tmp/mounted")?;
    std::thread::sleep(LOOKS);
    done(&mut root, "umount|/tmp/mounted")?;
    all_denied(&mut alice)?;
    ctx.step("something else takes the place; both are denied");
    file(&format!("{WORK}/app/cfg"))?;
    std::thread::sleep(LOOKS);
    is_denied(&mut alice, &writing(&format!("{WORK}/app/cfg")))?;
    all_denied(&mut alice)?;
    ctx.step("a restarted agent and a new generation keep it");
    host.kill_agent()?;
    host.start_agent()?;
    host.apply(&format!(
        "{POLICY}    - {{ id: more, effect: deny, exec: {{ path: /opt/demo/more }} }}\n"
    ))?;
    std::thread::sleep(LOOKS);
    all_denied(&mut alice)?;
    ensure!(
        fs::read_to_string(format!("{WORK}/app/x"))? == "before",
        "the moved file was written"
    );
    ctx.step("what no rule ever named is free");
    file(&format!("{WORK}/app/free"))?;
    done(&mut alice, &writing(&format!("{WORK}/app/free")))?;
    Ok(())
}

fn shown_elsewhere(ctx: &mut Ctx) -> Result<()> {
    service::programs()?;
    // As on every distribution; the guest has no such link by itself.
    fs::create_dir_all("/run/granted")?;
    drop(std::os::unix::fs::symlink("/run", "/var/run"));
    for path in [
        "/srv/held/f",
        "/srv/held/sub/f",
        "/srv/vault/f",
        "/run/granted/f",
    ] {
        file(path)?;
    }
    fs::create_dir_all("/srv/vault/bound")?;
    fs::create_dir_all("/srv/vault/sub-bound")?;
    let host = Host::boot(&Config::policy(POLICY))?;
    let mut alice = Puppet::start(ALICE_ROOT)?;
    is_denied(&mut alice, &writing("/srv/vault/f"))?;
    host.cli(&grant_create("alice", "vault", "10m", "x"))?
        .ok()?;
    ctx.step("the grant opens what it names");
    done(&mut alice, &writing("/srv/vault/f"))?;
    done(&mut alice, &writing("/run/granted/f"))?;
    is_denied(&mut alice, &writing("/srv/held/f"))?;
    ctx.step("she shows another directory below the granted one, by mounts and by a link");
    done(&mut alice, "bind|/srv/held|/srv/vault/bound")?;
    done(&mut alice, "bind|/srv/held/sub|/srv/vault/sub-bound")?;
    done(&mut alice, "symlink|/srv/held|/srv/vault/linked")?;
    std::thread::sleep(LOOKS);
    let denied = [
        "/srv/held/f",
        "/srv/held/sub/f",
        "/srv/vault/bound/f",
        "/srv/vault/bound/sub/f",
        "/srv/vault/sub-bound/f",
        "/srv/vault/linked/f",
    ];
    let outcome = denied
        .iter()
        .try_for_each(|path| is_denied(&mut alice, &writing(path)));
    ctx.step("the granted places stay open");
    let open = ["/srv/vault/f", "/run/granted/f"]
        .iter()
        .try_for_each(|path| done(&mut alice, &writing(path)).map(drop));
    for point in ["/srv/vault/bound", "/srv/vault/sub-bound"] {
        drop(alice.tell(&format!("umount|{point}")));
    }
    drop(host);
    outcome.and(open)?;
    for path in ["/srv/held/f", "/srv/held/sub/f"] {
        ensure!(fs::read_to_string(path)? == "before", "{path} was written");
    }
    Ok(())
}
