//! Every call on files that can be held (docs/hold.md), one scenario each: no effect before the approval, stopped
//! again by stray `SIGCONT`, `EPERM` after a refusal, the right result after an approval, and one question about
//! what has two ends.

use std::{
    fs,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, chown},
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};

use crate::{
    actors::{
        client::{ALICE, ALICE_ROOT, Puppet},
        rig::{self, WORK},
        sys::{self, Ret, c},
    },
    scenario::{Ctx, Scenario},
};

/// Where everything but reading and executing is held.
const KEPT: &str = "/srv/work/kept";
/// What `kept` has for every scenario: two files, a directory with nothing in it.
const FILES: [&str; 2] = ["a", "b"];
const CONTENT: &str = "before";
/// Alice, and a group of hers.
const UID: u32 = 1001;
const GROUP: u32 = 2001;
/// An extended attribute of file `a`, and an access list that says what its mode says and names one user more.
const ATTRIBUTE: &str = "trusted.stayhand";
const ACCESS: &str = "system.posix_acl_access";
const ACCESS_LIST: &[u32] = &[
    2, // version; then tag, permissions (16 bits each) and id
    0x0006_0001,
    u32::MAX, // owner
    0x0004_0002,
    1002, // a user
    0x0004_0004,
    u32::MAX, // group
    0x0004_0010,
    u32::MAX, // mask
    0x0004_0020,
    u32::MAX, // others
];

/// One call, and how to see that it had its effect.
struct Case {
    /// Arguments of verb `call`, with `K` for the held directory
    words: &'static str,
    effect: fn() -> bool,
    /// Whether it takes root
    root: bool,
}

const fn by_alice(words: &'static str, effect: fn() -> bool) -> Case {
    Case {
        words,
        effect,
        root: false,
    }
}

const fn by_root(words: &'static str, effect: fn() -> bool) -> Case {
    Case {
        words,
        effect,
        root: true,
    }
}

/// Scenarios by name, each one case.
macro_rules! cases {
    ($($name:literal: $case:expr;)*) => {
        &[$(Scenario::new($name, |_: &mut Ctx| held(&$case)).group("kernel")),*]
    };
}

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = cases! {
    "held_rename_has_no_effect": by_alice("rename|K/a|K/new", moved);
    "held_rename_over_a_file_has_no_effect": by_alice("rename|K/a|K/b", || gone("a"));
    "held_rename_into_a_directory_has_no_effect": by_alice("rename|/srv/work/free/a|K/new", || there("new"));
    "held_rename_out_of_a_directory_has_no_effect": by_alice("rename|K/a|/srv/work/free/new", || gone("a"));
    "held_renameat_has_no_effect": by_alice("renameat|dir:K|=a|dir:K|=new", moved);
    "held_renameat2_has_no_effect": by_alice("renameat2|dir:K|=a|dir:K|=new|0", moved);
    "held_renameat2_without_replacing_has_no_effect": by_alice("renameat2|dir:K|=a|dir:K|=new|1", moved);
    "held_rename_of_a_directory_has_no_effect": by_alice("rename|K/d|K/new", || gone("d") && there("new"));
    "held_mkdir_has_no_effect": by_alice("mkdir|K/new|448", || there("new"));
    "held_mkdirat_has_no_effect": by_alice("mkdirat|dir:K|=new|448", || there("new"));
    "held_rmdir_has_no_effect": by_alice("rmdir|K/d", || gone("d"));
    "held_unlinkat_of_a_directory_has_no_effect": by_alice("unlinkat|dir:K|=d|512", || gone("d"));
    "held_unlink_has_no_effect": by_alice("unlink|K/a", || gone("a"));
    "held_unlinkat_has_no_effect": by_alice("unlinkat|dir:K|=a|0", || gone("a"));
    "held_link_has_no_effect": by_alice("link|K/a|K/new", || there("new"));
    "held_link_into_a_directory_has_no_effect": by_alice("link|/srv/work/free/a|K/new", || there("new"));
    "held_link_out_of_a_directory_has_no_effect": by_alice("link|K/a|/srv/work/free/new", || exists("/srv/work/free/new"));
    "held_linkat_has_no_effect": by_alice("linkat|dir:K|=a|dir:K|=new|0", || there("new"));
    "held_symlink_has_no_effect": by_alice("symlink|=target|K/new", || there("new"));
    "held_symlinkat_has_no_effect": by_alice("symlinkat|=target|dir:K|=new", || there("new"));
    "held_mknod_has_no_effect": by_alice("mknod|K/new|4516|0", is_pipe);
    "held_mknodat_has_no_effect": by_alice("mknodat|dir:K|=new|4516|0", is_pipe);
    "held_mknod_of_a_regular_file_has_no_effect": by_alice("mknod|K/new|33188|0", || there("new"));
    "held_mknod_of_a_device_has_no_effect": by_root("mknod|K/new|8612|259", || there("new"));
    "held_bind_of_a_unix_socket_has_no_effect": by_alice("bind|unix|unix:K/new|110", || there("new"));
    "held_truncate_has_no_effect": by_alice("truncate|K/a|1", || of("a").is_some_and(|a| a.len() == 1));
    "held_chmod_has_no_effect": by_alice("chmod|K/a|448", other_mode);
    "held_fchmod_has_no_effect": by_alice("fchmod|fd:K/a|448", other_mode);
    "held_fchmodat_has_no_effect": by_alice("fchmodat|dir:K|=a|448", other_mode);
    "held_chown_has_no_effect": by_alice("chown|K/a|-1|2001", other_group);
    "held_fchown_has_no_effect": by_alice("fchown|fd:K/a|-1|2001", other_group);
    "held_lchown_has_no_effect": by_alice("lchown|K/a|-1|2001", other_group);
    "held_fchownat_has_no_effect": by_alice("fchownat|dir:K|=a|-1|2001|0", other_group);
    "held_change_of_owner_by_root_has_no_effect": by_root("chown|K/a|0|0", || of("a").is_some_and(|a| a.uid() == 0));
    "held_utimensat_has_no_effect": by_alice("utimensat|dir:K|=a|w:7,0,7,0|0", || of("a").is_some_and(|a| a.mtime() == 7));
    "held_removexattr_has_no_effect": by_root("removexattr|K/a|=trusted.stayhand", || !has(ATTRIBUTE));
    "held_lremovexattr_has_no_effect": by_root("lremovexattr|K/a|=trusted.stayhand", || !has(ATTRIBUTE));
    "held_fremovexattr_has_no_effect": by_root("fremovexattr|fd:K/a|=trusted.stayhand", || !has(ATTRIBUTE));
    "held_removal_of_an_access_list_has_no_effect": by_alice("removexattr|K/a|=system.posix_acl_access", || !has(ACCESS));
};

