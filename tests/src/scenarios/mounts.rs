//! What is mounted where, by the old call and by the new ones: denied, held, granted or not noticed by the rules of the
//! place; and ways around such rules.

use std::{fs, path::Path};

use anyhow::{Result, ensure};
use nix::mount::{MntFlags, umount2};
use stayhand_agent_ebpf::abi::code::reason;

use crate::{
    actors::{
        memory::Memory,
        subjects::{self, PLACES},
        sys::{EPERM, Ret},
    },
    scenario::{Ctx, LIMIT_LONG, Scenario},
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("mounts_are_denied_at_the_places_of_a_rule", denied)
        .group("system")
        .limit(LIMIT_LONG),
    Scenario::new("mounts_elsewhere_are_not_noticed", unnoticed).group("system"),
    Scenario::new(
        "mounts_go_on_with_a_grant_on_their_place_and_not_without",
        granted,
    )
    .group("system"),
    Scenario::new("held_mounts_have_no_effect", held).group("system"),
    Scenario::new("held_umount_has_no_effect", held_umount).group("system"),
    Scenario::new(
        "an_approval_of_a_mount_does_not_serve_another_source_or_kind",
        changed,
    )
    .group("system"),
    Scenario::new("new_calls_for_mounts_are_no_way_around", new_calls).group("system"),
    Scenario::new(
        "a_namespace_of_ones_own_is_no_way_around_the_rules_on_mounts",
        namespace,
    )
    .group("system"),
    Scenario::new(
        "a_protected_directory_stays_protected_where_it_is_bound",
        bound,
    )
    .group("system"),
];

/// `CLONE_NEWUSER | CLONE_NEWNS`
const OWN_NAMESPACES: &str = "unshare|268566528";

fn is_mounted(path: &str) -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mounts
        .lines()
        .any(|line| line.split(' ').nth(4) == Some(path))
}

fn unmount(path: &str) {
    while is_mounted(path) && umount2(path, MntFlags::MNT_DETACH).is_ok() {}
}

/// Every way to mount or change something at a place, and where it shows.
fn ways(place: &str) -> Vec<(String, String)> {
    let at = |name: &str| format!("{PLACES}/{place}/{name}");
    let (empty, full, free) = (at("empty"), at("full"), format!("{PLACES}/free"));
    vec![
        (format!("tmpfs|{empty}"), empty.clone()),
        (format!("bind|{free}/other|{empty}"), empty.clone()),
        (format!("new-mount|{empty}"), empty.clone()),
        (format!("clone-tree|{free}/other|{empty}"), empty),
        (format!("remount|{full}"), String::new()),
        (format!("propagation|{full}"), String::new()),
    ]
}

fn denied(_: &mut Ctx) -> Result<()> {
    subjects::with(|machine| {
        for (words, shows) in ways("denied") {
            machine.denied("dave", &words, reason::RULE_DENY)?;
            ensure!(!is_mounted(&shows), "`{words}` is denied, and mounted");
        }
        let (full, empty) = (
            format!("{PLACES}/denied/full"),
            format!("{PLACES}/denied/empty"),
        );
        for words in [
            format!("umount|{full}"),
            format!("reconfigure|{full}"),
            format!("move|{PLACES}/free/full2|{empty}"),
            format!("move-by-tree|{PLACES}/free/full2|{empty}"),
            format!("pivot|{PLACES}/free/full|{PLACES}/denied/empty"),
        ] {
            machine.denied("dave", &words, reason::RULE_DENY)?;
        }
        ensure!(is_mounted(&full) && !is_mounted(&empty), "denied, and done");
        Ok(())
    })
}

fn unnoticed(_: &mut Ctx) -> Result<()> {
    subjects::with(|machine| {
        for (words, shows) in ways("free") {
            machine.unnoticed("dave", &words, 0)?;
            unmount(&shows);
        }
        let (moved, there) = (
            format!("{PLACES}/free/full2"),
            format!("{PLACES}/free/empty"),
        );
        machine.unnoticed("dave", &format!("move|{moved}|{there}"), 0)?;
        machine.unnoticed("dave", &format!("move-by-tree|{there}|{moved}"), 0)?;
        Ok(())
    })
}

fn granted(_: &mut Ctx) -> Result<()> {
    subjects::with(|machine| {
        for (words, shows) in ways("vault") {
            machine.denied("dave", &words, reason::NO_GRANT)?;
            machine.granted("carol", &words, 0)?;
            unmount(&shows);
        }
        let full = format!("{PLACES}/vault/full2");
        machine.denied("dave", &format!("umount|{full}"), reason::NO_GRANT)?;
        machine.granted("carol", &format!("umount|{full}"), 0)
    })
}

