//! A removed policy: free on every host once `--wait` says so, with no agent restarted, and back by a roll-back.

use std::{fs, os::unix::fs::PermissionsExt as _};

use anyhow::{Result, ensure};

use crate::{
    actors::{
        client::{ALICE, Puppet},
        sys::{EPERM, Ret},
    },
    host::{Config, Host, grant_create},
    scenario::{Ctx, Scenario},
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[Scenario::new(
    "a_removed_policy_restricts_nobody_and_a_roll_back_brings_it_back",
    there_and_back,
)
.on_any_kernel()];

const DENIED: &str = "/srv/work/removed";
const GRANTED: &str = "/srv/work/removed-granted";

const POLICY: &str = "\
apiVersion: stayhand/v1
kind: Policy
metadata: { name: removed }
spec:
  subjects: { users: [alice] }
  permissions:
    granted: { file: { ops: [write], path: /srv/work/removed-granted } }
  rules:
    - { id: no, effect: deny, file: { ops: [write], path: /srv/work/removed } }
    - { id: needs, effect: require-grant, permission: granted }
";

fn write(alice: &mut Puppet, path: &str) -> Result<Ret> {
    alice.tell(&format!("open|open|{path}|{}|0", libc::O_WRONLY))
}

fn there_and_back(ctx: &mut Ctx) -> Result<()> {
    fs::create_dir_all("/srv/work")?;
    for path in [DENIED, GRANTED] {
        fs::write(path, "x")?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
    }
    let host = Host::boot(&Config::policy(POLICY))?;
    let mut alice = Puppet::start(ALICE)?;
    ensure!(write(&mut alice, DENIED)? == EPERM, "not denied");
    let remove = [
        "policy", "remove", "removed", "--reason", "a test", "--wait",
    ];
    ctx.step("somebody has a grant of it");
    let grant = grant_create("alice", "removed/granted", "1h", "a test");
    host.cli(&grant)?.ok()?;
    let refused = host.cli(&remove)?;
    ensure!(refused.code != 0, "removed under a live grant");
    let id = host.json(&["grant", "ls"])?;
    let id = id.pointer("/items/0/id").and_then(|id| id.as_str());
    let id = id.map(ToOwned::to_owned).unwrap_or_default();
    host.cli(&["grant", "revoke", &id, "--reason", "the policy goes"])?
        .ok()?;
    ctx.step("removed");
    host.cli(&remove)?.ok()?;
    for path in [DENIED, GRANTED] {
        let result = write(&mut alice, path)?;
        ensure!(result == 0, "{path} gives {result} without its policy");
    }
    ctx.step("and back");
    host.cli(&["policy", "rollback", "removed", "--wait"])?
        .ok()?;
    for path in [DENIED, GRANTED] {
        let result = write(&mut alice, path)?;
        ensure!(result == EPERM, "{path} gives {result} with its policy");
    }
    Ok(())
}
