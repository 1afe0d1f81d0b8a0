//! An agent that comes back: what stands is kept where it is what would be loaded, and replaced without a gap where it is
//! not.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use super::service::{self, POLICY};
use crate::{
    actors::{
        bpf,
        client::{ALICE_ROOT, Puppet},
    },
    cleanup,
    host::{Config, Host},
    login::Session,
    scenario::{Ctx, LIMIT_LONG, Scenario},
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "an_agent_that_comes_back_keeps_the_programs_that_stand",
        kept,
    )
    .on_any_kernel(),
    Scenario::new(
        "programs_are_replaced_without_a_gap_where_a_link_or_a_map_is_another_one",
        replaced,
    )
    .limit(LIMIT_LONG)
    .on_any_kernel(),
];

/// The second revision of the policy: what it says is enforced only if agent and programs have the same maps.
const NEXT: &str = "not here and not now";
/// What alice tries to write, and what is in it.
pub(super) const TRIED: &str = "/srv/vault/f";
pub(super) const UNTOUCHED: &str = "before";
/// Between two rounds.
const PAUSE: Duration = Duration::from_millis(50);
/// Attempts of one round; a round is short beside a take-over.
const ATTEMPTS: u32 = 200;

fn pins(of: &str) -> PathBuf {
    cleanup::pins_of_this_build().join(of)
}

/// The kernel's numbers of the pinned links, by their names.
fn links() -> Result<BTreeMap<String, u32>> {
    let entries = fs::read_dir(pins("links"))?;
    let number = |entry: std::io::Result<fs::DirEntry>| -> Result<(String, u32)> {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        Ok((name, bpf::link_id(&entry.path())?))
    };
    entries.map(number).collect()
}

fn kept(ctx: &mut Ctx) -> Result<()> {
    service::programs()?;
    let mut host = Host::boot(&Config::policy(POLICY))?;
    let before = links()?;
    let hooks = host.status()?.hooks;
    ensure!(
        !before.is_empty() && before.len() == hooks.len(),
        "{} links, {} hooks",
        before.len(),
        hooks.len()
    );
    ctx.step("an agent that was killed");
    host.kill_agent()?;
    host.start_agent()?;
    let after = links()?;
    ensure!(after == before, "loaded again: {before:?}, then {after:?}");
    ensure!(
        host.status()?.hooks == hooks,
        "it says something else of its hooks: {:?} instead of {hooks:?}",
        host.status()?.hooks
    );
    let mut alice = Session::login("alice")?;
    service::denied(&mut alice)?;
    ctx.step("what is decided from now on is enforced, too");
    let denials = host.events()?.len();
    host.apply(&POLICY.replace("not here", NEXT))?;
    service::denied(&mut alice)?;
    let events = host.events()?;
    ensure!(
        events
            .iter()
            .skip(denials)
            .any(|event| event.to_string().contains(NEXT)),
        "no event of the new revision"
    );
    ctx.step("an agent that was told to end");
    ensure!(host.stop_agent()? == 0, "the agent did not end well");
    host.start_agent()?;
    ensure!(links()? == before, "loaded again");
    Ok(())
}

/// Starts an agent while alice, as root, tries without end to write what she may not.
pub(super) fn started_amid_tries(host: &mut Host) -> Result<()> {
    let mut alice = Puppet::start(ALICE_ROOT)?;
    let done = AtomicBool::new(false);
    let (rounds, started) = std::thread::scope(|scope| {
        let tries = scope.spawn(|| -> Result<u32> {
            let mut rounds = 0;
            let flags = libc::O_WRONLY | libc::O_TRUNC;
            while !done.load(Ordering::SeqCst) {
                let opened = alice.tell(&format!("hammer|{ATTEMPTS}|{TRIED}|{flags}"))?;
                ensure!(opened == 0, "{opened} of round {rounds} went through");
                rounds += 1;
                // The verifier needs the processor, too.
                std::thread::sleep(PAUSE);
            }
            Ok(rounds)
        });
        let started = host.start_agent();
        done.store(true, Ordering::SeqCst);
        (tries.join(), started)
    });
    started?;
    let rounds = rounds.map_err(|_| anyhow::anyhow!("the tries panicked"))??;
    ensure!(rounds > 1, "{rounds} rounds: this shows nothing");
    ensure!(
        fs::read_to_string(TRIED)? == UNTOUCHED,
        "the vault was written"
    );
    Ok(())
}

/// Ends the agent, does something to its pins, and starts one that has to replace what stands.
fn replaced_after(host: &mut Host, harm: impl FnOnce() -> Result<()>) -> Result<()> {
    let before = links()?;
    host.kill_agent()?;
    harm()?;
    started_amid_tries(host)?;
    let after = links()?;
    ensure!(
        after.len() == before.len() && !after.keys().any(|name| before.contains_key(name)),
        "not replaced: {before:?}, then {after:?}"
    );
    Ok(())
}

fn replaced(ctx: &mut Ctx) -> Result<()> {
    service::programs()?;
    fs::write(TRIED, UNTOUCHED)?;
    let mut host = Host::boot(&Config::policy(POLICY))?;
    let pinned = |hook: &str| -> Result<PathBuf> {
        let names = links()?;
        let name = names.keys().find(|name| name.starts_with(hook));
        Ok(pins("links").join(name.with_context(|| format!("no link of {hook}"))?))
    };
    ctx.step("a link was removed");
    replaced_after(&mut host, || {
        Ok(fs::remove_file(pinned("socket_connect")?)?)
    })?;
    ctx.step("two links have exchanged their names");
    replaced_after(&mut host, || {
        let (one, other) = (pinned("socket_connect")?, pinned("socket_bind")?);
        let aside = pins("links").join("aside");
        for (from, to) in [(&one, &aside), (&other, &one), (&aside, &other)] {
            fs::rename(from, to)?;
        }
        Ok(())
    })?;
    ctx.step("a map was removed, that policies are in");
    replaced_after(&mut host, || Ok(fs::remove_file(pins("maps/BUCKETS"))?))?;
    host.apply(&POLICY.replace("not here", NEXT))?;
    service::denied(&mut Session::login("alice")?)
}
