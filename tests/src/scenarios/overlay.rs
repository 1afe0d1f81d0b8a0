//! Overlayfs: one call of a guarded person becomes calls on the file system underneath. They are judged as hers,
//! and she is asked once.

use std::{fs, path::Path, sync::Mutex};

use anyhow::{Context as _, Result, ensure};
use nix::mount::{MsFlags, mount};
use stayhand_agent_ebpf::abi::code::{op, reason};

use crate::{
    actors::{
        client::{ALICE_ROOT, Ticket},
        elf,
        rig::{self, Rig, Shared, write_executable},
        standin::of_hold,
        sys::{EPERM, Ret},
    },
    host::Config,
    scenario::{Ctx, Need, Scenario, load_module},
    wait,
};

const NEEDS: &[Need] = &[Need::Module("overlay")];

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("what_no_rule_restricts_works_on_overlayfs", free)
        .needs(NEEDS)
        .group("overlay"),
    Scenario::new("a_creation_on_overlayfs_is_one_question", creation)
        .needs(NEEDS)
        .group("overlay"),
    Scenario::new("a_write_on_overlayfs_is_one_question", write)
        .needs(NEEDS)
        .group("overlay"),
    Scenario::new(
        "a_denied_file_is_not_written_through_an_overlay_above_it",
        through,
    )
    .needs(NEEDS)
    .group("overlay"),
    Scenario::new(
        "a_denied_file_is_not_read_deleted_or_moved_through_an_overlay_above_it",
        other_operations,
    )
    .needs(NEEDS)
    .group("overlay"),
    Scenario::new(
        "a_denied_program_does_not_run_through_an_overlay_above_it",
        program,
    )
    .needs(NEEDS)
    .group("overlay"),
];

