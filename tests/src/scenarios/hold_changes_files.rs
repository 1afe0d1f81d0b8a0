//! An approval is for one exact action on files: another name, another file, another mode, another destination has to
//! be answered anew, whether the call was changed while it waited or the files were.

use std::{
    fs,
    net::UdpSocket,
    os::unix::fs::{MetadataExt as _, chown},
};

use anyhow::Result;

use super::hold_changes::{Then, changed_while_held};
use crate::{
    actors::{
        client::{ALICE, ALICE_ROOT, Puppet},
        memory::Memory,
        rig::{self, WORK, file},
    },
    scenario::{Ctx, Scenario},
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "an_approval_does_not_serve_a_held_rename_of_another_file",
        rename_source,
    )
    .group("kernel"),
    Scenario::new(
        "an_approval_does_not_serve_a_held_rename_to_another_place",
        rename_destination,
    )
    .group("kernel"),
    Scenario::new(
        "an_approval_does_not_serve_a_held_rename_over_another_file",
        rename_over,
    )
    .group("kernel"),
    Scenario::new(
        "an_approval_does_not_serve_a_held_deletion_of_another_file",
        deletion,
    )
    .group("kernel"),
    Scenario::new(
        "an_approval_does_not_serve_a_held_link_to_another_place",
        link,
    )
    .group("kernel"),
    Scenario::new(
        "an_approval_does_not_serve_a_held_creation_of_another_name",
        creation,
    )
    .group("kernel"),
    Scenario::new(
        "an_approval_does_not_serve_a_held_symlink_to_another_target",
        target,
    )
    .group("kernel"),
    Scenario::new(
        "an_approval_does_not_serve_a_held_change_of_another_file",
        attributes,
    )
    .group("kernel"),
    Scenario::new(
        "an_approval_does_not_serve_a_held_change_to_another_mode",
        modes,
    )
    .group("kernel"),
    Scenario::new(
        "an_approval_does_not_serve_a_held_change_to_other_times",
        times,
    )
    .group("kernel"),
    Scenario::new(
        "an_approval_does_not_serve_the_removal_of_another_attribute",
        attribute,
    )
    .group("kernel"),
    Scenario::new(
        "an_approval_does_not_serve_a_held_mapping_of_other_content",
        mapping,
    )
    .group("kernel"),
    Scenario::new(
        "an_approval_does_not_serve_a_held_reading_of_another_file",
        reading,
    )
    .group("kernel"),
    Scenario::new(
        "an_approval_does_not_serve_a_held_message_to_another_address",
        message,
    )
    .group("kernel"),
    Scenario::new(
        "an_approval_does_not_serve_a_held_bind_to_another_port",
        port,
    )
    .group("kernel"),
];

const KEPT: &str = "/srv/work/kept";
/// A denied directory whose path is as long.
const SHUT: &str = "/srv/work/shut";

/// What is in a directory, with everything that one of these calls could change.
fn content() -> Vec<String> {
    let mut all = vec![];
    for directory in [KEPT, SHUT] {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let Ok(is) = entry.metadata() else { continue };
            let what = (is.ino(), is.mode(), is.gid(), is.nlink(), is.len());
            let times = (is.mtime(), is.atime());
            all.push(format!("{} {what:?} {times:?}", entry.path().display()));
        }
    }
    all.sort();
    all
}

/// Holds `words` (`K` for the held directory), changes what `change` changes and approves: the changed call is asked
/// about, or denied, and changes nothing itself.
fn on_files(words: &str, change: &dyn Fn(&Memory) -> Result<()>, then: Then) -> Result<()> {
    rig::with(|rig| {
        for directory in [KEPT, SHUT] {
            rig::empty(directory)?;
        }
        for name in ["a", "b", "c"] {
            let path = file(&format!("kept/{name}"))?;
            chown(path, Some(1001), Some(1001))?;
        }
        for name in ["d", "e"] {
            let path = format!("{KEPT}/{name}");
            fs::create_dir(&path)?;
            chown(path, Some(1001), Some(1001))?;
        }
        // What the change itself changes is no effect of the call.
        let before = std::cell::RefCell::new(vec![]);
        let change = |held: &Memory| {
            change(held)?;
            before.replace(content());
            Ok(())
        };
        let effect = || *before.borrow() != content();
        let words = format!("call|{}", words.replace("K/", &format!("{KEPT}/")));
        let shown = changed_while_held(rig, &words, &change, &effect, then);
        rig::empty(KEPT)?;
        shown
    })
}

