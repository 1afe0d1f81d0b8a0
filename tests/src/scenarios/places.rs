//! What the kernel keeps of directories (agent-ebpf/src/places.rs) never hides an object from a rule: after a rename, a
//! new policy, by another name, with something new in it.

use std::{fs, os::unix::fs::MetadataExt as _};

use anyhow::{Context as _, Result, ensure};
use stayhand_agent_ebpf::abi::{
    code::reason,
    image::{ACTIVE_CHANGES, ACTIVE_IMAGE},
    place::{PLACES_MAX, Place},
};

use crate::{
    actors::{
        bpf::Map,
        client::{ALICE, Puppet},
        rig::{self, Rig, WORK, changed, file},
        sys::EPERM,
    },
    host::{Config, Host},
    scenario::{Ctx, Scenario},
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "a_known_directory_that_moves_below_a_denied_one_is_denied_at_once",
        moved,
    )
    .group("kernel"),
    Scenario::new(
        "a_directory_above_a_known_one_that_moves_is_noticed",
        moved_above,
    )
    .group("kernel"),
    Scenario::new(
        "a_denied_program_by_another_name_in_a_known_directory_is_denied",
        other_name,
    )
    .group("kernel"),
    Scenario::new(
        "what_a_known_directory_leads_to_is_denied_when_it_appears",
        appeared,
    )
    .group("kernel"),
    Scenario::new(
        "a_directory_that_its_file_system_looks_at_again_is_never_known",
        looked_at_again,
    )
    .group("kernel"),
    Scenario::new("a_directory_with_rules_below_is_never_known", with_rules).group("kernel"),
    Scenario::new("a_policy_names_a_known_directory", named_later),
];

/// Opens for writing.
fn write(path: &str) -> String {
    format!("open|open|{path}|{}|0|after", libc::O_WRONLY)
}

/// Alice opens the file for as long as it takes for its directory to be known: elsewhere in the machine something may
/// be renamed at this moment.
pub fn known(alice: &mut Puppet, path: &str) -> Result<()> {
    for _ in 0..100 {
        let result = alice.tell(&write(path))?;
        ensure!(result >= 0, "opening {path} gives {result}");
        if is_known(&directory_of(path)?)? {
            return Ok(());
        }
    }
    anyhow::bail!("the directory of {path} never gets known: this shows nothing")
}

fn directory_of(path: &str) -> Result<String> {
    let (directory, _) = path.rsplit_once('/').context("no directory")?;
    Ok(directory.to_owned())
}

/// Whether the kernel keeps a directory for the image that it has now.
pub fn is_known(directory: &str) -> Result<bool> {
    Ok(place_of(directory)?.is_some())
}

/// Where the kernel keeps a directory for the image that it has now.
pub fn place_of(directory: &str) -> Result<Option<u32>> {
    let (ino, dev) = (fs::metadata(directory)?.ino(), device_of(directory)?);
    let places = Map::<u32, Place>::open("PLACES")?;
    let active = Map::<u32, u64>::open("ACTIVE")?;
    let now = |index: u32| active.get(&index).context("ACTIVE");
    let (image, changes) = (now(ACTIVE_IMAGE)?, now(ACTIVE_CHANGES)?);
    Ok((0..PLACES_MAX).find(|index| {
        places.get(index).is_some_and(|place| {
            (place.directory.ino, place.directory.dev) == (ino, dev)
                && (place.directory.active, place.directory.changes) == (image, changes)
        })
    }))
}

/// `super_block.s_dev`, by the mount: `stat` shows another one for a subvolume of btrfs.
fn device_of(directory: &str) -> Result<u32> {
    let directory = fs::canonicalize(directory)?;
    let mounts = procfs::process::Process::myself()?.mountinfo()?;
    let on = mounts
        .into_iter()
        .filter(|mount| directory.starts_with(&mount.mount_point))
        // Of several at one place the last one is seen.
        .max_by_key(|mount| mount.mount_point.as_os_str().len())
        .context("no mount")?;
    let (major, minor) = on.majmin.split_once(':').context("majmin")?;
    Ok(major.parse::<u32>()? << 20 | minor.parse::<u32>()?)
}

