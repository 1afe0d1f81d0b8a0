//! The same properties on every kind of file system that this guest can make: rules hold by identity and by name, through
//! second mounts and renames, and a held call goes on. docs/filesystems.md is made from these tables.

use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::mount::{MsFlags, mount};
use stayhand_agent_ebpf::abi::code::reason;

use super::places;
use crate::{
    actors::{
        client::ALICE,
        elf,
        rig::{PROGRAM_CODE, Rig, write_executable},
        sys::EPERM,
    },
    host::Config,
    process,
    scenario::{Ctx, LIMIT_LONG, Need, Scenario, load_module},
    wait,
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    kind("rules_hold_on_tmpfs", &[], |_| on("tmpfs")),
    kind("rules_hold_on_ext4", DISKS, |_| on("ext4")),
    kind("rules_hold_on_xfs", DISKS, |_| on("xfs")),
    kind("rules_hold_on_btrfs", DISKS, |_| on("btrfs")),
    kind("rules_hold_on_a_btrfs_subvolume", DISKS, |_| {
        on("subvolume")
    }),
    kind(
        "a_snapshot_keeps_the_rules_of_what_it_was_made_of",
        DISKS,
        snapshot,
    ),
];

const DISKS: &[Need] = &[
    Need::Module("loop"),
    Need::Module("btrfs"),
    Need::Module("xfs"),
];

const fn kind(
    name: &'static str,
    needs: &'static [Need],
    run: fn(&mut Ctx) -> Result<()>,
) -> Scenario {
    Scenario::new(name, run)
        .needs(needs)
        .group("filesystems")
        .limit(LIMIT_LONG)
}

/// A kind of file system.
pub struct Kind {
    /// Its place below [`ROOT`]
    pub name: &'static str,
    /// The scenario
    #[cfg_attr(not(test), expect(dead_code, reason = "for the document"))]
    pub scenario: &'static str,
    /// How its objects are known
    #[cfg_attr(not(test), expect(dead_code, reason = "for the document"))]
    pub known_by: &'static str,
}

/// Those that are made here. In the order of the document.
pub const KINDS: &[Kind] = &[
    Kind {
        name: "tmpfs",
        scenario: "rules_hold_on_tmpfs",
        known_by: "device, number (never given again), random generation",
    },
    Kind {
        name: "ext4",
        scenario: "rules_hold_on_ext4",
        known_by: "device, number, random generation",
    },
    Kind {
        name: "xfs",
        scenario: "rules_hold_on_xfs",
        known_by: "device, number, generation that grows with each use of the number",
    },
    Kind {
        name: "btrfs",
        scenario: "rules_hold_on_btrfs",
        known_by: "device, number (never given again in its subvolume), transaction",
    },
    Kind {
        name: "subvolume",
        scenario: "rules_hold_on_a_btrfs_subvolume",
        known_by: "as btrfs: subvolumes and snapshots share device and numbers",
    },
];

type Show = fn(&mut Rig, &Kind) -> Result<()>;

/// What each of them shows.
pub const PROPERTIES: &[(&str, Show)] = &[
    (
        "an existing file below a denied directory is not written",
        existing,
    ),
    ("a new file below it is not made", made),
    ("a second mount of it changes nothing", bound),
    (
        "renamed, it stays denied, and so does what takes its name",
        renamed,
    ),
    ("a denied program does not run by a second name", linked),
    (
        "a directory that is known to meet no rule is denied at once when it is moved below it",
        moved,
    ),
    (
        "a held write has no effect before its approval and the right one after",
        held,
    ),
];

const ROOT: &str = "/srv/fs";
/// Of each file system, sparse: xfs takes no less.
const IMAGE_BYTES: u64 = 320 << 20;

