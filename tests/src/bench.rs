//! Measurements: what one action costs in guest instructions, one `@bench` line each (docs/performance.md).
//!
//! Only meaningful in a machine whose clock counts instructions. No service is alive while something is measured:
//! what is enforced stays enforced without them, and nobody else uses the one processor.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};

use crate::{
    actors::{
        bpf::Ring,
        client::{ALICE, As, BOB, Puppet, SERVICE},
        measure::{self, Action},
        rig::write_executable,
    },
    cleanup, console,
    host::{Config, Host},
    wait,
};

/// The circumstances that everything is compared with.
const NO_AGENT: &str = "no agent";
/// Numbers of rules that are compared.
const RULES: [usize; 2] = [10, 1_000];
/// What is acted on when no rule matches and when one does.
const FREE: &str = "/srv/work/free/1/2/3/4";
const SEEN: &str = "/srv/work/seen/1/2/3/4";
/// Destination ports likewise.
const FREE_PORT: u16 = 7_300;
const SEEN_PORT: u16 = 7_301;
/// Batches that fill caches and are thrown away.
const WARM_UP: usize = 4;
/// Batches whose median counts: most of them see no timer interrupt.
const BATCHES: usize = 41;

/// Measures everything.
pub fn run() -> Result<()> {
    prepare()?;
    rows(NO_AGENT, SERVICE, FREE, FREE_PORT)?;
    for rules in RULES {
        cleanup::everything()?;
        prepare()?;
        enforced(rules)?;
        // A daemon; somebody who is logged in and whom no policy guards; and the guarded one.
        for (who, what, place, port) in [
            (SERVICE, "unguarded", FREE, FREE_PORT),
            (BOB, "pinned, no policy", FREE, FREE_PORT),
            (ALICE, "none matches", FREE, FREE_PORT),
            (ALICE, "one matches (alert)", SEEN, SEEN_PORT),
        ] {
            rows(&format!("{rules} rules, {what}"), who, place, port)?;
        }
    }
    Ok(())
}

/// Installs that many rules and leaves the kernel alone with them.
fn enforced(rules: usize) -> Result<()> {
    console::step(&format!("{rules} rules"));
    let mut host = Host::boot(&Config::policy(&policy(rules)))?;
    host.kill_agent()?;
    host.kill_control()
}

/// One rule of each class that matches what the `SEEN` rows do, and others beside it that do not. A third each,
/// so that every hook has something to look up.
fn policy(rules: usize) -> String {
    let mut text = String::from(
        "apiVersion: stayhand/v1\nkind: Policy\nmetadata: { name: bench }\nspec:\n  \
         subjects: { users: [alice] }\n  rules:\n",
    );
    let mut rule = |index: usize, effect: &str, what: String| {
        // Writing to a string cannot fail.
        writeln!(text, "    - {{ id: r{index}, effect: {effect}, {what} }}").ok();
    };
    rule(
        0,
        "alert",
        "file: { ops: [write, create], path: [/srv/work/seen/**, /bench-seen] }".into(),
    );
    rule(1, "alert", "exec: { path: /srv/work/seen/** }".into());
    rule(
        2,
        "alert",
        format!("net: {{ ops: [connect], cidr: 127.0.0.1/32, ports: [{SEEN_PORT}] }}"),
    );
    for index in 3..rules {
        let what = match index % 3 {
            0 => format!("file: {{ ops: [write, create], path: /srv/other/{index}/** }}"),
            1 => format!("exec: {{ path: /opt/other/{index}/program }}"),
            _ => format!(
                "net: {{ ops: [connect], cidr: 10.{}.{}.0/24 }}",
                index / 256,
                index % 256
            ),
        };
        rule(index, if index % 2 == 0 { "deny" } else { "hold" }, what);
    }
    text
}

/// All actions under one set of circumstances, by a puppet of its own.
fn rows(scenario: &str, who: As, place: &str, port: u16) -> Result<()> {
    console::step(scenario);
    let mut puppet = Puppet::start(who)?;
    let rings: Vec<Ring> = ["RING_A", "RING_B", "RING_C"]
        .into_iter()
        .filter_map(|name| Ring::open(name).ok())
        .collect();
    for Action { name, times } in measure::ALL {
        let mut batches = Vec::new();
        for number in 0..WARM_UP + BATCHES {
            let words = format!("measure|{name}|{place}|{port}");
            let ticket = puppet.ask(&words)?;
            let elapsed = puppet.answer(&ticket, wait::LONG)?;
            ensure!(elapsed > 0, "{name}, {scenario}: {elapsed}");
            // As an agent would; a full ring is cheaper than one that takes records.
            rings.iter().for_each(Ring::skip);
            if number >= WARM_UP {
                batches.push(elapsed);
            }
        }
        batches.sort_unstable();
        let median = batches.get(BATCHES / 2).copied().context("no batch")?;
        let instructions = instructions_each(median, times);
        let row = serde_json::json!({ "action": name, "scenario": scenario, "instructions": instructions });
        console::bench(&row.to_string());
    }
    Ok(())
}

/// The same places for every scenario.
fn prepare() -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    for place in [FREE, SEEN] {
        std::fs::create_dir_all(place)?;
        let open = |path: &str, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        };
        open(place, 0o777)?;
        let shallow = measure::shallow(place);
        for file in [measure::deep(place), shallow] {
            std::fs::write(&file, "x").with_context(|| file.clone())?;
            open(&file, 0o666)?;
        }
        write_executable(&measure::program(place), &crate::actors::elf::exit64(0))?;
    }
    Ok(())
}

/// Instructions per repetition.
#[expect(
    clippy::cast_precision_loss,
    reason = "a batch is some millions of instructions, far below 2^52"
)]
fn instructions_each(batch: i64, times: u32) -> f64 {
    batch as f64 / f64::from(times)
}
