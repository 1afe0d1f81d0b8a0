//! Honest work under policies that are close to it and never about it: no call is denied, held or recorded, and what comes
//! out is what comes out without Stayhand.
//!
//! The work is in `tests/fixtures/workloads`, one script each, on a file system of its own.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    process::Command,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use super::filesystems::{disk, modules};
use crate::{
    host::{Config, Host},
    login::Session,
    process,
    scenario::{Boot, Ctx, LIMIT_LONG, Need, Scenario},
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    honest(
        "a_build_is_not_disturbed_by_rules_about_other_things",
        |ctx| shown(ctx, "build"),
    ),
    honest(
        "a_repository_is_cloned_and_changed_without_a_denial",
        |ctx| shown(ctx, "repository"),
    ),
    honest(
        "a_package_is_installed_by_guarded_root_without_a_denial",
        |ctx| shown(ctx, "package"),
    ),
    honest(
        "a_web_server_starts_reloads_and_answers_without_a_denial",
        |ctx| shown(ctx, "pages"),
    ),
    honest("a_database_of_ones_own_works_without_a_denial", |ctx| {
        shown(ctx, "own")
    }),
    honest("a_database_of_a_service_answers_without_a_denial", |ctx| {
        shown(ctx, SERVICE)
    }),
];

const fn honest(name: &'static str, run: fn(&mut Ctx) -> Result<()>) -> Scenario {
    Scenario::new(name, run)
        .boot(Boot::WithPrograms)
        .needs(NEEDS)
        .group("workloads")
        .on_any_kernel()
        .limit(LIMIT_LONG)
}

const NEEDS: &[Need] = &[
    Need::Module("loop"),
    Need::File("/usr/bin/gcc"),
    Need::File("/usr/lib/postgresql/15/bin/postgres"),
];
/// What alice does, in this order.
const ALONE: [&str; 5] = ["build", "repository", "package", "pages", "own"];
/// Not a script: the server of somebody else, and alice's queries.
const SERVICE: &str = "service";
const SCRIPTS: &str = "/usr/lib/stayhand/fixtures/workloads";
const POLICY: &str = include_str!("../../fixtures/workloads/policy.yaml");
/// Where the work is done.
const ROOT: &str = "/srv/honest";
/// A database is made within seconds on a machine, and within a minute or two under emulation on a busy host.
const WORK: Duration = Duration::from_mins(4);
/// The kernel's counts of recorded decisions, by class.
const RECORDED: [&str; 3] = ["recorded-a", "recorded-b", "recorded-c"];

struct Machine {
    host: Host,
    /// What each work printed while nothing was enforced
    before: BTreeMap<&'static str, String>,
}

fn with(ctx: &mut Ctx, run: impl FnOnce(&mut Ctx, &mut Machine) -> Result<()>) -> Result<()> {
    static MACHINE: Mutex<Option<Machine>> = Mutex::new(None);
    let mut place = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut machine = match place.take() {
        Some(machine) => machine,
        None => start(ctx)?,
    };
    run(ctx, &mut machine)?;
    *place = Some(machine);
    Ok(())
}

fn start(ctx: &mut Ctx) -> Result<Machine> {
    fs::create_dir_all(ROOT)?;
    modules()?;
    disk("ext4", ROOT)?;
    fs::set_permissions(ROOT, fs::Permissions::from_mode(0o1777))?;
    for directory in ["info", "updates", "triggers", "parts"] {
        fs::create_dir_all(format!("/var/lib/dpkg/{directory}"))?;
    }
    fs::write("/var/lib/dpkg/status", "")?;
    fs::write("/var/lib/dpkg/available", "")?;
    fs::create_dir_all("/var/log")?;
    let mut before = BTreeMap::new();
    for name in ALONE.into_iter().chain([SERVICE]) {
        ctx.step(format!("{name}, while nothing is enforced"));
        before.insert(name, work(name).with_context(|| name.to_owned())?);
    }
    // The same once more, and nothing that it does has any effect.
    let watched = POLICY
        .replace("name: wide", "name: watched")
        .replace("mode: enforce", "mode: monitor");
    let mut config = Config::policy(POLICY);
    config.policies.push(watched);
    let host = Host::boot(&config)?;
    let near = alice("echo | { exec 3<>/dev/tcp/127.0.0.1/6000; } 2>&1; echo asked")?;
    ensure!(
        near.contains("not permitted"),
        "no rule is in force: this shows nothing: {near}"
    );
    Ok(Machine { host, before })
}

/// One work, and what it printed.
fn work(name: &str) -> Result<String> {
    if name == SERVICE {
        return service();
    }
    alice(&format!("bash {SCRIPTS}/{name}.sh"))
}

/// Alice types a command at a new login.
fn alice(command: &str) -> Result<String> {
    let mut session = Session::login("alice")?;
    let typed = session.type_command(command)?;
    let output = session.finish(typed, WORK)?.ok()?;
    ensure!(!output.stdout.is_empty(), "it printed nothing");
    Ok(output.stdout)
}

/// A server that nobody's login started, as its own user.
fn service() -> Result<String> {
    let as_postgres = |words: &[&str]| {
        let ids = ["--reuid=postgres", "--regid=postgres", "--clear-groups"];
        let mut command = Command::new("setpriv");
        command.args(ids).args(words).current_dir("/");
        process::run(&mut command, WORK)?.ok()
    };
    as_postgres(&["bash", &format!("{SCRIPTS}/server.sh"), "5441"])?;
    let answered = alice(&format!("bash {SCRIPTS}/queries.sh 5441"));
    let data = format!("{ROOT}/server-postgres/data");
    let stop = "/usr/lib/postgresql/15/bin/pg_ctl";
    as_postgres(&[stop, "-D", &data, "-w", "stop"])?;
    answered
}

/// What the kernel recorded so far, and what failed in it; not how far the agent is with telling it.
fn counters(host: &Host) -> Result<BTreeMap<String, u64>> {
    let all = host.status()?.counters.into_iter();
    let told = |name: &str| {
        ["events-", "waiting-", "open-"]
            .iter()
            .any(|end| name.starts_with(end))
    };
    Ok(all.filter(|(name, _)| !told(name)).collect())
}

fn shown(ctx: &mut Ctx, name: &str) -> Result<()> {
    with(ctx, |ctx, machine| {
        // The machine's own start and earlier work are not meant.
        let before = counters(&machine.host)?;
        ctx.step(format!("{name}, while everything is enforced"));
        let printed = work(name);
        let printed = printed.with_context(|| tail(&machine.host))?;
        let expected = machine.before.get(name).context("never done before")?;
        ensure!(
            printed == *expected,
            "it printed\n{printed}\nand without Stayhand\n{expected}"
        );
        let after = counters(&machine.host)?;
        let changed: Vec<String> = after
            .iter()
            .filter(|(key, value)| before.get(*key) != Some(*value))
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        for key in RECORDED {
            ensure!(after.contains_key(key), "no counter `{key}` in {after:?}");
        }
        ensure!(
            changed.is_empty(),
            "something was recorded or failed: {changed:?}; {}",
            tail(&machine.host)
        );
        Ok(())
    })
}

/// The last events, for a failure.
fn tail(host: &Host) -> String {
    let events = host.events().unwrap_or_default();
    let from = events.len().saturating_sub(4);
    let last: Vec<String> = events.iter().skip(from).map(ToString::to_string).collect();
    last.join("\n")
}