fn machine() -> Result<Rig> {
    fs::create_dir_all(ROOT)?;
    let none: Option<&str> = None;
    // On it, so that everything ends with it.
    mount(none, ROOT, Some("tmpfs"), MsFlags::empty(), none)?;
    let has_disks = DISKS.iter().all(|need| need.unmet().is_none());
    if has_disks {
        modules()?;
    }
    let mut rules = String::new();
    for Kind { name, .. } in KINDS {
        if !has_disks && *name != "tmpfs" {
            continue;
        }
        let place = format!("{ROOT}/{name}");
        fs::create_dir_all(&place)?;
        match *name {
            "tmpfs" => {}
            "subvolume" => {
                // Below the file system that was mounted before it.
                fs::remove_dir(&place)?;
                run(
                    "btrfs",
                    &["subvolume", "create", &format!("{ROOT}/btrfs/volume")],
                )?;
                std::os::unix::fs::symlink(format!("{ROOT}/btrfs/volume"), &place)?;
            }
            _ => disk(name, &place)?,
        }
        let real = fs::canonicalize(&place)?;
        let real = real.to_str().context("no text")?;
        for directory in ["denied", "held", "free", "bin"] {
            let path = format!("{real}/{directory}");
            fs::create_dir_all(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o777))?;
        }
        write_executable(
            &format!("{real}/bin/denied"),
            &elf::exit64(u8::try_from(PROGRAM_CODE)?),
        )?;
        // Writing to a string cannot fail.
        write!(
            rules,
            "    - {{ id: {name}-denied, effect: deny, file: {{ ops: [write, create], path: {real}/denied/** }} }}\n    \
             - {{ id: {name}-held, effect: hold, file: {{ ops: [write, create], path: {real}/held/** }}, timeout: 10m }}\n    \
             - {{ id: {name}-program, effect: deny, exec: {{ path: {real}/bin/denied }} }}\n"
        ).ok();
    }
    let policy = format!(
        "apiVersion: stayhand/v1\nkind: Policy\nmetadata: {{ name: filesystems }}\nspec:\n  \
         subjects: {{ users: [alice] }}\n  rules:\n{rules}"
    );
    Rig::start(&Config::policy(&policy), ALICE)
}

/// Loads what file systems on files need, where it is a module.
pub fn modules() -> Result<()> {
    for module in [
        "loop",
        "libcrc32c",
        "xor",
        "raid6_pq",
        "blake2b_generic",
        "zstd_compress",
        "btrfs",
        "xfs",
    ] {
        if crate::scenario::module(module).is_some() {
            load_module(module)?;
        }
    }
    Ok(())
}

/// A file system of its own on a file beside the place.
pub fn disk(kind: &str, place: &str) -> Result<()> {
    let image = format!("{place}.image");
    fs::File::create(&image)?.set_len(IMAGE_BYTES)?;
    let make = format!("mkfs.{kind}");
    let flags: &[&str] = if kind == "ext4" {
        &["-q", "-F"]
    } else {
        &["-q"]
    };
    run(&make, &[flags, &[&image]].concat())?;
    mounted(kind, place)
}

/// Mounts it.
pub fn mounted(kind: &str, place: &str) -> Result<()> {
    let image = format!("{place}.image");
    run("mount", &["-t", kind, "-o", "loop", &image, place])
}

fn run(program: &str, words: &[&str]) -> Result<()> {
    process::run(Command::new(program).args(words), wait::LONG)?.ok()?;
    Ok(())
}

fn with(run: impl FnOnce(&mut Rig) -> Result<()>) -> Result<()> {
    static RIG: Mutex<Option<Rig>> = Mutex::new(None);
    let mut place = RIG.lock().unwrap_or_else(PoisonError::into_inner);
    let mut rig = match place.take() {
        Some(rig) => rig,
        None => machine()?,
    };
    run(&mut rig)?;
    rig.agent.clear().context("left behind")?;
    drop(rig.agent.records());
    *place = Some(rig);
    Ok(())
}

/// Every property on one kind.
fn on(name: &str) -> Result<()> {
    let Some(kind) = KINDS.iter().find(|kind| kind.name == name) else {
        bail!("no kind `{name}`");
    };
    with(|rig| {
        for (property, show) in PROPERTIES {
            show(rig, kind).with_context(|| format!("{property}, on {name}"))?;
        }
        Ok(())
    })
}

/// Where it really is.
fn place(kind: &Kind) -> Result<String> {
    let real = fs::canonicalize(format!("{ROOT}/{}", kind.name))?;
    Ok(real.to_str().context("no text")?.to_owned())
}

/// A file with known content that everybody may write to.
fn file(path: &str) -> Result<()> {
    fs::write(path, "before")?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
    Ok(())
}

fn is_untouched(path: &str) -> bool {
    fs::read(path).is_ok_and(|content| content == b"before")
}

