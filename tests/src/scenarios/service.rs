//! The services together: what an operator is told is what the kernel does, and who may tell it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

use crate::host::{Config, Host, grant_create};
use crate::login::Session;
use crate::scenario::{Ctx, Scenario};
use crate::{init_acts, process, wait};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "a_grant_is_not_reported_before_the_host_enforces_it",
        grant_waits_for_the_host,
    )
    .on_any_kernel(),
    Scenario::new("nobody_but_operators_is_heard", only_operators).on_any_kernel(),
    Scenario::new("why_tells_nobody_about_others", why_is_private).on_any_kernel(),
    Scenario::new(
        "global_init_is_denied_what_it_cannot_be_held_for",
        global_init,
    ),
    Scenario::new(
        "a_rule_on_a_path_that_does_not_exist_yet_applies_once_it_does",
        future_path,
    )
    .on_any_kernel(),
    Scenario::new("a_policy_counts_on_hosts_that_have_its_labels", labels).on_any_kernel(),
    Scenario::new(
        "doctor_says_not_enforced_after_uninstall_and_nothing_is_left",
        uninstall,
    )
    .on_any_kernel(),
];

/// One rule of each effect.
pub(super) const POLICY: &str = include_str!("../../fixtures/service.yaml");

/// The programs that the policy names.
pub(super) fn programs() -> Result<()> {
    for directory in ["/opt/demo", "/srv/vault", "/srv/held", "/srv/work"] {
        fs::create_dir_all(directory)?;
        fs::set_permissions(directory, fs::Permissions::from_mode(0o777))?;
    }
    for program in ["/opt/demo/forbidden", "/opt/demo/deploy"] {
        fs::copy("/usr/bin/echo", program).with_context(|| format!("cannot make {program}"))?;
    }
    Ok(())
}

/// One policy is for this host, the other for hosts that this one is none of.
fn labels(_: &mut Ctx) -> Result<()> {
    programs()?;
    let mut config = Config::default();
    config.agent.push_str("\n[labels]\nenv = \"prod\"\n");
    let policy = |name: &str, env: &str, program: &str| {
        format!(
            "apiVersion: stayhand/v1\nkind: Policy\nmetadata: {{ name: {name} }}\nspec:\n  hosts: {{ env: {env} }}\n  subjects: {{ users: \
             [alice] }}\n  rules:\n    - {{ id: no, effect: deny, exec: {{ path: {program} }} }}\n"
        )
    };
    config.policies = vec![
        policy("here", "prod", "/opt/demo/forbidden"),
        policy("elsewhere", "[staging, test]", "/opt/demo/deploy"),
    ];
    let host = Host::boot(&config)?;
    let mut session = Session::login("alice")?;
    denied(&mut session)?;
    let output = session.run("/opt/demo/deploy it ran")?;
    ensure!(
        output.code == 0,
        "the other policy counts here: {}",
        output.stderr
    );
    let hosts = host.json(&["host", "ls"])?.to_string();
    ensure!(hosts.contains("env=prod"), "{hosts}");
    for (name, count) in [("here", 1), ("elsewhere", 0)] {
        let shown = host.json(&["policy", "show", name])?;
        let on = shown
            .pointer("/enforcement")
            .and_then(serde_json::Value::as_array);
        ensure!(on.is_some_and(|on| on.len() == count), "{name}: {shown}");
    }
    Ok(())
}

/// The forbidden program does not run.
pub(super) fn denied(session: &mut Session) -> Result<()> {
    let output = session.run("/opt/demo/forbidden it ran")?;
    ensure!(
        output.code == 126 && !output.stdout.contains("it ran"),
        "not denied: {} {}",
        output.code,
        output.stdout
    );
    Ok(())
}

/// A stopped agent can name nobody, either: for once, the control plane reads login uids itself.
const OWN_IDENTITY: &str = "[identity]\npins = \"loginuid\"\n";

fn grant_waits_for_the_host(ctx: &mut Ctx) -> Result<()> {
    programs()?;
    let config = Config {
        control_toml: OWN_IDENTITY.to_owned(),
        ..Config::policy(POLICY)
    };
    let host = Host::boot(&config)?;
    ctx.step("the agent is stopped: it cannot enforce anything new");
    process::signal(host.agent_pid(), Signal::SIGSTOP)?;
    let args = grant_create("alice", "vault", "5m", "x");
    let output = host.cli(&[&args[..], &["--timeout", "3s"]].concat())?;
    ensure!(
        output.code == 6 && output.stderr.contains("was not enforced within"),
        "reported before it was enforced: exit {} and {}",
        output.code,
        output.both()
    );
    ctx.step("the agent goes on");
    process::signal(host.agent_pid(), Signal::SIGCONT)?;
    wait::until_ok(wait::LONG, "the grant to be enforced", || {
        let list = host.json(&["grant", "ls"])?;
        let phase = list
            .pointer("/items/0/enforcement/0/phase")
            .and_then(serde_json::Value::as_str);
        Ok((phase == Some("enforced")).then_some(()))
    })?;
    let output = Session::login("alice")?.run("echo x > /srv/vault/new && cat /srv/vault/new")?;
    ensure!(
        output.code == 0,
        "enforced, but it does not work: {}",
        output.both()
    );
    Ok(())
}

