//! Locks: what was given to somebody stops counting in the kernel at once, what waits fails, and grants come back afterwards.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::service::{self, POLICY};
use crate::{
    host::{Config, Host, grant_create},
    login::Session,
    scenario::{Ctx, Scenario},
    wait,
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[Scenario::new(
    "a_lock_takes_what_was_given_at_once_and_gives_it_back",
    locked,
)
.on_any_kernel()];

/// Alice writes where only a grant lets her.
const WRITES: &str = "echo x >> /srv/vault/note";

fn goes_on(session: &mut Session) -> Result<bool> {
    Ok(session.run(WRITES)?.code == 0)
}

fn locked(ctx: &mut Ctx) -> Result<()> {
    service::programs()?;
    let host = Host::boot(&Config::policy(POLICY))?;
    let mut alice = Session::login("alice")?;
    ensure!(!goes_on(&mut alice)?, "without a grant");
    host.cli(&grant_create("alice", "vault", "10m", "a test"))?
        .ok()?;
    ensure!(goes_on(&mut alice)?, "with a grant");
    ctx.step("she waits for an answer, and is locked");
    let typed = alice.type_command("/opt/demo/deploy it ran")?;
    let hold = host.wait_hold("/opt/demo/deploy")?;
    let made = host.json(&["lock", "create", "--user", "alice", "--reason", "looked at"])?;
    let lock = made.pointer("/id").and_then(Value::as_str);
    let lock = lock.context("the lock has no id")?.to_owned();
    host.wait_hold_state(&hold.id, "refused", wait::LONG)?;
    let output = alice.finish(typed, wait::LONG)?;
    ensure!(
        output.code != 0 && !output.stdout.contains("it ran"),
        "it went on: {}",
        output.stdout
    );
    let is_stopped =
        |session: &mut Session| -> Result<Option<()>> { Ok((!goes_on(session)?).then_some(())) };
    wait::until_ok(wait::LONG, "her grant to count no more", || {
        is_stopped(&mut alice)
    })?;
    let refused = host.cli(&grant_create("alice", "vault", "5m", "another"))?;
    ensure!(
        refused.code == 4 && refused.stderr.contains("looked at"),
        "exit {} and {}",
        refused.code,
        refused.both()
    );
    ctx.step("the lock is removed");
    host.cli(&["lock", "rm", &lock, "--reason", "found"])?
        .ok()?;
    wait::until_ok(wait::LONG, "her grant to count again", || {
        Ok(goes_on(&mut alice)?.then_some(()))
    })
}
