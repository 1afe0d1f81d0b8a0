//! Where nothing can be enforced nothing is pretended: the agent refuses, leaves nothing half attached, and
//! `doctor` says NOT ENFORCED.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::service::{self, POLICY};
use crate::actors::dummies::{Dummies, Hook, PER_HOOK_MAX};
use crate::host::{Config, Host};
use crate::login::Session;
use crate::scenario::{Boot, Ctx, Scenario};
use crate::{cleanup, process, wait};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "without_bpf_lsm_the_agent_refuses_and_doctor_says_not_enforced",
        without_bpf_lsm,
    )
    .boot(Boot::WithoutBpfLsm),
    Scenario::new(
        "a_hook_that_does_not_attach_is_refused_and_nothing_stays_half_attached",
        full_hook,
    )
    .on_any_kernel(),
];

/// Exit code of an agent that cannot enforce.
const NOT_ENFORCED: i32 = 69;
/// Exit code of `doctor` where nothing is enforced.
const DOCTOR_NOT_ENFORCED: i32 = 1;
/// A hook that the agent attaches neither first nor last: what was attached before it has to be taken back.
const HOOK: &str = "socket_connect";

/// `doctor` with no agent alive says what is so, in words and in its exit code.
pub(super) fn doctor_says_not_enforced() -> Result<()> {
    let doctor = |format: &str| {
        let mut command = Command::new("stayhand");
        command.args(["doctor", "--timeout", "3s", "-o", format]);
        process::run(&mut command, wait::LONG)
    };
    let table = doctor("table")?;
    ensure!(
        table.code == DOCTOR_NOT_ENFORCED && table.stdout.contains("this host: NOT ENFORCED"),
        "doctor: exit {} and {}",
        table.code,
        table.both()
    );
    let json = doctor("json")?;
    let said = json.json()?;
    ensure!(
        json.code == DOCTOR_NOT_ENFORCED && said.get("enforced") == Some(&false.into()),
        "doctor: exit {} and {said}",
        json.code
    );
    Ok(())
}

/// Starts an agent that must not come up; what it said.
fn refused_agent() -> Result<String> {
    let mut command = Command::new("stayhand-agent");
    let output = process::run(
        command.args(["--config", "/etc/stayhand/agent.toml"]),
        wait::START,
    )?;
    ensure!(
        output.code == NOT_ENFORCED,
        "exit {} and {}",
        output.code,
        output.both()
    );
    Ok(output.both())
}

fn without_bpf_lsm(ctx: &mut Ctx) -> Result<()> {
    let modules = fs::read_to_string("/sys/kernel/security/lsm")?;
    ensure!(
        !modules.split(',').any(|module| module.trim() == "bpf"),
        "this machine has BPF LSM: {modules}"
    );
    Config::default().write()?;
    ctx.step("the agent starts");
    let said = refused_agent()?;
    ensure!(
        said.contains("NOT ENFORCED") && said.contains("lsm="),
        "neither loud nor helpful: {said}"
    );
    ensure!(!cleanup::is_pinned(), "something is pinned");
    ctx.step("doctor");
    doctor_says_not_enforced()
}

/// Names in a directory of pins; none if it is not there.
fn pinned(directory: &str) -> Vec<String> {
    let entries = fs::read_dir(cleanup::pins_of_this_build().join(directory));
    let names = entries.into_iter().flatten().flatten();
    let mut names: Vec<String> = names
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn full_hook(ctx: &mut Ctx) -> Result<()> {
    service::programs()?;
    let mut host = Host::boot(&Config::policy(POLICY))?;
    let links = pinned("links");
    let link = links.iter().find(|link| link.starts_with(HOOK));
    let mut others = Dummies::on(Hook::of_pinned(link.context("no such link")?)?);
    host.kill_agent()?;
    host.forget_what_is_loaded()?;
    ctx.step("another product takes every place but ours; a new agent cannot take over");
    others.fill(PER_HOOK_MAX - 1)?;
    ensure!(others.is_full()?, "there is room: this shows nothing");
    let said = refused_agent()?;
    ensure!(
        said.contains(HOOK) && said.contains("38 programs"),
        "the reason is missing: {said}"
    );
    ensure!(
        said.contains("not taken over") && !said.contains("NOT ENFORCED"),
        "the earlier programs do enforce: {said}"
    );
    ensure!(
        pinned("links") == links,
        "other links than before: {:?} instead of {links:?}",
        pinned("links")
    );
    let mut alice = Session::login("alice")?;
    service::denied(&mut alice)?;
    ctx.step("nothing of ours is there, and every place is taken");
    let mut command = Command::new("stayhand-agent");
    process::run(command.arg("--uninstall"), wait::LONG)?.ok()?;
    others.fill(PER_HOOK_MAX)?;
    let said = refused_agent()?;
    ensure!(
        said.contains("NOT ENFORCED") && said.contains(HOOK),
        "not loud: {said}"
    );
    let left = (pinned("links"), pinned("maps"));
    ensure!(left == (vec![], vec![]), "left behind: {left:?}");
    doctor_says_not_enforced()?;
    // The kernel lets go of a hook a moment after its last descriptor.
    wait::until_ok(wait::SOON, "the forbidden program to run", || {
        Ok(alice
            .run("/opt/demo/forbidden it ran")?
            .has_line("it ran")
            .then_some(()))
    })?;
    ctx.step("there is room again");
    drop(others);
    host.start_agent()?;
    service::denied(&mut alice)
}