fn moved(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let (free, denied) = (format!("{WORK}/free/known"), format!("{WORK}/denied/known"));
        fs::create_dir_all(&free)?;
        let path = file("free/known/f")?;
        known(&mut rig.alice, &path)?;
        fs::rename(&free, &denied)?;
        let real = file("denied/known/f")?;
        let there = rig.denied(&write(&real), reason::RULE_DENY);
        fs::rename(&denied, &free)?;
        let back = rig.alice.tell(&write(&path))?;
        fs::remove_dir_all(&free)?;
        ensure!(back >= 0, "back in its place it gives {back}");
        there
    })
}

fn moved_above(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let (free, denied) = (format!("{WORK}/free/top"), format!("{WORK}/denied/top"));
        fs::create_dir_all(format!("{free}/1/2"))?;
        let path = file("free/top/1/2/f")?;
        known(&mut rig.alice, &path)?;
        fs::rename(&free, &denied)?;
        let real = file("denied/top/1/2/f")?;
        let there = rig.denied(&write(&real), reason::RULE_DENY);
        let unchanged = !changed(&real);
        fs::remove_dir_all(&denied)?;
        ensure!(unchanged, "it had its effect");
        there
    })
}

fn other_name(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let neighbour = file("free/neighbour")?;
        known(&mut rig.alice, &neighbour)?;
        let link = format!("{WORK}/free/other-name");
        fs::hard_link(format!("{WORK}/bin/denied"), &link)?;
        let result = rig.denied(&format!("exec|fork|{link}"), reason::RULE_DENY);
        fs::remove_file(link)?;
        fs::remove_file(neighbour)?;
        result
    })
}

/// `/srv/work` leads to directories with rules and has none of its own.
fn appeared(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let neighbour = file("neighbour")?;
        known(&mut rig.alice, &neighbour)?;
        fs::create_dir_all(format!("{WORK}/later/than"))?;
        let above = file("later/f")?;
        known(&mut rig.alice, &above)?;
        fs::create_dir_all(format!("{WORK}/later/than/this"))?;
        let real = file("later/than/this/f")?;
        let result = rig.denied(&write(&real), reason::RULE_DENY);
        fs::remove_dir_all(format!("{WORK}/later"))?;
        fs::remove_file(neighbour)?;
        result
    })
}

/// Directories of /proc have no generation; those of /sys have one, but the file system looks at their names again.
fn looked_at_again(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        for path in ["/proc/sys/kernel/ostype", "/sys/kernel/uevent_seqnum"] {
            for _ in 0..3 {
                let result = rig
                    .alice
                    .tell(&format!("open|open|{path}|{}|0|", libc::O_RDONLY))?;
                ensure!(result >= 0, "opening {path} gives {result}");
            }
            let directory = directory_of(path)?;
            ensure!(!is_known(&directory)?, "{directory} is known");
        }
        Ok(())
    })
}

fn with_rules(_: &mut Ctx) -> Result<()> {
    rig::with(|rig: &mut Rig| {
        let path = file("seen/f")?;
        for _ in 0..3 {
            let result = rig.alice.tell(&write(&path))?;
            ensure!(result >= 0, "opening {path} gives {result}");
        }
        ensure!(!is_known(&format!("{WORK}/seen"))?, "it is known");
        drop(rig.agent.records());
        Ok(())
    })
}

fn denying(paths: &str) -> String {
    format!(
        "apiVersion: stayhand/v1\nkind: Policy\nmetadata: {{ name: later }}\nspec:\n  subjects: {{ users: [alice] }}\n  \
         rules:\n    - {{ id: first, effect: deny, file: {{ ops: [write, create], path: [{paths}] }} }}\n"
    )
}

fn named_later(_: &mut Ctx) -> Result<()> {
    rig::places()?;
    let path = file("free/f")?;
    let before = denying("/srv/work/denied/**");
    let after = denying("/srv/work/denied/**, /srv/work/free/**");
    let mut host = Host::boot(&Config::policy(&before))?;
    let mut alice = Puppet::start(ALICE)?;
    // Back and forth: an image comes again with other contents.
    for _ in 0..2 {
        known(&mut alice, &path)?;
        host.apply(&after)?;
        let result = alice.tell(&write(&path))?;
        ensure!(result == EPERM, "once a rule denies it, it gives {result}");
        host.apply(&before)?;
    }
    Ok(())
}
