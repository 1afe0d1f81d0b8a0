//! Ways around a protected directory that change no file by opening it: moving, linking, replacing, mapping. What is
//! in it stays as it is and where it is, and nothing comes in.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, chown},
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use stayhand_agent_ebpf::abi::code::{hook, reason, verdict};

use crate::{
    actors::{
        client::{ALICE, ALICE_ROOT, Puppet},
        rig::{self, DYNAMIC, Rig, WORK, changed, file},
        sys::Ret,
    },
    scenario::{Ctx, Scenario},
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("a_loader_does_not_run_a_denied_program", loader).group("kernel"),
    Scenario::new("no_way_of_mapping_makes_a_denied_file_executable", mappings).group("kernel"),
    Scenario::new("nothing_leaves_a_protected_directory", leaving).group("kernel"),
    Scenario::new("nothing_comes_into_a_protected_directory", coming).group("kernel"),
    Scenario::new("nothing_is_put_in_the_place_of_a_protected_file", replacing).group("kernel"),
    Scenario::new(
        "a_protected_file_is_not_exchanged_in_either_direction",
        exchanging,
    )
    .group("kernel"),
    Scenario::new("a_protected_file_is_not_truncated_by_name", truncating).group("kernel"),
    Scenario::new(
        "the_attributes_of_a_protected_file_do_not_change",
        attributes,
    )
    .group("kernel"),
    Scenario::new("reading_a_protected_file_by_any_call_is_denied", reading).group("kernel"),
    Scenario::new(
        "a_protected_directory_stays_protected_when_its_parent_is_moved",
        parent,
    )
    .group("kernel"),
];

/// Everything in it is denied.
const SHUT: &str = "/srv/work/shut";
/// Where the same calls go through, and what is outside of both.
const FREE: &str = "/srv/work/free/open";
const OUTSIDE: &str = "/srv/work/free/out";

/// Who acts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Alice,
    Root,
}

/// Calls that go through in a free directory (`S` among the words, `O` for the one outside) and are denied in the
/// protected one, whose content stays as it is.
fn denied_there(by: By, calls: &[&str]) -> Result<()> {
    rig::with(|rig| {
        if by == By::Root {
            rig.alice = Puppet::start(ALICE_ROOT)?;
        }
        for call in calls {
            one_denied_there(rig, call).with_context(|| (*call).to_owned())?;
        }
        rig.alice = Puppet::start(ALICE)?;
        Ok(())
    })
}

fn one_denied_there(rig: &mut Rig, call: &str) -> Result<()> {
    let words = |place: &str| {
        call.replace("S/", &format!("{place}/"))
            .replace("O/", &format!("{OUTSIDE}/"))
    };
    places()?;
    let result = rig.alice.tell(&words(FREE))?;
    ensure!(
        result >= 0,
        "in a free directory it gives {result}: this shows nothing"
    );
    places()?;
    let before = (content(SHUT)?, content(OUTSIDE)?);
    rig.denied(&words(SHUT), reason::RULE_DENY)?;
    let after = (content(SHUT)?, content(OUTSIDE)?);
    ensure!(before == after, "{before:?} became {after:?}");
    Ok(())
}

/// In each place alice's file `f` and directory `d`, and nothing else.
fn places() -> Result<()> {
    for directory in [SHUT, FREE, OUTSIDE] {
        fs::create_dir_all(directory)?;
        rig::empty(directory)?;
        fs::create_dir(format!("{directory}/d"))?;
        fs::write(format!("{directory}/f"), "before")?;
        for name in ["", "/f", "/d"] {
            chown(format!("{directory}{name}"), Some(1001), Some(1001))?;
        }
    }
    Ok(())
}

/// Everything about everything in a directory that a call could change.
fn content(directory: &str) -> Result<Vec<String>> {
    let mut all = vec![];
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let is = fs::symlink_metadata(&path)?;
        let who = (is.mode(), is.uid(), is.gid(), is.ino(), is.nlink());
        let text = fs::read_to_string(&path).unwrap_or_default();
        all.push(format!("{} {who:?} {} {text}", path.display(), is.mtime()));
    }
    all.sort();
    Ok(all)
}

fn leaving(_: &mut Ctx) -> Result<()> {
    let calls = [
        "call|unlink|S/f",
        "call|unlinkat|dir:S/.|=f|0",
        "call|rmdir|S/d",
        "call|unlinkat|-100|S/d|512",
        "call|rename|S/f|O/new",
        "call|renameat2|dir:S/.|=f|dir:O/.|=new|1",
        "call|rename|S/d|O/new",
        "call|rename|S/f|O/f",
        "call|link|S/f|O/new",
        "call|linkat|-100|name:S/f|-100|O/new|1024",
        "call32|38|S/f|O/new",
    ];
    denied_there(By::Alice, &calls)?;
    // By a descriptor alone, which takes a capability.
    denied_there(By::Root, &["call|linkat|dir:S/f|=|dir:O/.|=new|4096"])
}

