//! Rules on arguments: met wherever the argument stands and however an option is given, never by a changed memory.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use stayhand_agent_ebpf::abi::code::reason;

use crate::{
    actors::{
        client::{ALICE, Puppet},
        elf,
        rig::{self, PROGRAM_CODE, Rig, WORK, write_executable},
        standin::{StandIn, denials},
        sys::EPERM,
    },
    host::{Config, Host, grant_create},
    scenario::{Ctx, Scenario},
    wait,
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "arguments_are_judged_wherever_they_stand_and_however_they_are_given",
        judged,
    ),
    Scenario::new(
        "arguments_changed_while_they_are_judged_never_reach_a_program",
        changed,
    ),
];

const POLICY: &str = include_str!("../../fixtures/policies/arguments.yaml");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Runs,
    Denied,
    Held,
}
use Then::{Denied, Held, Runs};

/// Program, arguments, what becomes of it.
const CASES: &[(&str, &[&str], Then)] = &[
    ("kubectl", &["scale", "deploy/x", "--replicas=9"], Held),
    ("kubectl", &["-n", "prod", "scale", "deploy/x"], Held),
    ("kubectl", &["--namespace=prod", "--v", "9", "scale"], Held),
    ("kubectl", &["--replicas", "9", "deploy/x", "scale"], Held),
    (
        "kubectl",
        &["rollout", "-n", "prod", "restart", "deploy/x"],
        Held,
    ),
    ("kubectl", &["rollout", "status", "deploy/x"], Runs),
    ("kubectl", &["restart", "rollout"], Runs),
    ("kubectl", &["get", "pods", "--scale"], Runs),
    ("kubectl", &["get", "pods"], Runs),
    ("kubectl", &["scaled"], Runs),
    ("kubectl", &[], Runs),
    (
        "terraform",
        &["-chdir=prod", "apply", "-auto-approve"],
        Denied,
    ),
    ("terraform", &["plan", "-destroy"], Runs),
    (
        "aws",
        &["--region", "eu-west-1", "ec2", "run-instances"],
        Denied,
    ),
    ("aws", &["ec2", "terminate-instances"], Denied),
    ("aws", &["ec2", "describe-instances"], Runs),
    ("rm", &["-r", "/srv/x"], Denied),
    ("rm", &["-vfR", "/srv/x"], Denied),
    ("rm", &["/srv/x", "--rec"], Denied),
    ("rm", &["--recursive=x", "/srv/x"], Denied),
    ("rm", &["-f", "--verbose", "recursive"], Runs),
    ("rm", &["-f", "--recursively"], Runs),
    ("git", &["-C", "repo", "push", "--force", "origin"], Denied),
    ("git", &["push", "origin", "+main"], Denied),
    ("git", &["push", "--force-with-lease"], Denied),
    ("git", &["push", "origin", "main"], Runs),
    ("git", &["fetch", "--force"], Runs),
    ("dd", &["if=/dev/zero", "bs=1M", "of=/dev/sda"], Denied),
    ("dd", &["if=/dev/sda", "of=disk.img"], Runs),
    ("psql", &["-f", "drop.sql"], Denied),
    ("psql", &["drop it, table"], Denied),
    ("psql", &["droptable"], Denied),
    ("psql", &["-c", "select 1"], Runs),
    ("interp", &["--now"], Denied),
    ("interp", &["--later"], Runs),
    ("script", &["x", "--now"], Denied),
    ("script", &["x", "--later"], Runs),
    ("cluster", &["get", "pods"], Runs),
    ("cluster", &["describe", "-n", "prod", "x"], Runs),
    ("cluster", &["-n", "get", "delete", "x"], Denied),
    ("cluster", &["delete", "get"], Denied),
    ("cluster", &["delete", "pods"], Denied),
    ("cluster", &[], Denied),
];

fn programs() -> Result<()> {
    rig::places()?;
    for name in [
        "kubectl",
        "terraform",
        "aws",
        "rm",
        "git",
        "dd",
        "psql",
        "cluster",
    ] {
        rig::program(&format!("bin/{name}"))?;
    }
    write_executable(&format!("{WORK}/bin/racer"), &elf::first_byte64())
}

/// What becomes of one execution; what is held is refused.
fn tried(alice: &mut Puppet, kernel: &StandIn, words: &str) -> Result<Then> {
    let ticket = alice.ask(words)?;
    let mut was_held = false;
    let result = wait::until_ok(wait::SOON, "a verdict", || {
        for hold in kernel.pending() {
            was_held = true;
            kernel.refuse(&hold)?;
        }
        Ok(alice.answered(&ticket))
    })?;
    ensure!(
        [EPERM, PROGRAM_CODE].contains(&result) && !(was_held && result != EPERM),
        "gives {result}"
    );
    Ok(match result {
        EPERM if was_held => Held,
        EPERM => Denied,
        _ => Runs,
    })
}

fn judged(ctx: &mut Ctx) -> Result<()> {
    programs()?;
    let mut host = Host::boot(&Config::policy(POLICY))?;
    host.cli(&grant_create("alice", "arguments/look", "1h", "looking"))?
        .ok()?;
    let kernel = StandIn::take_over(&mut host)?;
    let mut alice = Puppet::start(ALICE)?;
    for (program, arguments, then) in CASES {
        let words = format!("exec|fork|{WORK}/bin/{program}|{}", arguments.join("|"));
        let words = words.trim_end_matches('|');
        let found = tried(&mut alice, &kernel, words).with_context(|| words.to_owned())?;
        ensure!(found == *then, "`{words}`: {found:?}, not {then:?}");
    }
    unknown(&mut alice, &kernel)?;
    ctx.log(format!("{} executions", CASES.len()));
    Ok(())
}

/// What cannot be looked at may be anything: it restricts, and grants nothing.
fn unknown(alice: &mut Puppet, kernel: &StandIn) -> Result<()> {
    let many = vec!["-x"; 65].join("|");
    let long = "y".repeat(300);
    for (words, then) in [
        (format!("rm|{many}"), Denied),
        (format!("rm|-f|{}", vec!["file"; 500].join("|")), Runs),
        (format!("cluster|get|{many}"), Denied),
        (format!("rm|-{long}"), Denied),
        (format!("psql|{long}"), Denied),
        (format!("terraform|{long}|apply"), Denied),
        (format!("terraform|{long}"), Runs),
    ] {
        let words = format!("exec|fork|{WORK}/bin/{words}");
        let shown: String = words.chars().take(60).collect();
        let found = tried(alice, kernel, &words).with_context(|| shown.clone())?;
        ensure!(found == then, "`{shown}…`: {found:?}, not {then:?}");
    }
    Ok(())
}

fn changed(ctx: &mut Ctx) -> Result<()> {
    const ROUNDS: usize = 400;
    programs()?;
    ensure!(Path::new(&format!("{WORK}/bin/racer")).exists());
    let mut rig = Rig::start(&Config::policy(POLICY), ALICE)?;
    drop(rig.agent.records());
    let raced = rig.alice.race(&format!("{WORK}/bin/racer"), ROUNDS)?;
    ctx.log(format!("{raced:?}"));
    ensure!(
        raced.killed > 0 && raced.ran > 0,
        "nothing was changed in time: {raced:?}"
    );
    let told = denials(&rig.agent.records(), reason::ARGS_CHANGED);
    ensure!(told == raced.killed, "{told} records of {raced:?}");
    Ok(())
}
