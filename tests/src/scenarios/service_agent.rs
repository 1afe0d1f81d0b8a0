//! The one agent of a host: who may not take its place, what it takes over from, and what it says when somebody takes
//! its hooks away.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};

use super::{
    service::{self, POLICY},
    service_restart::{TRIED, UNTOUCHED, started_amid_tries},
};
use crate::{
    cleanup,
    host::{Config, Host},
    login::Session,
    process,
    scenario::{Ctx, LIMIT_LONG, Scenario},
    wait,
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "an_agent_with_other_paths_shares_no_pins_with_the_first_and_cannot_remove_them",
        second_configuration,
    )
    .on_any_kernel(),
    Scenario::new(
        "pins_of_another_version_are_taken_over_without_a_gap",
        other_version,
    )
    .on_any_kernel()
    .limit(LIMIT_LONG),
    Scenario::new(
        "a_guarded_person_cannot_uninstall_and_whoever_does_leaves_an_event",
        uninstall,
    )
    .on_any_kernel()
    .limit(LIMIT_LONG),
    Scenario::new(
        "removed_hooks_are_noticed_and_said_wherever_the_host_is_shown",
        removed_hooks,
    )
    .on_any_kernel()
    .limit(LIMIT_LONG),
];

fn agent(args: &[&str]) -> Result<process::Output> {
    process::run(Command::new("stayhand-agent").args(args), wait::LONG)
}

fn second_configuration(ctx: &mut Ctx) -> Result<()> {
    service::programs()?;
    let mut host = Host::boot(&Config::policy(POLICY))?;
    fs::write(
        "/tmp/second.toml",
        "[local]\nsocket = \"/tmp/second/agent.sock\"\n[state]\ndirectory = \"/tmp/second/state\"\n",
    )?;
    for args in [
        &["--config", "/tmp/second.toml"][..],
        &["--config", "/tmp/second.toml", "--uninstall"],
    ] {
        ctx.step(format!("{args:?}"));
        let output = agent(args)?;
        ensure!(
            output.code == 75 && output.both().contains(&host.agent_pid().to_string()),
            "exit {} and {}",
            output.code,
            output.both()
        );
    }
    service::denied(&mut Session::login("alice")?)?;
    ensure!(host.status()?.enforced, "not enforced any more");
    ctx.step("the locks go with their holder");
    host.kill_agent()?;
    host.start_agent()
}

fn other_version(ctx: &mut Ctx) -> Result<()> {
    service::programs()?;
    fs::write(TRIED, UNTOUCHED)?;
    let mut host = Host::boot(&Config::policy(POLICY))?;
    host.kill_agent()?;
    let (old, new) = (
        Path::new(cleanup::PINS).join("v0"),
        cleanup::pins_of_this_build(),
    );
    fs::rename(&new, &old).context("cannot rename the pins")?;
    ctx.step("an agent takes over while alice tries without end");
    started_amid_tries(&mut host)?;
    ensure!(!old.exists(), "the old pins are left");
    service::denied(&mut Session::login("alice")?)?;
    ctx.step("uninstalling removes every version");
    ensure!(host.stop_agent()? == 0, "the agent did not end well");
    fs::create_dir_all(old.join("maps"))?;
    fs::rename(new.join("maps/HOLDS"), old.join("maps/HOLDS"))?;
    agent(&["--uninstall"])?.ok()?;
    ensure!(!cleanup::is_pinned(), "pins are left");
    Ok(())
}

fn uninstall(ctx: &mut Ctx) -> Result<()> {
    service::programs()?;
    let mut host = Host::boot(&Config::policy(POLICY))?;
    let mut alice = Session::login("alice")?;
    ensure!(host.stop_agent()? == 0, "the agent did not end well");
    ctx.step("alice, as root");
    let output = alice.run("sudo stayhand-agent --uninstall")?;
    ensure!(
        output.code == 77 && output.both().contains("is guarded on this host"),
        "exit {} and {}",
        output.code,
        output.both()
    );
    service::denied(&mut alice)?;
    ctx.step("root, whom no policy guards");
    let output = agent(&["--uninstall"])?.ok()?;
    ensure!(
        !output.both().contains("no event tells of it"),
        "{}",
        output.both()
    );
    ctx.step("the next agent sends the event");
    host.start_agent()?;
    wait::until_ok(wait::LONG, "the event", || {
        let events = host.events()?;
        let told = |event: &serde_json::Value| {
            let text = event.to_string();
            text.contains("enforcement removed with --uninstall by uid 0")
                && text.contains("NOT ENFORCED")
        };
        Ok(events.iter().any(told).then_some(()))
    })
}

fn removed_hooks(ctx: &mut Ctx) -> Result<()> {
    service::programs()?;
    let host = Host::boot(&Config::policy(POLICY))?;
    let state = |host: &Host| -> Result<String> { Ok(host.cli(&["host", "ls"])?.ok()?.stdout) };
    ensure!(!state(&host)?.contains("NOT ENFORCED"), "{}", state(&host)?);
    ctx.step("somebody whom no policy guards unlinks every hook");
    for link in fs::read_dir(cleanup::pins_of_this_build().join("links"))? {
        fs::remove_file(link?.path())?;
    }
    wait::until_ok(wait::LONG, "the agent to notice", || {
        Ok((!host.status()?.enforced).then_some(()))
    })?;
    let doctor = host.json(&["doctor", "--timeout", "3s"]);
    ensure!(
        doctor.as_ref().map_or(true, |json| json.get("enforced")
            != Some(&serde_json::Value::Bool(true))),
        "doctor says {doctor:?}"
    );
    ctx.step("the control plane hears of it, and so does the auditor");
    wait::until_ok(wait::LONG, "`host ls` to say so", || {
        Ok(state(&host)?.contains("NOT ENFORCED").then_some(()))
    })?;
    wait::until_ok(wait::LONG, "the event", || {
        let events = host.events()?;
        let told =
            |event: &serde_json::Value| event.to_string().contains("hooks without a pinned link");
        Ok(events.iter().any(told).then_some(()))
    })
}