/// The same where a path among the arguments is changed into another one.
fn renamed_argument(words: &str, argument: usize, old: &str, new: &str, then: Then) -> Result<()> {
    let change = |held: &Memory| held.replace(held.argument(argument)?, old, new);
    on_files(words, &change, then)
}

fn kept(name: &str) -> String {
    format!("{KEPT}/{name}")
}

fn shut(name: &str) -> String {
    format!("{SHUT}/{name}")
}

fn rename_source(_: &mut Ctx) -> Result<()> {
    let words = "rename|K/a|K/new";
    renamed_argument(words, 0, &kept("a"), &kept("b"), Then::Asked)?;
    // Another name of the very same file.
    let second_name = |held: &Memory| {
        fs::hard_link(kept("a"), kept("A"))?;
        held.replace(held.argument(0)?, &kept("a"), &kept("A"))
    };
    on_files(words, &second_name, Then::Asked)?;
    let another_file = |_: &Memory| Ok(fs::rename(kept("b"), kept("a"))?);
    on_files(words, &another_file, Then::Asked)
}

fn rename_destination(_: &mut Ctx) -> Result<()> {
    let words = "rename|K/a|K/new";
    renamed_argument(words, 1, &kept("new"), &kept("neu"), Then::Asked)?;
    renamed_argument(words, 1, &kept("new"), &kept("d/n"), Then::Asked)?;
    renamed_argument(words, 1, &kept("new"), &shut("new"), Then::Denied)
}

fn rename_over(_: &mut Ctx) -> Result<()> {
    renamed_argument("rename|K/a|K/b", 1, &kept("b"), &kept("c"), Then::Asked)?;
    let another_file = |_: &Memory| Ok(fs::rename(kept("c"), kept("b"))?);
    on_files("rename|K/a|K/b", &another_file, Then::Asked)?;
    let a_file_after_all = |_: &Memory| Ok(fs::write(kept("new"), "somebody's")?);
    on_files("rename|K/a|K/new", &a_file_after_all, Then::Asked)
}

fn deletion(_: &mut Ctx) -> Result<()> {
    renamed_argument("unlink|K/a", 0, &kept("a"), &kept("b"), Then::Asked)?;
    renamed_argument("rmdir|K/d", 0, &kept("d"), &kept("e"), Then::Asked)?;
    let another_file = |_: &Memory| Ok(fs::rename(kept("b"), kept("a"))?);
    on_files("unlink|K/a", &another_file, Then::Asked)
}

fn link(_: &mut Ctx) -> Result<()> {
    let words = "link|K/a|K/new";
    renamed_argument(words, 0, &kept("a"), &kept("b"), Then::Asked)?;
    renamed_argument(words, 1, &kept("new"), &kept("neu"), Then::Asked)?;
    renamed_argument(words, 1, &kept("new"), &shut("new"), Then::Denied)
}

fn creation(_: &mut Ctx) -> Result<()> {
    for words in [
        "mkdir|K/new|448",
        "mknod|K/new|4516|0",
        "mknod|K/new|33188|0",
    ] {
        renamed_argument(words, 0, &kept("new"), &kept("neu"), Then::Asked)?;
        renamed_argument(words, 0, &kept("new"), &kept("d/n"), Then::Asked)?;
        renamed_argument(words, 0, &kept("new"), &shut("new"), Then::Denied)?;
    }
    // The path in a socket address begins after its family.
    let socket = |held: &Memory| held.replace(held.argument(1)? + 2, &kept("new"), &kept("neu"));
    on_files("bind|unix|unix:K/new|110", &socket, Then::Asked)
}

fn target(_: &mut Ctx) -> Result<()> {
    let words = "symlink|=/etc/motd|K/new";
    renamed_argument(words, 0, "/etc/motd", "/etc/host", Then::Asked)?;
    renamed_argument(words, 1, &kept("new"), &kept("neu"), Then::Asked)
}

fn attributes(_: &mut Ctx) -> Result<()> {
    for words in [
        "chmod|K/a|448",
        "chown|K/a|-1|2001",
        "lchown|K/a|-1|2001",
        "truncate|K/a|1",
    ] {
        renamed_argument(words, 0, &kept("a"), &kept("b"), Then::Asked)?;
    }
    for words in [
        "fchmodat|-100|K/a|448",
        "fchownat|-100|K/a|-1|2001|0",
        "utimensat|-100|K/a|w:7,0,7,0|0",
    ] {
        renamed_argument(words, 1, &kept("a"), &kept("b"), Then::Asked)?;
    }
    Ok(())
}

