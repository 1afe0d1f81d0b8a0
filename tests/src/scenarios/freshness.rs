//! Grants on a host that hears nothing: they count for as long as the control plane says, and whether anybody is alive to notice or
//! not.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::kernel_clocks::WallClock;
use crate::{
    actors::{
        client::{ALICE, Puppet},
        rig::{self, file},
        sys::EPERM,
    },
    cleanup,
    host::{Config, Host, grant_create},
    scenario::{Ctx, LIMIT_LONG, Scenario},
    wait,
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[Scenario::new(
    "a_host_that_hears_nothing_lets_no_grant_count_after_its_time_with_nobody_alive",
    hears_nothing,
)
.on_any_kernel()
.limit(LIMIT_LONG)];

/// What the control plane says; a proof is some eight seconds old at most while it is heard.
const FRESHNESS: &str = "\n[delivery]\nfreshness = \"3m\"\n";
/// Longer than that.
const LATER_S: i64 = 200;
/// What the puppet's `after` gives where the file was opened.
const WENT_ON: i64 = 5;

struct Alice {
    puppet: Puppet,
    words: String,
}

impl Alice {
    fn start() -> Result<Self> {
        let path = file("vault/f")?;
        Ok(Self {
            puppet: Puppet::start(ALICE)?,
            words: format!("open|open|{path}|{}|0|after", libc::O_WRONLY),
        })
    }

    fn must(&mut self, goes_on: bool, when: &str) -> Result<()> {
        let given = self.puppet.tell(&self.words)?;
        let meant = if goes_on { WENT_ON } else { EPERM };
        ensure!(given == meant, "{when}: it gives {given}, not {meant}");
        Ok(())
    }

    fn goes_on_soon(&mut self, when: &str) -> Result<()> {
        wait::until_ok(wait::LONG, when, || {
            Ok((self.puppet.tell(&self.words)? == WENT_ON).then_some(()))
        })
    }
}

/// What operators are shown of a grant on this host.
fn on_host(host: &Host, grant: &str) -> Result<(Value, Value)> {
    let shown = host.json(&["grant", "show", grant])?;
    let word = |pointer: &str| shown.pointer(pointer).cloned().unwrap_or_default();
    Ok((word("/enforcement/0/void_time"), word("/expire_time")))
}

fn hears_nothing(ctx: &mut Ctx) -> Result<()> {
    rig::places()?;
    let mut config = Config::policy(rig::POLICY);
    config.control_toml.push_str(FRESHNESS);
    let mut host = Host::boot(&config)?;
    let mut alice = Alice::start()?;
    alice.must(false, "without a grant")?;
    let created = host.json(&grant_create("alice", "vault", "2h", "a test"))?;
    let grant = created.pointer("/id").and_then(Value::as_str);
    let grant = grant.context("the grant has no id")?.to_owned();
    alice.goes_on_soon("the grant")?;
    let (void, end) = on_host(&host, &grant)?;
    ensure!(
        void.as_str().is_some() && void.as_str() < end.as_str(),
        "void at {void}, and ends at {end}"
    );

    ctx.step("the control plane is away");
    host.kill_control()?;
    alice.must(true, "just now")?;
    let later = WallClock::set(LATER_S)?;
    alice.must(false, "after its time")?;
    wait::until_ok(wait::LONG, "the agent to say so", || {
        let problems = host.status()?.problems;
        let said = problems
            .iter()
            .any(|one| one.contains("grants do not count on this host"));
        Ok(said.then_some(()))
    })?;
    drop(later);
    alice.must(true, "back in its time")?;

    ctx.step("nobody is alive");
    host.kill_agent()?;
    alice.must(true, "at first")?;
    let later = WallClock::set(LATER_S)?;
    alice.must(false, "with nobody alive")?;
    drop(later);

    ctx.step("as after a reboot: nothing was proven");
    cleanup::as_after_a_reboot()?;
    host.start_agent()?;
    alice.must(false, "before anything is heard on this boot")?;
    host.start_control()?;
    alice.goes_on_soon("the control plane to be heard")
}
