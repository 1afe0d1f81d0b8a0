//! What is kept: across restarts without a control plane, next to foreign pins, on a full disk.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use nix::mount::{MsFlags, mount};
use stayhand_agent_ebpf::abi::{
    ABI_VERSION,
    image::{SUBJECTS_MAX, Subject, SubjectKey},
};

use super::service::{self, POLICY};
use crate::actors::bpf::Map;
use crate::host::{Config, Host};
use crate::login::Session;
use crate::scenario::{Ctx, LIMIT_LONG, Scenario};
use crate::story::Event;
use crate::{cleanup, wait};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "the_last_good_state_is_enforced_by_an_agent_without_control_plane",
        without_control,
    )
    .on_any_kernel(),
    Scenario::new(
        "a_pinned_map_of_another_layout_is_refused_and_enforcement_stays",
        other_layout,
    )
    .on_any_kernel(),
    Scenario::new(
        "a_host_that_cannot_take_a_policy_says_why_and_keeps_the_last_good_one",
        rejected_by_host,
    )
    .on_any_kernel(),
    Scenario::new(
        "a_full_disk_stops_no_denial_and_every_loss_is_counted",
        full_disk,
    )
    .on_any_kernel()
    .limit(LIMIT_LONG),
];

fn without_control(ctx: &mut Ctx) -> Result<()> {
    service::programs()?;
    let mut host = Host::boot(&Config::policy(POLICY))?;
    let generation = host.status()?.generation;
    ctx.step("both services are killed, the pins are removed as a reboot would");
    host.kill_control()?;
    host.kill_agent()?;
    fs::remove_dir_all(cleanup::PINS).context("cannot remove the pins")?;
    ctx.step("the agent alone starts from its own disk");
    host.start_agent()?;
    service::denied(&mut Session::login("alice")?)?;
    let status = host.status()?;
    ensure!(
        status.generation == generation,
        "generation {} instead of {generation}",
        status.generation
    );
    ensure!(
        !status.control_connected,
        "there is no control plane to be connected to"
    );
    Ok(())
}

/// Exit code of an agent that finds pins of another layout.
const OTHER_LAYOUT: i32 = 79;

fn other_layout(ctx: &mut Ctx) -> Result<()> {
    service::programs()?;
    let mut host = Host::boot(&Config::policy(POLICY))?;
    host.kill_agent()?;
    let maps = Path::new(cleanup::PINS).join(format!("v{ABI_VERSION}/maps"));
    let exchange = || -> Result<()> {
        for (from, to) in [
            ("ACTIVE", "aside"),
            ("SETTINGS", "ACTIVE"),
            ("aside", "SETTINGS"),
        ] {
            fs::rename(maps.join(from), maps.join(to))
                .with_context(|| format!("cannot rename {from}"))?;
        }
        Ok(())
    };
    ctx.step("two pinned maps of different layouts exchange their names");
    exchange()?;
    let mut command = std::process::Command::new("stayhand-agent");
    let output = crate::process::run(
        command.args(["--config", "/etc/stayhand/agent.toml"]),
        wait::LONG,
    )?;
    ensure!(
        output.code == OTHER_LAYOUT,
        "exit {} and {}",
        output.code,
        output.both()
    );
    let said = output.both();
    ensure!(
        said.contains("not taken over") && !said.contains("NOT ENFORCED"),
        "the earlier programs do enforce: {said}"
    );
    service::denied(&mut Session::login("alice")?)?;
    ctx.step("in their own places again");
    exchange()?;
    host.start_agent()?;
    service::denied(&mut Session::login("alice")?)
}

/// A slot that no image has: nobody but this scenario touches these rows.
const NO_SLOT: u32 = u32::MAX;

/// The server cannot know of it: the kernel's table of this host is full, so that no row of a new image fits.
fn rejected_by_host(ctx: &mut Ctx) -> Result<()> {
    service::programs()?;
    let mut host = Host::boot(&Config::policy(POLICY))?;
    let subjects: Map<SubjectKey, Subject> = Map::open("SUBJECTS")?;
    let filler = |auid| SubjectKey {
        auid,
        slot: NO_SLOT,
    };
    ctx.step("a table of the kernel is full");
    let fits = |auid: &u32| subjects.put(&filler(*auid), &Subject::default()).is_ok();
    let fillers: Vec<u32> = (0..SUBJECTS_MAX).take_while(fits).collect();
    ctx.step("a policy that the control plane takes");
    let policy = POLICY.replace("not here", "not here and not now");
    fs::write("/tmp/next.yaml", &policy)?;
    let output = host.cli(&["policy", "apply", "/tmp/next.yaml", "--wait"])?;
    ensure!(
        output.code == 1 && output.stderr.contains("rejected"),
        "exit {} and {}",
        output.code,
        output.both()
    );
    let shown = host.cli(&["host", "ls", "-o", "json"])?.ok()?.stdout;
    for (what, text) in [("policy apply", &output.stderr), ("host ls", &shown)] {
        ensure!(
            text.contains("`SUBJECTS` is full"),
            "{what} does not say why: {text}"
        );
    }
    let mut alice = Session::login("alice")?;
    service::denied(&mut alice)?;
    ctx.step("there is room again");
    for auid in fillers {
        subjects.delete(&filler(auid));
    }
    host.apply(&policy.replace("not now", "not ever"))?;
    service::denied(&mut alice)
}

/// Disk of the services: their empty stores fit, and it is soon full.
const DISK: &str = "size=24m,mode=0755";
const DISK_AT: &str = "/var/lib/stayhand";
/// Denials while the disk is full.
const DENIALS: usize = 40;

fn full_disk(ctx: &mut Ctx) -> Result<()> {
    service::programs()?;
    mount(
        Some("tmpfs"),
        DISK_AT,
        Some("tmpfs"),
        MsFlags::empty(),
        Some(DISK),
    )?;
    let host = Host::boot(&Config::policy(POLICY))?;
    let mut alice = Session::login("alice")?;
    service::denied(&mut alice)?;
    ctx.step("the disk is filled to the last byte");
    let filler = Path::new(DISK_AT).join("filler");
    let mut file = fs::File::create(&filler)?;
    let block = [0xff; 4096];
    while file.write_all(&block).is_ok() {}
    ctx.step("alice goes on trying");
    let tries = format!("for i in $(seq {DENIALS}); do /opt/demo/forbidden it ran; done");
    let typed = alice.type_command(&tries)?;
    let output = alice.finish(typed, wait::LONG)?;
    ensure!(
        !output.stdout.contains("it ran"),
        "something ran on a full disk: {}",
        output.stdout
    );
    ensure!(host.status()?.enforced, "not enforced any more");
    ctx.step("there is room again: everything is an event or a counted loss");
    drop(file);
    fs::remove_file(&filler)?;
    let recorded = host.counter("recorded-b")?;
    ensure!(
        recorded > u64::try_from(DENIALS)?,
        "the kernel recorded only {recorded}"
    );
    wait::until_ok(wait::LONG, "events and losses to add up", || {
        let events: Vec<Event> = host.events()?.into_iter().map(Event).collect();
        let decisions = u64::try_from(events.iter().filter(|event| event.is_decision()).count())?;
        let lost: u64 = events.iter().filter_map(Event::lost).sum();
        ensure!(
            decisions + lost <= recorded,
            "{decisions} events and {lost} losses of {recorded}"
        );
        Ok((decisions + lost == recorded).then_some(()))
    })
}