const POLICY: &str = "\
apiVersion: stayhand/v1
kind: Policy
metadata: { name: overlay }
spec:
  subjects: { users: [alice] }
  rules:
    - { id: held, effect: hold, file: { ops: [write, create], path: /srv/merged/held/** }, timeout: 10m }
    - { id: denied, effect: deny, file: { ops: [write, create], path: /srv/layers/upper/denied/** } }
    - { id: kept, effect: deny, file: { ops: [read, delete, rename], path: /srv/layers/upper/kept/** } }
    - { id: no-program, effect: deny, exec: { path: [/srv/layers/upper/free/denied, /srv/layers/lower/free/below-denied] } }
    - { id: asked, effect: hold, exec: { path: /srv/layers/upper/free/held }, timeout: 10m }
";
const LAYERS: &str = "/srv/layers";
const MERGED: &str = "/srv/merged";
const WRITTEN: Ret = 5; // bytes of "after"
/// Programs by layer, with the reason why one is denied; and their exit code.
const PROGRAMS: [(&str, &str, Option<u32>); 5] = [
    ("upper", "program", None),
    ("upper", "denied", Some(reason::RULE_DENY)),
    ("upper", "held", Some(reason::HOLD_UNAVAILABLE)),
    ("lower", "below-program", None),
    ("lower", "below-denied", Some(reason::RULE_DENY)),
];
const CODE: u8 = 7;

/// Runs a scenario on the machine of this file's; none leaves behind what another one needs to be away.
fn with(run: impl FnOnce(&mut Rig) -> Result<()>) -> Result<()> {
    static RIG: Shared = Mutex::new(None);
    rig::shared(&RIG, machine, run)
}

/// Alice is root there.
fn machine() -> Result<Rig> {
    load_module("overlay")?;
    for directory in [LAYERS, MERGED] {
        fs::create_dir_all(directory)?;
    }
    let none: Option<&str> = None;
    mount(none, LAYERS, Some("tmpfs"), MsFlags::empty(), none)?;
    for name in ["held", "free", "denied", "kept"] {
        for layer in ["lower", "upper"] {
            fs::create_dir_all(format!("{LAYERS}/{layer}/{name}"))?;
        }
        fs::write(format!("{LAYERS}/lower/{name}/below"), "before")?;
        fs::write(format!("{LAYERS}/upper/{name}/above"), "before")?;
    }
    for (layer, name, _) in PROGRAMS {
        let path = format!("{LAYERS}/{layer}/free/{name}");
        write_executable(&path, &elf::exit64(CODE))?;
    }
    fs::create_dir_all(format!("{LAYERS}/work"))?;
    let options = format!("lowerdir={LAYERS}/lower,upperdir={LAYERS}/upper,workdir={LAYERS}/work");
    mount(
        none,
        MERGED,
        Some("overlay"),
        MsFlags::empty(),
        Some(options.as_str()),
    )
    .context("cannot mount an overlay")?;
    Rig::start(&Config::policy(POLICY), ALICE_ROOT)
}

fn ask(rig: &mut Rig, path: &str, flags: i32) -> Result<Ticket> {
    rig.ask_cold(path, flags | libc::O_WRONLY, "after")
}

fn tell(rig: &mut Rig, path: &str, flags: i32) -> Result<Ret> {
    rig.tell_cold(path, flags | libc::O_WRONLY, "after")
}

/// One question, of these operations; refused without an effect, approved with it.
fn one_question(rig: &mut Rig, path: &str, flags: i32, ops: u32) -> Result<()> {
    for approved in [false, true] {
        let ticket = ask(rig, path, flags)?;
        let hold = rig.agent.wait_one()?;
        ensure!(hold.entry.op == ops, "operations {:#x}", hold.entry.op);
        ensure!(!written(path), "it had its effect");
        let (expected, outcome) = if approved {
            rig.agent.approve(&hold)?;
            (WRITTEN, reason::HOLD_APPROVED)
        } else {
            rig.agent.refuse(&hold)?;
            (EPERM, reason::HOLD_REFUSED)
        };
        let result = rig.alice.answer(&ticket, wait::SOON);
        let result = result.with_context(|| format!("pending: {:?}", rig.agent.pending()))?;
        let records: Vec<_> = rig.agent.records();
        let all: Vec<_> = records
            .iter()
            .map(|record| (record.hook, record.op, record.verdict, record.reason))
            .collect();
        ensure!(result == expected, "it gives {result}: {all:x?}");
        ensure!(written(path) == approved, "approved: {approved}");
        ensure!(of_hold(&records, hold.entry.hold) == (1, vec![outcome]));
        ensure!(records.len() == 2, "other records: {all:x?}");
    }
    Ok(())
}

fn written(path: &str) -> bool {
    fs::read(path).is_ok_and(|content| content.starts_with(b"after"))
}

fn free(_: &mut Ctx) -> Result<()> {
    with(|machine| {
        for (name, flags) in [
            ("above", 0),
            ("below", 0),
            ("above", libc::O_CREAT),
            ("new", libc::O_CREAT | libc::O_EXCL),
        ] {
            let path = format!("{MERGED}/free/{name}");
            let result = tell(machine, &path, flags)?;
            let records: Vec<_> = machine.agent.records();
            let all: Vec<_> = records
                .iter()
                .map(|record| (record.hook, record.op, record.verdict, record.reason))
                .collect();
            ensure!(
                result == WRITTEN && written(&path),
                "{name} with {flags:#o} gives {result}: {all:x?}"
            );
        }
        Ok(())
    })
}

fn creation(_: &mut Ctx) -> Result<()> {
    with(|machine| {
        for flags in [libc::O_CREAT, libc::O_CREAT | libc::O_EXCL] {
            let path = format!("{MERGED}/held/new-{flags}");
            one_question(machine, &path, flags, op::CREATE | op::WRITE)?;
        }
        Ok(())
    })
}

fn write(_: &mut Ctx) -> Result<()> {
    with(|machine| {
        for (name, flags) in [("above", 0), ("below", libc::O_CREAT)] {
            one_question(machine, &format!("{MERGED}/held/{name}"), flags, op::WRITE)?;
        }
        Ok(())
    })
}

fn through(_: &mut Ctx) -> Result<()> {
    with(|machine| {
        for (name, flags) in [("above", 0), ("new", libc::O_CREAT)] {
            let result = tell(machine, &format!("{MERGED}/denied/{name}"), flags)?;
            ensure!(result == EPERM, "{name} gives {result}");
            let reasons: Vec<u32> = machine
                .agent
                .records()
                .iter()
                .map(|record| record.reason)
                .collect();
            ensure!(reasons == [reason::RULE_DENY], "{name}: {reasons:?}");
        }
        let real = format!("{LAYERS}/upper/denied");
        ensure!(fs::read_to_string(format!("{real}/above"))? == "before");
        ensure!(!Path::new(&real).join("new").exists());
        Ok(())
    })
}

fn other_operations(_: &mut Ctx) -> Result<()> {
    with(|machine| {
        for words in [
            "open|open|PATH|0|0",
            "call|unlink|PATH",
            "call|rename|PATH|/srv/merged/free/moved",
            "call|rename|/srv/merged/free/above|PATH",
        ] {
            machine.denied(
                &words.replace("PATH", &format!("{MERGED}/kept/above")),
                reason::RULE_DENY,
            )?;
            let free = words.replace("PATH", &format!("{MERGED}/free/below"));
            let result = machine.alice.tell(&free)?;
            let missing = result == -Ret::from(libc::ENOENT); // an earlier one took it away
            ensure!(
                result == 0 || missing,
                "`{free}` gives {result}: this shows nothing"
            );
        }
        ensure!(fs::read_to_string(format!("{LAYERS}/upper/kept/above"))? == "before");
        Ok(())
    })
}

/// The overlay's file is another object; the one underneath is what runs. Nobody is asked about that one.
fn program(_: &mut Ctx) -> Result<()> {
    with(|machine| {
        for (layer, name, why) in PROGRAMS {
            let words = format!("exec|fork|{MERGED}/free/{name}");
            if let Some(reason) = why {
                machine.denied(&words, reason)?;
            } else {
                let result = machine.alice.tell(&words)?;
                ensure!(result == Ret::from(CODE), "{layer}/{name} gives {result}");
            }
        }
        Ok(())
    })
}
