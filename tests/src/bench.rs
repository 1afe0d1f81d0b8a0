//! Measurements: what one action costs in guest instructions, one `@bench` line each (docs/performance.md).
//!
//! Only meaningful in a machine whose clock counts instructions. No service is alive while something is measured:
//! what is enforced stays enforced without them, and nobody else uses the one processor.

use std::fmt::Write as _;

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::{
    actors::{
        bpf::Ring,
        client::{ALICE, BOB, Puppet, SERVICE},
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
const RULES: [usize; 2] = [10, 10_000];
/// Rules of one policy: the language allows no more.
const RULES_PER_POLICY: usize = 2_000;
/// What is acted on when no rule matches and when one does.
const FREE: &str = "/srv/work/free/1/2/3/4";
const SEEN: &str = "/srv/work/seen/1/2/3/4";
/// Destinations likewise.
const FREE_HOST: &str = "127.0.0.2:7300";
const SEEN_HOST: &str = "127.0.0.1:7301";
/// Batches that fill caches and are thrown away.
const WARM_UP: usize = 4;
/// Batches whose median counts: most of them see no timer interrupt.
const BATCHES: usize = 41;

/// Measures everything.
pub fn run() -> Result<()> {
    prepare()?;
    rows(NO_AGENT, Puppet::start(SERVICE)?, FREE, FREE_HOST)?;
    others()?;
    for rules in RULES {
        cleanup::everything()?;
        prepare()?;
        enforced(rules)?;
        // A daemon; somebody who is logged in and whom no policy guards; and the guarded one.
        for (who, what, place, to) in [
            (SERVICE, "unguarded", FREE, FREE_HOST),
            (BOB, "pinned, no policy", FREE, FREE_HOST),
            (ALICE, "none matches", FREE, FREE_HOST),
            (ALICE, "one matches (alert)", SEEN, SEEN_HOST),
        ] {
            rows(
                &format!("{rules} rules, {what}"),
                Puppet::start(who)?,
                place,
                to,
            )?;
        }
    }
    Ok(())
}

/// What the kernel's own guards cost for the same work: AppArmor with a profile of 100 rules, and Landlock with a rule
/// close to the file and with one far above it.
fn others() -> Result<()> {
    let profile = "/run/bench.apparmor";
    std::fs::write(profile, apparmor_profile())?;
    let parsed = Command::new("/usr/sbin/apparmor_parser")
        .args([
            "--config-file",
            "/dev/null",
            "--replace",
            "--skip-cache",
            profile,
        ])
        .output()
        .context("apparmor_parser")?;
    ensure!(parsed.status.success(), "apparmor_parser: {parsed:?}");
    let confined = |words: &str| {
        let mut puppet = Puppet::start(SERVICE)?;
        let result = puppet.tell(words)?;
        ensure!(result == 0, "`{words}` gives {result}");
        Ok(puppet)
    };
    rows(
        "AppArmor, 100 rules",
        confined("apparmor|bench")?,
        FREE,
        FREE_HOST,
    )?;
    let near = format!("landlock|{FREE}|{}", measure::shallow(FREE));
    rows(
        "Landlock, rule on the directory",
        confined(&near)?,
        FREE,
        FREE_HOST,
    )?;
    rows(
        "Landlock, rule on the root",
        confined("landlock|/")?,
        FREE,
        FREE_HOST,
    )
}

/// A hundred rules, the first of which allow what is measured.
fn apparmor_profile() -> String {
    let mut text = format!(
        "profile bench flags=(attach_disconnected) {{\n  network,\n  capability,\n  signal,\n  unix,\n  /** r,\n  \
         {FREE}/** rwix,\n  {} rw,\n",
        measure::shallow(FREE)
    );
    for index in 7..100 {
        // Writing to a string cannot fail.
        writeln!(text, "  /srv/other/{index}/** rw,").ok();
    }
    text.push_str("}\n");
    text
}

/// Installs that many rules and leaves the kernel alone with them.
fn enforced(rules: usize) -> Result<()> {
    console::step(&format!("{rules} rules"));
    let policies = policies(rules);
    let (first, others) = policies.split_first().context("no policy")?;
    let mut host = Host::boot(&Config::policy(first))?;
    for policy in others {
        host.apply(policy)?;
    }
    host.kill_agent()?;
    host.kill_control()
}

/// One rule of each class that matches what the `SEEN` rows do, and others beside it that do not, in as many policies as
/// it takes. A third each: whole directories, address ranges with port ranges, programs with arguments.
fn policies(rules: usize) -> Vec<String> {
    let rules: Vec<String> = (0..rules).map(rule).collect();
    let policy = |(number, rules): (usize, &[String])| {
        format!(
            "apiVersion: stayhand/v1\nkind: Policy\nmetadata: {{ name: bench{number} }}\nspec:\n  \
             subjects: {{ users: [alice] }}\n  rules:\n{}",
            rules.concat()
        )
    };
    rules
        .chunks(RULES_PER_POLICY)
        .enumerate()
        .map(policy)
        .collect()
}

fn rule(index: usize) -> String {
    let what = match index {
        0 => "file: { ops: [write, create], path: [/srv/work/seen/**, /bench-seen] }".into(),
        1 => "exec: { path: /srv/work/seen/** }".into(),
        2 => "net: { ops: [connect], cidr: 127.0.0.1/32, ports: [7301] }".into(),
        _ if index.is_multiple_of(3) => {
            format!("file: {{ ops: [write, create], path: /srv/other/{index}/** }}")
        }
        _ if index % 3 == 1 => {
            format!("exec: {{ path: /opt/other/{index}/program, anyArg: [\"run-{index}\"] }}")
        }
        _ => format!(
            "net: {{ ops: [connect], cidr: 10.{}.{}.0/24, ports: [\"1000-{}\"] }}",
            index / 256,
            index % 256,
            1_000 + index
        ),
    };
    let effect = match index {
        0..3 => "alert",
        _ if index.is_multiple_of(2) => "deny",
        _ => "hold",
    };
    format!("    - {{ id: r{index}, effect: {effect}, {what} }}\n")
}

/// All actions under one set of circumstances.
fn rows(scenario: &str, mut puppet: Puppet, place: &str, to: &str) -> Result<()> {
    console::step(scenario);
    let rings: Vec<Ring> = ["RING_A", "RING_B", "RING_C"]
        .into_iter()
        .filter_map(|name| Ring::open(name).ok())
        .collect();
    for Action { name, times } in measure::ALL {
        let mut batches = Vec::new();
        for number in 0..WARM_UP + BATCHES {
            let words = format!("measure|{name}|{place}|{to}");
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