fn coming(_: &mut Ctx) -> Result<()> {
    let calls = [
        "call|mkdir|S/new|511",
        "call|symlink|=/etc/shadow|S/new",
        "call|symlinkat|=/etc/shadow|dir:S/.|=new",
        "call|mknod|S/new|4516|0",
        "call|mknod|S/new|33188|0",
        "call|bind|unix|unix:S/new|110",
        "call|link|O/f|S/new",
        "call|linkat|-100|tmp:O/.|-100|S/new|1024",
        "call|rename|O/f|S/new",
        "call|rename|O/d|S/new",
        "call32|83|/etc/shadow|S/new",
        "open|open|S/new|65|420",
    ];
    denied_there(By::Alice, &calls)?;
    // A device of the disks' major number, and the null device.
    denied_there(
        By::Root,
        &[
            "call|mknod|S/new|24960|2048",
            "call|mknodat|dir:S/.|=new|8612|259",
        ],
    )
}

fn replacing(_: &mut Ctx) -> Result<()> {
    denied_there(
        By::Alice,
        &[
            "call|rename|O/f|S/f",
            "call|renameat2|-100|O/f|-100|S/f|0",
            "call|rename|O/d|S/d",
        ],
    )?;
    // Where nothing but writing and creating is denied, that is enough.
    rig::with(|rig| {
        let (real, other) = (file("denied/f")?, file("free/other")?);
        fs::write(&other, "after")?;
        rig.denied(&format!("rename|{other}|{real}"), reason::RULE_DENY)?;
        ensure!(!changed(&real) && changed(&other), "it was replaced");
        Ok(())
    })
}

fn exchanging(_: &mut Ctx) -> Result<()> {
    let calls = [
        "call|renameat2|-100|O/f|-100|S/f|2",
        "call|renameat2|-100|S/f|-100|O/f|2",
        "exchange|O/d|S/f",
    ];
    denied_there(By::Alice, &calls)?;
    rig::with(|rig| {
        let (real, other) = (file("denied/f")?, file("free/other")?);
        fs::write(&other, "after")?;
        for (one, with) in [(&real, &other), (&other, &real)] {
            rig.denied(&format!("exchange|{one}|{with}"), reason::RULE_DENY)?;
            ensure!(!changed(&real) && changed(&other), "they changed places");
        }
        Ok(())
    })
}

fn truncating(_: &mut Ctx) -> Result<()> {
    denied_there(
        By::Alice,
        &[
            "call|truncate|S/f|0",
            "call|truncate|S/f|9",
            "call|truncate|name:S/f|0",
            "call32|92|S/f|0",
        ],
    )
}

fn attributes(_: &mut Ctx) -> Result<()> {
    let calls = [
        "call|chmod|S/f|511",
        "call|chmod|S/d|511",
        "call|chmod|name:S/f|511",
        "call|fchmodat|dir:S/.|=f|511",
        "call|chown|S/f|-1|2001",
        "call|lchown|S/f|-1|2001",
        "call|fchownat|dir:S/f|=|-1|2001|4096",
        "call|utimensat|-100|S/f|w:7,0,7,0|0",
        "call|utimensat|-100|S/f|0|0",
        "call|utimes|S/f|w:7,0,7,0",
        "call|setxattr|S/f|=system.posix_acl_access|hex:0200000001000600ffffffff04000400ffffffff20000400ffffffff|28|0",
        "call32|15|S/f|511",
    ];
    denied_there(By::Alice, &calls)?;
    let calls = [
        "call|chown|S/f|0|0",
        "call|setxattr|S/f|=trusted.stayhand|=v|1|0",
        "call|lsetxattr|S/d|=security.stayhand|=v|1|0",
    ];
    denied_there(By::Root, &calls)
}

fn reading(_: &mut Ctx) -> Result<()> {
    let calls = [
        "open|open|S/f|0|0",
        "open|openat|S/f|0|0",
        "open|openat2|S/f|0|0",
        "open|descriptor|S/f|0|0",
        "open|open32|S/f|0|0",
        "open|open|S/d|65536|0",
        "uring|plain|S/f|0|0",
    ];
    denied_there(By::Alice, &calls)?;
    denied_there(By::Root, &["open|by-handle|S/f|0|0"])
}

