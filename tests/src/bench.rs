//! Measurements: what one action costs in guest instructions, one `@bench` line each (docs/performance.md).
//!
//! Only meaningful in a machine whose clock counts instructions. No service is alive while something is measured:
//! what is enforced stays enforced without them, and nobody else uses the one processor.

use std::{fmt::Write as _, os::unix::fs::PermissionsExt as _, process::Command};

use anyhow::{Context as _, Result, ensure};
use stayhand_agent_ebpf::abi::ABI_VERSION;

use crate::{
    actors::{
        bpf::{Map, Ring},
        client::{ALICE, BOB, Puppet, SERVICE},
        dummies::Dummies,
        measure::{self, Part},
        rig::write_executable,
    },
    cleanup::{self, Hooks},
    console,
    host::{Config, Host},
    scenarios::filesystems,
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
/// Rules are on the way to these, and none of them is about what is done there: one, and as many as [`ABOVE`].
const ONE: &str = "/srv/work/one/1/2/3/4";
const FIFTY: &str = "/srv/work/fifty/1/2/3/4";
/// Close to what one action may meet (`ENTRIES_PER_ATTEMPT_MAX`).
const ABOVE: usize = 50;
/// Destinations likewise; no rule has an address that begins as the first one, and one is next to the second.
const FREE_HOST: &str = "127.9.0.2:7300";
const NEAR_HOST: &str = "127.0.0.2:7300";
const SEEN_HOST: &str = "127.0.0.1:7301";
/// Batches that fill caches and are thrown away.
const WARM_UP: usize = 4;
/// Batches whose median counts: most of them see no timer interrupt.
const BATCHES: usize = 41;
/// Processes whose median counts where it varies from one to the next.
const PROCESSES: usize = 9;

/// Measures everything.
pub fn run() -> Result<()> {
    // A disk that was mounted before is not like a new one.
    prepare()?;
    cleanup::everything(Hooks::Removed)?;
    prepare()?;
    rows(
        NO_AGENT,
        &|| Puppet::start(SERVICE),
        FREE,
        FREE_HOST,
        &EVERYWHERE,
    )?;
    others()?;
    let dummies = Dummies::on_each_hook()?;
    rows(
        "empty programs on the same hooks",
        &|| Puppet::start(SERVICE),
        FREE,
        FREE_HOST,
        &EVERYWHERE,
    )?;
    drop(dummies);
    for rules in RULES {
        cleanup::everything(Hooks::Removed)?;
        prepare()?;
        enforced(&[policies(rules), vec![above()]].concat())?;
        console::step(&format!("{rules} rules"));
        memory(rules)?;
        // A daemon; somebody who is logged in and whom no policy guards; and the guarded one.
        let above = [Part::Deep, Part::Disk, Part::Net];
        for (who, what, place, to, parts) in [
            (SERVICE, "unguarded", FREE, FREE_HOST, &EVERYWHERE[..]),
            (BOB, "pinned, no policy", FREE, FREE_HOST, &EVERYWHERE),
            (ALICE, "none matches", FREE, FREE_HOST, &EVERYWHERE),
            (ALICE, "one above", ONE, NEAR_HOST, &above),
            (ALICE, "fifty above", FIFTY, NEAR_HOST, &above[..2]),
            (ALICE, "one matches (alert)", SEEN, SEEN_HOST, &EVERYWHERE),
        ] {
            rows(
                &format!("{rules} rules, {what}"),
                &|| Puppet::start(who),
                place,
                to,
                parts,
            )?;
        }
    }
    cleanup::everything(Hooks::Removed)?;
    prepare()?;
    enforced(&[policies(RULES[0]), vec![SENDING.to_owned()]].concat())?;
    for (who, what) in [(SERVICE, "unguarded"), (ALICE, "guarded")] {
        rows(
            &format!("{} rules and one on sending, {what}", RULES[0]),
            &|| Puppet::start(who),
            FREE,
            FREE_HOST,
            &[Part::Net],
        )?;
    }
    Ok(())
}

/// Without a rule on an operation nobody is asked about it. With one, its address is looked at.
const SENDING: &str = "apiVersion: stayhand/v1
kind: Policy
metadata: { name: sending }
spec:
  subjects: { users: [alice] }
  rules:
    - { id: s, effect: deny, net: { ops: [send], cidr: 127.0.0.1, ports: [7301] } }
";

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
    let confined = |words: &str| -> Result<Puppet> {
        let mut puppet = Puppet::start(SERVICE)?;
        let result = puppet.tell(words)?;
        ensure!(result == 0, "`{words}` gives {result}");
        Ok(puppet)
    };
    rows(
        "AppArmor, 100 rules",
        &|| confined("apparmor|bench"),
        FREE,
        FREE_HOST,
        &EVERYWHERE,
    )?;
    let [ext4, btrfs] = measure::DISKS.map(|kind| measure::on_disk(kind, FREE));
    let near = format!("landlock|{FREE}|{}|{ext4}|{btrfs}", measure::shallow(FREE));
    rows(
        "Landlock, rule on the directory",
        &|| confined(&near),
        FREE,
        FREE_HOST,
        &EVERYWHERE,
    )?;
    rows(
        "Landlock, rule on the root",
        &|| confined("landlock|/"),
        FREE,
        FREE_HOST,
        &EVERYWHERE,
    )
}

