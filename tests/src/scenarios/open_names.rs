//! Open components of paths (`app-*.log`): what is there, what is not there yet, what takes a name's place, and what is
//! moved away; names that patterns do not mean stay free.

use std::fs;

use anyhow::{Result, ensure};
use stayhand_agent_ebpf::abi::code::reason;

use super::places::known;
use crate::{
    actors::rig::{self, Rig, WORK, changed, file},
    scenario::{Ctx, Scenario},
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("a_new_name_that_a_pattern_means_is_denied", new_names).group("kernel"),
    Scenario::new("a_name_that_no_pattern_means_is_free", other_names).group("kernel"),
    Scenario::new(
        "a_directory_that_a_pattern_means_is_denied_from_when_it_is_made",
        new_directory,
    )
    .group("kernel"),
    Scenario::new(
        "a_file_renamed_to_a_name_that_a_pattern_means_is_denied",
        renamed,
    )
    .group("kernel"),
    Scenario::new(
        "a_file_that_a_pattern_meant_is_denied_under_every_other_name",
        moved_away,
    )
    .group("kernel"),
    Scenario::new("a_known_directory_forgets_no_pattern", in_a_known_directory).group("kernel"),
];

fn path(name: &str) -> String {
    format!("{WORK}/open/{name}")
}

fn creating(name: &str) -> String {
    let flags = libc::O_CREAT | libc::O_WRONLY;
    format!("open|open|{}|{flags}|420|made", path(name))
}

fn writing(path: &str) -> String {
    format!("open|open|{path}|{}|0|after", libc::O_WRONLY)
}

/// Alice can make it, and then it is taken away.
fn is_free(rig: &mut Rig, name: &str) -> Result<()> {
    let result = rig.alice.tell(&creating(name))?;
    ensure!(result >= 0, "making {name} gives {result}");
    fs::remove_file(path(name))?;
    Ok(())
}

fn is_denied(rig: &mut Rig, name: &str) -> Result<()> {
    rig.denied(&creating(name), reason::RULE_DENY)?;
    ensure!(fs::symlink_metadata(path(name)).is_err(), "{name} was made");
    Ok(())
}

fn new_names(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let longest = format!("app-{}.log", "x".repeat(247));
        for name in [
            "app-1.log",
            "app-.log",
            "x.pem",
            ".pem",
            "app-1.log.pem",
            "app-*.log",
            &longest,
        ] {
            is_denied(rig, name)?;
        }
        Ok(())
    })
}

fn other_names(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        for name in [
            "app.log",
            "app-log",
            "app-1.lo",
            "xapp-1.log",
            "app-1.log2",
            "pem",
            "App-1.log",
        ] {
            is_free(rig, name)?;
        }
        Ok(())
    })
}

fn new_directory(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        for words in [
            format!("mkdir|{}", path("new")),
            format!("mkdir|{}", path("new/secret")),
        ] {
            let result = rig.alice.tell(&words)?;
            ensure!(result >= 0, "`{words}` gives {result}");
        }
        let result = is_free(rig, "new/plain").and_then(|()| is_denied(rig, "new/secret/f"));
        fs::remove_dir_all(path("new"))?;
        result
    })
}

fn renamed(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let (from, to) = (file("free/renamed")?, path("app-2.log"));
        fs::rename(from, &to)?;
        let result = rig.denied(&writing(&to), reason::RULE_DENY);
        ensure!(!changed(&to), "it was written");
        fs::remove_file(to)?;
        result
    })
}

fn moved_away(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let (own, link) = (path("app-0.log"), format!("{WORK}/free/linked"));
        fs::hard_link(&own, &link)?;
        let linked = rig.denied(&writing(&link), reason::RULE_DENY);
        fs::remove_file(&link)?;
        let (inside, moved) = (path("team"), format!("{WORK}/free/team"));
        fs::rename(&inside, &moved)?;
        let away = rig.denied(&writing(&format!("{moved}/secret/f")), reason::RULE_DENY);
        fs::rename(&moved, &inside)?;
        ensure!(!changed(&own), "it was written");
        linked.and(away)
    })
}

fn in_a_known_directory(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let neighbour = file("open/neighbour")?;
        known(&mut rig.alice, &neighbour)?;
        let result = is_denied(rig, "app-3.log").and_then(|()| is_free(rig, "app-3.txt"));
        fs::remove_file(neighbour)?;
        result
    })
}
