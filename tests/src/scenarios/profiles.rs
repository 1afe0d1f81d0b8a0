//! A grant of a profile: in the kernel it permits what its values say, beside another one with other values, until its end.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use anyhow::{Result, ensure};

use crate::{
    actors::{
        client::{ALICE, Puppet},
        sys::{EPERM, Ret},
    },
    host::{Config, Host},
    scenario::{Ctx, Scenario},
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[Scenario::new(
    "a_grant_of_a_profile_permits_what_its_values_say_until_its_end",
    what_its_values_say,
)
.on_any_kernel()];

const DIRECTORIES: [&str; 2] = ["/srv/apps/shop", "/srv/apps/a bank"];

/// For how long the first grant is.
const FIRST: Duration = Duration::from_secs(20);

const POLICY: &str = "\
apiVersion: stayhand/v1
kind: Policy
metadata: { name: apps }
spec:
  subjects: { users: [alice] }
  permissions: { release: { file: { ops: [write], path: \"${dir}/**\" } } }
  profiles: [{ name: release, allow: release, parameters: { dir: { path: \"/srv/apps/*\" } } }]
  rules:
    - { id: apps, effect: require-grant, file: { ops: [write], path: /srv/apps/** } }
";

fn write(alice: &mut Puppet, directory: &str) -> Result<Ret> {
    alice.tell(&format!("open|open|{directory}/x|{}|0", libc::O_WRONLY))
}

fn grant(host: &Host, directory: &str, length: &str) -> Result<()> {
    let value = format!("dir={directory}");
    let asked = [
        "grant",
        "create",
        "--user",
        "alice",
        "--profile",
        "release",
        "--with",
        &value,
        "--for",
        length,
        "--reason",
        "a test",
    ];
    host.cli(&asked)?.ok()?;
    Ok(())
}

fn what_its_values_say(ctx: &mut Ctx) -> Result<()> {
    for directory in DIRECTORIES {
        fs::create_dir_all(directory)?;
        let file = format!("{directory}/x");
        fs::write(&file, "x")?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666))?;
    }
    let [shop, bank] = DIRECTORIES;
    let mut host = Host::boot(&Config::policy(POLICY))?;
    let mut alice = Puppet::start(ALICE)?;
    ensure!(write(&mut alice, shop)? == EPERM, "no grant is needed");
    ctx.step("a grant for one directory");
    grant(&host, shop, &format!("{}s", FIRST.as_secs()))?;
    ensure!(write(&mut alice, shop)? == 0, "the grant permits nothing");
    ensure!(write(&mut alice, bank)? == EPERM, "it permits another one");
    ctx.step("another one, for a longer time");
    grant(&host, bank, "1h")?;
    ensure!(write(&mut alice, shop)? == 0, "the first one ended");
    ensure!(write(&mut alice, bank)? == 0, "the second permits nothing");
    host.kill_agent()?;
    // Not tried meanwhile: each use is a record, and with nobody who reads them the ring has room for a few hundred.
    std::thread::sleep(FIRST + Duration::from_secs(1));
    ensure!(write(&mut alice, shop)? == EPERM, "the first one goes on");
    ensure!(write(&mut alice, bank)? == 0, "it took the second along");
    Ok(())
}