fn modes(_: &mut Ctx) -> Result<()> {
    for (words, argument) in [
        ("chmod|K/a|448", 1),
        ("fchmodat|-100|K/a|448", 2),
        ("mkdir|K/new|448", 1),
    ] {
        on_files(
            words,
            &|held| held.set_argument(argument, 0o777),
            Then::Asked,
        )?;
    }
    on_files(
        "chown|K/a|-1|2001",
        &|held| held.set_argument(2, 1001),
        Then::Asked,
    )?;
    on_files(
        "truncate|K/a|1",
        &|held| held.set_argument(1, 0),
        Then::Asked,
    )?;
    // Another kind of node.
    on_files(
        "mknod|K/new|4516|0",
        &|held| held.set_argument(1, 49572),
        Then::Asked,
    )
}

fn times(_: &mut Ctx) -> Result<()> {
    for second in [0, 2] {
        let other = |held: &Memory| held.write(held.argument(2)? + second * 8, &9u64.to_ne_bytes());
        on_files("utimensat|-100|K/a|w:7,0,7,0|0", &other, Then::Asked)?;
    }
    Ok(())
}

fn attribute(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        rig.alice = Puppet::start(ALICE_ROOT)?;
        let path = file("kept/a")?;
        let words = format!("call|removexattr|{path}|=trusted.one");
        let change = |held: &Memory| held.replace(held.argument(1)?, "trusted.one", "trusted.two");
        // It has neither attribute: an approved call would say so instead of `EPERM`.
        let shown = changed_while_held(rig, &words, &change, &|| false, Then::Asked);
        rig.alice = Puppet::start(ALICE)?;
        shown
    })
}

fn mapping(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        rig.fresh_alice()?;
        let path = file("lib/f")?;
        let words = format!("call|mmap|0|4096|5|2|fd:{path}|0");
        let maps = format!("/proc/{}/maps", rig.alice.pid());
        let mapped = || fs::read_to_string(&maps).is_ok_and(|maps| maps.contains(&path));
        let change = |_: &Memory| Ok(fs::write(&path, "other!")?);
        changed_while_held(rig, &words, &change, &mapped, Then::Asked)
    })
}

/// What was read would come back as the text of another answer than `EPERM`.
fn reading(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let (a, b) = (file("secret/a")?, file("secret/b")?);
        for (other, then) in [(b, Then::Asked), (format!("{WORK}/shut/a"), Then::Denied)] {
            fs::write(format!("{WORK}/shut/a"), "before")?;
            // Both paths are shorter than the buffer, which ends where the other one says.
            let change =
                |held: &Memory| held.write(held.argument(0)?, format!("{other}\0").as_bytes());
            changed_while_held(rig, &format!("open|open|{a}|0|0"), &change, &|| false, then)?;
        }
        Ok(())
    })
}

fn message(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        for (address, port, then) in [
            ([127, 0, 10, 2], 7200u16, Then::Asked),
            ([127, 0, 11, 1], 7400, Then::Denied),
        ] {
            let sockets = [
                UdpSocket::bind("127.0.10.1:7200")?,
                UdpSocket::bind((std::net::Ipv4Addr::from(address), port))?,
            ];
            for socket in &sockets {
                socket.set_nonblocking(true)?;
            }
            let received = || {
                sockets
                    .iter()
                    .any(|socket| socket.recv(&mut [0; 8]).is_ok())
            };
            let change = |held: &Memory| {
                held.write(held.argument(4)? + 2, &port.to_be_bytes())?;
                held.write(held.argument(4)? + 4, &address)
            };
            let words = "call|sendto|udp|=x|1|0|at:127.0.10.1:7200|16";
            changed_while_held(rig, words, &change, &received, then)?;
        }
        Ok(())
    })
}

fn port(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        for (port, then) in [(7305u16, Then::Asked), (7500, Then::Denied)] {
            let taken = || {
                [7304, port]
                    .iter()
                    .any(|port| UdpSocket::bind(("127.0.10.1", *port)).is_err())
            };
            let change = |held: &Memory| held.write(held.argument(1)? + 2, &port.to_be_bytes());
            let words = "call|bind|udp|at:127.0.10.1:7304|16";
            changed_while_held(rig, words, &change, &taken, then)?;
        }
        Ok(())
    })
}