fn held(case: &Case) -> Result<()> {
    rig::with(|rig| {
        places()?;
        if case.root {
            rig.alice = Puppet::start(ALICE_ROOT)?;
        }
        let words = format!("call|{}", case.words.replace('K', KEPT));
        let shown = rig.held_without_effect(&words, &case.effect, 0);
        if case.root {
            rig.alice = Puppet::start(ALICE)?;
        }
        places()?;
        shown
    })
}

/// The held directory, and a free one beside it, as every scenario finds and leaves them.
fn places() -> Result<()> {
    for directory in [KEPT, "/srv/work/free"] {
        rig::empty(directory)?;
        for name in FILES {
            let path = Path::new(directory).join(name);
            fs::write(&path, CONTENT)?;
            chown(&path, Some(UID), Some(UID))?;
        }
    }
    fs::create_dir(in_kept("d"))?;
    chown(in_kept("d"), Some(UID), Some(UID))?;
    let list: Vec<u8> = ACCESS_LIST
        .iter()
        .flat_map(|word| word.to_ne_bytes())
        .collect();
    for (name, value) in [(ATTRIBUTE, b"value".as_slice()), (ACCESS, &list)] {
        let set = sys::set_attribute(&c(&format!("{KEPT}/a")), &c(name), value);
        ensure!(set == 0, "cannot set {name}: {set}");
    }
    Ok(())
}

fn in_kept(name: &str) -> PathBuf {
    Path::new(WORK).join("kept").join(name)
}

fn of(name: &str) -> Option<fs::Metadata> {
    fs::symlink_metadata(in_kept(name)).ok()
}

fn exists(path: &str) -> bool {
    fs::symlink_metadata(path).is_ok()
}

fn there(name: &str) -> bool {
    of(name).is_some()
}

fn gone(name: &str) -> bool {
    !there(name)
}

fn moved() -> bool {
    gone("a") && there("new")
}

fn is_pipe() -> bool {
    of("new").is_some_and(|made| made.file_type().is_fifo())
}

fn other_mode() -> bool {
    of("a").is_some_and(|a| a.mode() & 0o7777 == 0o700)
}

fn other_group() -> bool {
    of("a").is_some_and(|a| a.gid() == GROUP)
}

fn has(attribute: &str) -> bool {
    let found: Ret = sys::attribute_len(&c(&format!("{KEPT}/a")), &c(attribute));
    found > 0
}