fn held(_: &mut Ctx) -> Result<()> {
    subjects::with(|machine| {
        for (words, shows) in ways("held")
            .into_iter()
            .filter(|(_, shows)| !shows.is_empty())
        {
            let mounted = |_| is_mounted(&shows);
            machine.held_without_effect("dave", &words, &mounted, 0)?;
            unmount(&shows);
        }
        let full = format!("{PLACES}/held/full");
        let without_suid = |_| {
            let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
            let line = mounts
                .lines()
                .find(|line| line.split(' ').nth(4) == Some(&full));
            line.is_some_and(|line| line.contains("nosuid"))
        };
        machine.held_without_effect("dave", &format!("remount|{full}"), &without_suid, 0)?;
        // Its context is of no use after an error.
        machine.denied(
            "dave",
            &format!("reconfigure|{full}"),
            reason::HOLD_UNAVAILABLE,
        )
    })
}

fn held_umount(_: &mut Ctx) -> Result<()> {
    subjects::with(|machine| {
        let full = format!("{PLACES}/held/full2");
        let gone = |_| !is_mounted(&full);
        machine.held_without_effect("dave", &format!("umount|{full}"), &gone, 0)
    })
}

/// Nothing that `fsopen`, `fsmount` and `open_tree` make is anywhere before `move_mount` puts it there.
fn new_calls(_: &mut Ctx) -> Result<()> {
    subjects::with(|machine| {
        let empty = format!("{PLACES}/denied/empty");
        for words in [
            format!("new-mount|{empty}"),
            format!("clone-tree|{PLACES}/secret|{empty}"),
        ] {
            machine.denied("dave", &words, reason::RULE_DENY)?;
            ensure!(!is_mounted(&empty), "`{words}` is mounted");
        }
        Ok(())
    })
}

/// An unprivileged person who is root in a user namespace of her own.
fn namespace(_: &mut Ctx) -> Result<()> {
    subjects::with(|machine| {
        let empty = format!("{PLACES}/denied/empty");
        let dave = machine.fresh("dave", 1004)?;
        let unshared = dave.tell(OWN_NAMESPACES)?;
        ensure!(unshared == 0, "no namespace: {unshared}");
        let (denied, free) = (
            dave.tell(&format!("tmpfs|{empty}"))?,
            dave.tell(&format!("tmpfs|{PLACES}/free/empty"))?,
        );
        machine.fresh("dave", 0)?;
        ensure!(
            denied == EPERM && free == 0,
            "{denied}, and elsewhere {free}"
        );
        let alice = machine.fresh("alice", 1001)?;
        let unshared = alice.tell(OWN_NAMESPACES)?;
        machine.fresh("alice", 0)?;
        ensure!(unshared == EPERM, "a namespace is made: {unshared}");
        Ok(())
    })
}

/// Shown at a second place, a protected directory is the same directory.
fn bound(_: &mut Ctx) -> Result<()> {
    subjects::with(|machine| {
        let (secret, shown) = (format!("{PLACES}/secret"), format!("{PLACES}/free/empty"));
        for verb in ["bind", "clone-tree"] {
            machine.unnoticed("dave", &format!("{verb}|{secret}|{shown}"), 0)?;
            let (result, _) = machine.tell("dave", &format!("open|open|{shown}/f|0|0"))?;
            unmount(&shown);
            ensure!(result == EPERM as Ret, "{verb} opens it: {result}");
        }
        ensure!(Path::new(&secret).exists());
        Ok(())
    })
}

/// Source and type are in memory, which somebody else may change while the call waits.
fn changed(_: &mut Ctx) -> Result<()> {
    subjects::with(|machine| {
        let empty = format!("{PLACES}/held/empty");
        let (asked, other) = (
            format!("{PLACES}/free/other"),
            format!("{PLACES}/free/empty"),
        );
        let held = machine.hold("dave", &format!("bind|{asked}|{empty}"))?;
        let memory = Memory::of(held.hold.entry.tgid)?;
        memory.replace(memory.argument(0)?, &asked, &other)?;
        machine.approved_in_vain("dave", &held)?;
        let held = machine.hold("dave", &format!("tmpfs|{empty}"))?;
        let memory = Memory::of(held.hold.entry.tgid)?;
        memory.replace(memory.argument(2)?, "tmpfs", "sysfs")?;
        machine.approved_in_vain("dave", &held)?;
        ensure!(!is_mounted(&empty), "something is mounted");
        Ok(())
    })
}
