//! Ways around the agent: flooding it, starving it, mounting behind its back.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use stayhand_agent_ebpf::abi::code::{class, counter};

use crate::{
    actors::{
        bpf::Counters,
        client::{ALICE, DAEMON, Puppet},
        rig::{self, WORK, changed, file},
        sys::EPERM,
    },
    host::{Config, Host},
    process,
    scenario::{Ctx, LIMIT_LONG, Scenario},
    wait,
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "a_flood_past_a_wedged_agent_is_denied_and_every_loss_is_accounted_for",
        flood,
    )
    .limit(LIMIT_LONG),
    Scenario::new(
        "a_new_mount_below_a_protected_directory_is_protected",
        new_mount,
    ),
    Scenario::new(
        "a_new_file_system_with_a_reused_device_is_not_mistaken_for_the_old_one",
        reused_device,
    ),
];

fn writing(path: &str) -> String {
    format!(
        "open|open|{path}|{}|420|after",
        libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC
    )
}

/// Denials of the flood among the events, and the losses of class B that events tell of.
fn accounted(host: &Host) -> Result<(u64, u64)> {
    let (mut denials, mut lost) = (0, 0);
    for event in host.events()? {
        let of_lost = |key: &str| event.pointer(&format!("/unmapped/stayhand/lost/{key}"));
        if let Some(class) = of_lost("class").and_then(Value::as_str) {
            let count = of_lost("count")
                .and_then(Value::as_u64)
                .context("a loss without a number")?;
            lost += if class == "B" { count } else { 0 };
        } else if event.to_string().contains(&format!("{WORK}/denied/flood")) {
            denials += 1;
        }
    }
    Ok((denials, lost))
}

fn flood(ctx: &mut Ctx) -> Result<()> {
    const ATTEMPTS: u32 = 1_500;
    rig::places()?;
    let path = file("denied/flood")?;
    let host = Host::boot(&Config::policy(rig::POLICY))?;
    let counters = Counters::open()?;
    let of_b = |index: u32| counters.get(index + u32::from(class::B));
    let before = (of_b(counter::RECORDED)?, of_b(counter::LOST)?);
    process::signal(host.agent_pid(), Signal::SIGSTOP)?;
    let mut alice = Puppet::start(ALICE)?;
    let ticket = alice.ask(&format!(
        "hammer|{ATTEMPTS}|{path}|{}",
        libc::O_WRONLY | libc::O_TRUNC
    ))?;
    let opened = alice.answer(&ticket, wait::LONG)?;
    ensure!(
        opened == 0 && !changed(&path),
        "{opened} opens went through past a wedged agent"
    );
    let recorded = of_b(counter::RECORDED)? - before.0;
    let lost = of_b(counter::LOST)? - before.1;
    ensure!(
        recorded == u64::from(ATTEMPTS),
        "{recorded} of {ATTEMPTS} denials are counted"
    );
    ensure!(
        lost > 0 && lost < recorded,
        "{lost} losses: this shows nothing"
    );
    process::signal(host.agent_pid(), Signal::SIGCONT)?;
    ctx.step(format!("{recorded} denials, {lost} lost"));
    wait::until_ok(wait::LONG, "events and losses to add up", || {
        let (denials, said) = accounted(&host)?;
        ensure!(
            denials + said <= recorded,
            "{denials} events and {said} losses of {recorded} denials"
        );
        Ok((denials + said == recorded && said == lost).then_some(()))
    })
    .with_context(|| {
        format!(
            "recorded {recorded}, lost {lost}, accounted {:?}",
            accounted(&host)
        )
    })
}

/// Somebody whom nothing guards mounts something there; the agent has to notice by itself.
fn new_mount(_: &mut Ctx) -> Result<()> {
    rig::places()?;
    let inside = format!("{WORK}/denied/mounted");
    fs::create_dir_all(&inside)?;
    let host = Host::boot(&Config::policy(rig::POLICY))?;
    let mut root = Puppet::start(DAEMON)?;
    ensure!(root.tell(&format!("tmpfs|{inside}"))? == 0, "cannot mount");
    let mut alice = Puppet::start(ALICE)?;
    let result = wait::until_ok(wait::LONG, "the new mount to be protected", || {
        Ok((alice.tell(&writing(&format!("{inside}/f")))? == EPERM).then_some(()))
    });
    drop(root.tell(&format!("umount|{inside}")));
    drop(host);
    result
}

/// A label is an identity: a device number that is used again must not carry it on.
fn reused_device(_: &mut Ctx) -> Result<()> {
    rig::places()?;
    let (guarded, other) = (
        format!("{WORK}/denied/mounted"),
        format!("{WORK}/free/mounted"),
    );
    fs::create_dir_all(&guarded)?;
    fs::create_dir_all(&other)?;
    let mut root = Puppet::start(DAEMON)?;
    ensure!(root.tell(&format!("tmpfs|{guarded}"))? == 0, "cannot mount");
    let device =
        |path: &str| fs::metadata(path).map(|data| std::os::unix::fs::MetadataExt::dev(&data));
    let first = device(&guarded)?;
    let host = Host::boot(&Config::policy(rig::POLICY))?;
    let mut alice = Puppet::start(ALICE)?;
    ensure!(
        alice.tell(&writing(&format!("{guarded}/f")))? == EPERM,
        "the mount root has no label"
    );
    ensure!(root.tell(&format!("umount|{guarded}"))? == 0);
    ensure!(root.tell(&format!("tmpfs|{other}"))? == 0, "cannot mount");
    let same = device(&other)? == first;
    let result = alice.tell(&writing(&format!("{other}/f")))?;
    drop(root.tell(&format!("umount|{other}")));
    drop(host);
    ensure!(
        same,
        "the device number was not used again: this shows nothing"
    );
    ensure!(
        result == 5,
        "the new file system is taken for the old one: {result}"
    );
    Ok(())
}