fn writing(path: &str) -> String {
    format!("open|open|{path}|{}|0|after", libc::O_WRONLY)
}

fn is_denied(rig: &mut Rig, path: &str) -> Result<()> {
    rig.denied(&writing(path), reason::RULE_DENY)
        .with_context(|| path.to_owned())
}

fn existing(rig: &mut Rig, kind: &Kind) -> Result<()> {
    let path = format!("{}/denied/f", place(kind)?);
    file(&path)?;
    is_denied(rig, &path)?;
    ensure!(is_untouched(&path), "it was written");
    Ok(())
}

fn made(rig: &mut Rig, kind: &Kind) -> Result<()> {
    let path = format!("{}/denied/new", place(kind)?);
    let flags = libc::O_WRONLY | libc::O_CREAT;
    let result = rig
        .alice
        .tell(&format!("open|open|{path}|{flags}|420|after"))?;
    ensure!(result == EPERM && !Path::new(&path).exists(), "{result}");
    Ok(())
}

fn bound(rig: &mut Rig, kind: &Kind) -> Result<()> {
    let (denied, view) = (
        format!("{}/denied", place(kind)?),
        format!("{}/free/view", place(kind)?),
    );
    file(&format!("{denied}/f"))?;
    fs::create_dir_all(&view)?;
    let none: Option<&str> = None;
    mount(
        Some(denied.as_str()),
        view.as_str(),
        none,
        MsFlags::MS_BIND,
        none,
    )?;
    let result = is_denied(rig, &format!("{view}/f"));
    nix::mount::umount(view.as_str())?;
    fs::remove_dir(&view)?;
    result
}

fn renamed(rig: &mut Rig, kind: &Kind) -> Result<()> {
    let place = place(kind)?;
    let (denied, away) = (format!("{place}/denied"), format!("{place}/free/away"));
    file(&format!("{denied}/f"))?;
    fs::rename(&denied, &away)?;
    fs::create_dir(&denied)?;
    fs::set_permissions(&denied, fs::Permissions::from_mode(0o777))?;
    file(&format!("{denied}/f"))?;
    let results = [
        is_denied(rig, &format!("{away}/f")),
        is_denied(rig, &format!("{denied}/f")),
    ];
    fs::remove_dir_all(&denied)?;
    fs::rename(&away, &denied)?;
    results.into_iter().collect()
}

fn linked(rig: &mut Rig, kind: &Kind) -> Result<()> {
    let place = place(kind)?;
    let link = format!("{place}/free/other-name");
    fs::hard_link(format!("{place}/bin/denied"), &link)?;
    let result = rig.denied(&format!("exec|fork|{link}"), reason::RULE_DENY);
    fs::remove_file(&link)?;
    result
}

fn moved(rig: &mut Rig, kind: &Kind) -> Result<()> {
    let place = place(kind)?;
    let (free, denied) = (
        format!("{place}/free/known"),
        format!("{place}/denied/known"),
    );
    fs::create_dir_all(&free)?;
    file(&format!("{free}/f"))?;
    places::known(&mut rig.alice, &format!("{free}/f"))?;
    fs::rename(&free, &denied)?;
    let result = is_denied(rig, &format!("{denied}/f"));
    fs::remove_dir_all(&denied)?;
    result
}

fn held(rig: &mut Rig, kind: &Kind) -> Result<()> {
    let path = format!("{}/held/f", place(kind)?);
    file(&path)?;
    rig.held_without_effect(&writing(&path), &|| !is_untouched(&path), 5)
}

/// Its directories have the numbers of those it was made of.
fn snapshot(_: &mut Ctx) -> Result<()> {
    with(|rig| {
        let (volume, copy) = (format!("{ROOT}/btrfs/volume"), format!("{ROOT}/btrfs/copy"));
        file(&format!("{volume}/denied/f"))?;
        file(&format!("{volume}/free/f"))?;
        run("btrfs", &["subvolume", "snapshot", &volume, &copy])?;
        is_denied(rig, &format!("{copy}/denied/f"))?;
        let free = rig.alice.tell(&writing(&format!("{copy}/free/f")))?;
        ensure!(free >= 0, "what no rule names gives {free}");
        Ok(())
    })
}
