//! Tests of installing, on maps in memory, a file system in memory, and the kernel's own automaton over the rows.

mod disk;
mod grants;
mod installing;
mod keeping;
mod meeting;
mod open_names;
mod programs;
mod relabelling;
mod scheduling;
mod shared;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use stayhand_guardrail::{
    id::{Generation, Revision},
    policy::{Versioned, compile, parse},
    time::UnixMs,
};

use super::{super::settings::Secret, Desired, Installer};
use disk::Disk;
use shared::Maps;

use crate::clock::Now;

const SECRET: [u64; 2] = [0x1234, 0x5678];
/// The subject that every policy here guards.
const ALICE: u32 = 1001;

/// A policy with these rules, one line each, and a permission to write below `/srv/prod`.
fn desired(generation: u64, rules: &[&str]) -> Desired {
    desired_with(generation, &["/srv/prod/**"], rules)
}

/// The same with a permission to write to these paths.
fn desired_with(generation: u64, permission: &[&str], rules: &[&str]) -> Desired {
    let permission = permission.join(", ");
    let rules = rules
        .iter()
        .fold(String::new(), |text, rule| text + "    - " + rule + "\n");
    let source = format!(
        "apiVersion: stayhand/v1\nkind: Policy\nmetadata: {{ name: p }}\nspec:\n  mode: enforce\n  \
         subjects: {{ users: [alice] }}\n  permissions:\n    prod: {{ file: {{ ops: [write], path: [{permission}] }} }}\n  rules:\n{rules}"
    );
    let policy = parse(&source).unwrap_or_else(|found| panic!("{found:?}\n{source}"));
    let image = compile(&[Versioned {
        revision: Revision(1),
        policy,
    }])
    .unwrap();
    Desired {
        generation: Generation(generation),
        image: Arc::new(image),
        subjects: BTreeMap::from([(ALICE, 1), (1002, 0)]),
        services: BTreeSet::new(),
        leases: Vec::new(),
        fresh_for: None,
    }
}

fn deny(id: &str, path: &str) -> String {
    format!("{{ id: {id}, effect: deny, exec: {{ path: {path} }} }}")
}

fn installer(maps: &Maps, disk: &Disk) -> Installer {
    installer_at(maps, disk, || NOW)
}

/// Both clocks of the kernel began at the beginning of a day.
const NOW: Now = Now {
    boot_ns: 5_000_000_000,
    tai_ns: 5_000_000_000,
    unix: UnixMs(20_000 * 86_400_000 + 5_000),
};

fn installer_at(maps: &Maps, disk: &Disk, clocks: impl Fn() -> Now + Send + 'static) -> Installer {
    let (identify, mounts) = (disk.clone(), disk.clone());
    let read = Box::new(move || Ok(mounts.mounts()));
    Installer::with(
        maps.tables(),
        Box::new(identify),
        read,
        Box::new(clocks),
        Secret::known(SECRET),
        Duration::ZERO,
    )
    .unwrap()
}