/// A hundred rules, the first of which allow what is measured.
fn apparmor_profile() -> String {
    let mut text = format!(
        "profile bench flags=(attach_disconnected) {{\n  network,\n  capability,\n  signal,\n  unix,\n  /** r,\n  \
         {FREE}/** rwix,\n  {} rw,\n",
        measure::shallow(FREE)
    );
    for kind in measure::DISKS {
        // Writing to a string cannot fail.
        writeln!(text, "  {}/** rwix,", measure::on_disk(kind, FREE)).ok();
    }
    for index in 9..100 {
        writeln!(text, "  /srv/other/{index}/** rw,").ok();
    }
    text.push_str("}\n");
    text
}

/// Installs policies and leaves the kernel alone with them.
fn enforced(policies: &[String]) -> Result<()> {
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

/// Rules on the way to [`ONE`] and [`FIFTY`], on every file system, about other operations and other arguments than those
/// that are measured there: each is met, and none matches. Beside the others, however many those are.
fn above() -> String {
    let mut rules = String::new();
    for index in 0..=ABOVE {
        let place = if index == 0 { ONE } else { FIFTY };
        // From the uppermost directory that is theirs downwards, again and again.
        let up = 4 - index % 5;
        let above = |place: &str| {
            let mut directory = place;
            for _ in 0..up {
                directory = directory.rsplit_once('/').map_or("", |(above, _)| above);
            }
            format!("{directory}/**")
        };
        let mut paths = vec![above(place)];
        paths.extend(measure::DISKS.map(|kind| above(&measure::on_disk(kind, place))));
        let paths = paths.join(", ");
        let what = if index.is_multiple_of(2) {
            format!("file: {{ ops: [attr, link], path: [{paths}] }}")
        } else {
            format!("exec: {{ path: [{paths}], anyArg: [\"run-{index}\"] }}")
        };
        // Writing to a string cannot fail.
        writeln!(rules, "    - {{ id: a{index}, effect: deny, {what} }}").ok();
    }
    format!(
        "apiVersion: stayhand/v1\nkind: Policy\nmetadata: {{ name: above }}\nspec:\n  \
         subjects: {{ users: [alice] }}\n  rules:\n{rules}"
    )
}

fn rule(index: usize) -> String {
    let what = match index {
        0 => "file: { ops: [write, create], path: [/srv/work/seen/**, /srv/ext4/seen/**, /srv/btrfs/seen/**, /bench-seen] }"
            .into(),
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

/// Everything that is measured.
const EVERYWHERE: [Part; 4] = [Part::Deep, Part::Shallow, Part::Net, Part::Disk];

/// Actions under one set of circumstances.
fn rows(
    scenario: &str,
    start: &dyn Fn() -> Result<Puppet>,
    place: &str,
    to: &str,
    parts: &[Part],
) -> Result<()> {
    console::step(scenario);
    let rings: Vec<Ring> = ["RING_A", "RING_B", "RING_C"]
        .into_iter()
        .filter_map(|name| Ring::open(name).ok())
        .collect();
    let mut puppet = start()?;
    let measured = measure::ALL.into_iter();
    for action in measured.filter(|action| parts.contains(&action.part)) {
        let ask = format!("measure|{}|{place}|{to}", action.name);
        let mut found = vec![batches(&mut puppet, &ask, &rings)?];
        if action.varies {
            for _ in 1..PROCESSES {
                found.push(batches(&mut start()?, &ask, &rings)?);
            }
            console::step(&format!("{}: {found:?}", action.name));
        }
        let row = serde_json::json!({
            "action": action.name,
            "scenario": scenario,
            "instructions": instructions_each(median(found)?, action.times),
        });
        console::bench(&row.to_string());
    }
    Ok(())
}

/// Nanoseconds of a batch by one process, which are instructions.
fn batches(puppet: &mut Puppet, ask: &str, rings: &[Ring]) -> Result<i64> {
    let mut batches = Vec::new();
    for number in 0..WARM_UP + BATCHES {
        let ticket = puppet.ask(ask)?;
        let elapsed = puppet.answer(&ticket, wait::LONG)?;
        ensure!(elapsed > 0, "{ask}: {elapsed}");
        // As an agent would; a full ring is cheaper than one that takes records.
        rings.iter().for_each(Ring::skip);
        if number >= WARM_UP {
            batches.push(elapsed);
        }
    }
    median(batches)
}

fn median(mut values: Vec<i64>) -> Result<i64> {
    values.sort_unstable();
    values.get(values.len() / 2).copied().context("no value")
}

/// What the maps take, as the kernel reckons it.
fn memory(rules: usize) -> Result<()> {
    let mut total = 0;
    let mut shown = Vec::new();
    let maps = format!("{}/v{ABI_VERSION}/maps", cleanup::PINS);
    for entry in std::fs::read_dir(&maps).with_context(|| maps.clone())? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let bytes = Map::<u64, u64>::open(&name)?.bytes()?;
        total += bytes;
        shown.push((bytes, name));
    }
    shown.sort_unstable();
    let shown: Vec<String> = shown
        .iter()
        .rev()
        .map(|(bytes, name)| format!("{name} {bytes}"))
        .collect();
    console::step(&format!(
        "memory of maps in bytes, {rules} rules: {total} in all; {}",
        shown.join(", ")
    ));
    Ok(())
}

/// The same places for every scenario.
fn prepare() -> Result<()> {
    for kind in measure::DISKS {
        let place = format!("/srv/{kind}");
        if std::path::Path::new(&format!("{place}.image")).exists() {
            filesystems::mounted(kind, &place)?;
        } else {
            std::fs::create_dir_all(&place)?;
            filesystems::modules()?;
            filesystems::disk(kind, &place)?;
        }
    }
    for place in [FREE, SEEN, ONE, FIFTY] {
        for kind in measure::DISKS {
            let place = measure::on_disk(kind, place);
            std::fs::create_dir_all(&place)?;
            for_everybody(&measure::deep(&place))?;
        }
        std::fs::create_dir_all(place)?;
        std::fs::set_permissions(place, std::fs::Permissions::from_mode(0o777))?;
        for file in [measure::deep(place), measure::shallow(place)] {
            for_everybody(&file)?;
        }
        write_executable(&measure::program(place), &crate::actors::elf::exit64(0))?;
    }
    Ok(())
}

fn for_everybody(file: &str) -> Result<()> {
    std::fs::write(file, "x").with_context(|| file.to_owned())?;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o666))?;
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