fn only_operators(ctx: &mut Ctx) -> Result<()> {
    programs()?;
    let host = Host::boot(&Config::policy(POLICY))?;
    let create = "stayhand grant create --user alice --permission vault --for 5m --reason x";
    for (user, command) in [
        ("alice", create.to_owned()),
        ("alice", format!("sudo {create}")),
        ("bob", create.to_owned()),
    ] {
        ctx.step(format!("{user}: {command}"));
        let output = Session::login(user)?.run(&command)?;
        ensure!(
            output.code == 5,
            "{user} `{command}`: exit {} and {}",
            output.code,
            output.both()
        );
    }
    for command in ["policy show service", "hold ls", "events tail", "host ls"] {
        let output = Session::login("alice")?.run(&format!("sudo stayhand {command}"))?;
        ensure!(
            output.code == 5,
            "alice as root `{command}`: exit {} and {}",
            output.code,
            output.both()
        );
    }
    let grants = host.json(&["grant", "ls", "--all"])?;
    ensure!(
        grants
            .pointer("/items")
            .is_some_and(|items| items == &serde_json::json!([])),
        "grants: {grants}"
    );
    Ok(())
}

fn why_is_private(ctx: &mut Ctx) -> Result<()> {
    programs()?;
    let host = Host::boot(&Config::policy(POLICY))?;
    let (mut alice, mut bob) = (Session::login("alice")?, Session::login("bob")?);
    denied(&mut alice)?;
    ctx.step("alice asks, then bob");
    wait::until_ok(wait::SOON, "alice to be told why", || {
        let told = alice.run("stayhand why -o json")?.ok()?.json()?;
        Ok(told.pointer("/items/0/rule/rule").is_some().then_some(()))
    })?;
    let told = bob.run("stayhand why --last 100 -o json")?.ok()?.json()?;
    ensure!(
        told.pointer("/items")
            .is_some_and(|items| items == &serde_json::json!([])),
        "bob is told: {told}"
    );
    drop(host);
    Ok(())
}

fn global_init(ctx: &mut Ctx) -> Result<()> {
    programs()?;
    let file = std::path::Path::new("/srv/held/file");
    fs::write(file, "old")?;
    ctx.step("without a policy PID 1 may");
    // Hooks of the last scenario's agent may live a moment longer than their pins.
    wait::until_ok(wait::SOON, "PID 1 to open a file", || {
        Ok((init_acts::open_for_writing(file)? == 0).then_some(()))
    })?;
    let host = Host::boot(&Config::policy(POLICY))?;
    ctx.step("PID 1 opens a held file as alice");
    let number = init_acts::open_for_writing(file)?;
    ensure!(number == libc::EPERM, "PID 1 got {number} instead of EPERM");
    ensure!(host.holds()?.is_empty(), "PID 1 is said to be held");
    wait::until_ok(wait::LONG, "the event", || {
        let events = host.events()?;
        Ok(events
            .iter()
            .any(|event| event.to_string().contains("hold-unavailable"))
            .then_some(()))
    })
}

fn future_path(ctx: &mut Ctx) -> Result<()> {
    programs()?;
    let host = Host::boot(&Config::policy(POLICY))?;
    ctx.step("a program appears at a path that was a rule's before it was a file");
    fs::create_dir_all("/opt/demo/later/bin")?;
    fs::copy("/usr/bin/echo", "/opt/demo/later/bin/tool")?;
    let mut alice = Session::login("alice")?;
    let output = alice.run("/opt/demo/later/bin/tool it ran")?;
    ensure!(
        output.code == 126 && !output.stdout.contains("it ran"),
        "not denied: {} {}",
        output.code,
        output.stdout
    );
    ctx.step("it is replaced by renaming another over it");
    fs::copy("/usr/bin/echo", "/opt/demo/other")?;
    fs::rename("/opt/demo/other", "/opt/demo/later/bin/tool")?;
    let output = alice.run("/opt/demo/later/bin/tool it ran")?;
    ensure!(
        output.code == 126 && !output.stdout.contains("it ran"),
        "not denied: {} {}",
        output.code,
        output.stdout
    );
    drop(host);
    Ok(())
}

fn uninstall(ctx: &mut Ctx) -> Result<()> {
    programs()?;
    let mut host = Host::boot(&Config::policy(POLICY))?;
    let mut alice = Session::login("alice")?;
    let healthy = host.json(&["doctor"])?;
    ensure!(
        healthy.get("enforced") == Some(&serde_json::Value::Bool(true)),
        "{healthy}"
    );
    ctx.step("the agent ends; the kernel enforces");
    ensure!(host.stop_agent()? == 0, "the agent did not end well");
    let output = host.cli(&["doctor", "--timeout", "3s"])?;
    ensure!(
        output.code == 6,
        "doctor without an agent: exit {} and {}",
        output.code,
        output.both()
    );
    denied(&mut alice)?;
    ctx.step("uninstall");
    let mut command = std::process::Command::new("stayhand-agent");
    process::run(command.arg("--uninstall"), wait::LONG)?.ok()?;
    ensure!(!crate::cleanup::is_pinned(), "pins are left");
    super::not_enforced::doctor_says_not_enforced()?;
    // The kernel lets go of a hook a moment after its last pin.
    wait::until_ok(wait::SOON, "the forbidden program to run", || {
        let output = alice.run("/opt/demo/forbidden it ran")?;
        Ok(output.has_line("it ran").then_some(()))
    })
}