/// `ld.so PROGRAM` reads the program and maps it by itself; `execve` never hears its name.
fn loader(_: &mut Ctx) -> Result<()> {
    const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";
    rig::with(|rig| {
        let free = rig.alice.tell(&format!("exec|fork|{LOADER}|{DYNAMIC}"))?;
        ensure!(free == 0, "a free program gives {free}: this shows nothing");
        drop(rig.agent.records());
        let denied = rig
            .alice
            .tell(&format!("exec|fork|{LOADER}|{WORK}/bin/dynamic"))?;
        ensure!(denied > 0, "the denied program gives {denied}");
        let records = rig.agent.records();
        let by_mapping = records.iter().filter(|record| {
            record.verdict == verdict::DENIED
                && record.reason == reason::RULE_DENY
                && record.hook == hook::MMAP_FILE
        });
        ensure!(
            by_mapping.count() == 1,
            "{} records, none of a mapping",
            records.len()
        );
        rig.denied(&format!("exec|fork|{WORK}/bin/dynamic"), reason::RULE_DENY)
            .context("executed itself")
    })
}

fn mappings(_: &mut Ctx) -> Result<()> {
    /// `READ_IMPLIES_EXEC` (include/uapi/linux/personality.h)
    const READ_IMPLIES_EXEC: u32 = 0x0040_0000;
    rig::with(|rig| {
        rig.fresh_alice()?;
        for words in [
            "call|mmap|0|4096|5|2|fd:PATH|0",
            "call|mmap|0|4096|5|1|fd:PATH|0",
            "call|mmap|0|4096|4|2|fd:PATH|0",
            "call|mprotect|map:PATH|4096|5",
            "call|pkey_mprotect|map:PATH|4096|5|-1",
        ] {
            not_executable(rig, words)?;
        }
        let before = rig
            .alice
            .tell(&format!("call|personality|{READ_IMPLIES_EXEC}"))?;
        ensure!(before == 0, "personality gives {before}");
        not_executable(rig, "call|mmap|0|4096|1|2|fd:PATH|0")
            .context("reading implies executing")?;
        rig.fresh_alice()
    })
}

/// Goes through with a free program, and does not make a denied one executable memory.
fn not_executable(rig: &mut Rig, words: &str) -> Result<()> {
    let with = |name: &str| words.replace("PATH", &format!("{WORK}/bin/{name}"));
    let free: Ret = rig.alice.tell(&with("free"))?;
    ensure!(
        free == 0,
        "`{words}` of a free program gives {free}: this shows nothing"
    );
    rig.denied(&with("denied"), reason::RULE_DENY)?;
    let maps = fs::read_to_string(format!("/proc/{}/maps", rig.alice.pid()))?;
    let executable = |name: &str| {
        let path = format!("{WORK}/bin/{name}");
        let is = |line: &str| {
            line.ends_with(&path)
                && line
                    .split(' ')
                    .nth(1)
                    .is_some_and(|mode| mode.contains('x'))
        };
        maps.lines().any(is)
    };
    ensure!(
        executable("free") && !executable("denied"),
        "`{words}`: {maps}"
    );
    Ok(())
}

/// The rule names what is in it, and not the parent: moving that is free, and takes the rule along.
fn parent(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let (outer, elsewhere) = (format!("{WORK}/outer"), format!("{WORK}/free/elsewhere"));
        file("outer/inner/f")?;
        let moved = rig.alice.tell(&format!("rename|{outer}|{elsewhere}"))?;
        ensure!(
            moved == 0,
            "moving the parent gives {moved}: this shows nothing"
        );
        let real = format!("{elsewhere}/inner/f");
        let attempts = [
            format!("open|open|{real}|{}|0", libc::O_WRONLY | libc::O_TRUNC),
            format!("open|open|{real}|0|0"),
            format!("call|unlink|{real}"),
            format!("call|rename|{real}|{WORK}/free/f2"),
            format!("call|link|{real}|{WORK}/free/f2"),
            format!("call|mkdir|{elsewhere}/inner/new|511"),
        ];
        let under_its_new_name = attempts
            .iter()
            .try_for_each(|one| rig.denied(one, reason::RULE_DENY));
        fs::create_dir_all(format!("{outer}/inner"))?;
        let new = file("outer/inner/f")?;
        let in_its_place = rig.denied(&format!("call|truncate|{new}|0"), reason::RULE_DENY);
        let unchanged = !changed(&real)
            && !changed(&new)
            && !Path::new(&format!("{elsewhere}/inner/new")).exists();
        fs::remove_dir_all(&outer)?;
        fs::rename(&elsewhere, &outer)?;
        under_its_new_name.context("under its new name")?;
        in_its_place.context("what was put in its place")?;
        ensure!(unchanged, "something was changed");
        Ok(())
    })
}
