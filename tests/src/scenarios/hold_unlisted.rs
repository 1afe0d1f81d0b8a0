//! Calls that meet a rule of effect hold and cannot be held: denied without effect, for reason hold-unavailable. And
//! what is no question at all.

use std::{fs, os::unix::fs::MetadataExt as _};

use anyhow::{Context as _, Result, ensure};

use crate::{
    actors::{
        client::{ALICE, ALICE_ROOT, Puppet},
        rig::{self, Rig, WORK, changed, file},
        standin::UNAVAILABLE,
        sys::{self, EPERM, Ret, c},
    },
    scenario::{Ctx, Scenario},
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "setting_an_attribute_whose_value_is_not_seen_is_denied",
        attributes,
    )
    .group("kernel"),
    Scenario::new("setting_an_access_list_is_denied", access_list).group("kernel"),
    Scenario::new("setting_inode_flags_is_denied", flags).group("kernel"),
    Scenario::new("older_calls_that_set_times_are_denied", times).group("kernel"),
    Scenario::new("the_newest_call_that_changes_a_mode_is_denied", newest_mode).group("kernel"),
    Scenario::new("making_a_mapping_executable_is_denied", protection).group("kernel"),
    Scenario::new("sending_several_messages_at_once_is_denied", many_messages).group("kernel"),
    Scenario::new(
        "32_bit_calls_on_files_that_are_not_on_the_list_are_denied",
        compat,
    )
    .group("kernel"),
    Scenario::new(
        "cutting_a_file_that_was_opened_with_an_approval_is_no_question",
        cut,
    )
    .group("kernel"),
];

/// An attribute that `security` and `user` do not check, and file systems keep.
const NAME: &str = "trusted.stayhand";

/// A file in the held directory that is alice's.
fn kept() -> Result<String> {
    let path = file("kept/u")?;
    std::os::unix::fs::chown(&path, Some(1001), Some(1001))?;
    Ok(path)
}

/// Denied as that, and the free file beside it shows that the call itself works.
fn denied_but_free(rig: &mut Rig, words: &dyn Fn(&str) -> String) -> Result<String> {
    let (held, free) = (kept()?, file("free/u")?);
    std::os::unix::fs::chown(&free, Some(1001), Some(1001))?;
    let reply = rig.alice.tell(&words(&free))?;
    ensure!(
        reply >= 0,
        "`{}` gives {reply}: this shows nothing",
        words(&free)
    );
    rig.denied(&words(&held), UNAVAILABLE)?;
    Ok(held)
}

fn attributes(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        rig.alice = Puppet::start(ALICE_ROOT)?;
        for (call, subject) in [("setxattr", ""), ("lsetxattr", ""), ("fsetxattr", "fd:")] {
            let words = |path: &str| format!("call|{call}|{subject}{path}|={NAME}|=v|1|0");
            let held = denied_but_free(rig, &words).context(call)?;
            let len = sys::attribute_len(&c(&held), &c(NAME));
            ensure!(
                len < 0,
                "{call} was denied, and the attribute has {len} bytes"
            );
        }
        rig.alice = Puppet::start(ALICE)?;
        Ok(())
    })
}

/// One user more than the mode says, as in `setfacl -m u:1002:r`.
fn access_list(_: &mut Ctx) -> Result<()> {
    const NAME: &str = "system.posix_acl_access";
    const LIST: &str = concat!(
        "02000000",
        "01000600ffffffff",
        "02000400ea030000",
        "04000400ffffffff",
        "10000400ffffffff",
        "20000400ffffffff"
    );
    rig::with(|rig| {
        let words = |path: &str| format!("call|setxattr|{path}|={NAME}|hex:{LIST}|44|0");
        let held = denied_but_free(rig, &words)?;
        let len = sys::attribute_len(&c(&held), &c(NAME));
        ensure!(len < 0, "denied, and the list has {len} bytes");
        Ok(())
    })
}

/// `chattr +d`, by both tables: the 32-bit call passes another hook.
fn flags(_: &mut Ctx) -> Result<()> {
    /// `FS_IOC_SETFLAGS`, its 32-bit form, and `FS_NODUMP_FL` (include/uapi/linux/fs.h).
    const SET: u32 = 0x4008_6602;
    const SET_32: u32 = 0x4004_6602;
    rig::with(|rig| {
        let words = |path: &str| format!("call|ioctl|fd:{path}|{SET}|hex:40000000");
        let held = denied_but_free(rig, &words)?;
        // The flags are read from an address that is a string of the caller's; that it is denied is what counts.
        rig.denied(&format!("call32|54|fd:{held}|{SET_32}|/flags"), UNAVAILABLE)
            .context("the 32-bit call")
    })
}

fn times(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        for words in [
            "utime|PATH|w:7,7",
            "utimes|PATH|w:7,0,7,0",
            "futimesat|-100|PATH|w:7,0,7,0",
        ] {
            let words = |path: &str| format!("call|{}", words.replace("PATH", path));
            let held = denied_but_free(rig, &words)?;
            ensure!(fs::metadata(held)?.mtime() != 7, "the times are other ones");
        }
        Ok(())
    })
}

/// `fchmodat2` came with Linux 6.6; before, there is nothing to be denied.
fn newest_mode(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let missing =
            rig.alice.tell("call|fchmodat2|-100|/nowhere|448|0")? == -Ret::from(libc::ENOSYS);
        let held = kept()?;
        let before = fs::metadata(&held)?.mode();
        let words = format!("call|fchmodat2|-100|{held}|448|0");
        if missing {
            let result = rig.alice.tell(&words)?;
            ensure!(
                result == -Ret::from(libc::ENOSYS),
                "it is there after all: {result}"
            );
        } else {
            rig.denied(&words, UNAVAILABLE)?;
        }
        ensure!(
            fs::metadata(&held)?.mode() == before,
            "the mode is another one"
        );
        Ok(())
    })
}

/// Areas before the one that is asked about would have changed already: the call cannot be issued again.
fn protection(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let (held, free) = (file("lib/u")?, file("free/u")?);
        let words = |path: &str| {
            format!(
                "call|mprotect|map:{path}|4096|{}",
                libc::PROT_READ | libc::PROT_EXEC
            )
        };
        let reply = rig.alice.tell(&words(&free))?;
        ensure!(reply == 0, "a free file gives {reply}: this shows nothing");
        rig.denied(&words(&held), UNAVAILABLE)?;
        let maps = fs::read_to_string(format!("/proc/{}/maps", rig.alice.pid()))?;
        let executable = maps
            .lines()
            .any(|line| line.contains(" r-xp ") && line.ends_with(&held));
        ensure!(!executable, "it is executable all the same");
        Ok(())
    })
}

fn many_messages(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let reply = rig
            .alice
            .tell("call|sendmmsg|udp|msg:127.0.10.1:7201|1|0")?;
        ensure!(reply == 1, "another port gives {reply}: this shows nothing");
        let socket = std::net::UdpSocket::bind("127.0.10.1:7200")?;
        socket.set_nonblocking(true)?;
        rig.denied("call|sendmmsg|udp|msg:127.0.10.1:7200|1|0", UNAVAILABLE)?;
        ensure!(
            socket.recv(&mut [0; 8]).is_err(),
            "it was sent all the same"
        );
        Ok(())
    })
}

/// Numbers of arch/x86/entry/syscalls/syscall_32.tbl.
fn compat(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let held = kept()?;
        let directory = format!("{WORK}/kept/u.d");
        fs::create_dir_all(&directory)?;
        let new = format!("{WORK}/kept/u.new");
        for words in [
            format!("9|{held}|{new}"),       // link
            format!("10|{held}"),            // unlink
            format!("14|{new}|4516|0"),      // mknod
            format!("15|{held}|448"),        // chmod
            format!("38|{held}|{new}"),      // rename
            format!("39|{new}|448"),         // mkdir
            format!("40|{directory}"),       // rmdir
            format!("83|/target|{new}"),     // symlink
            format!("92|{held}|0"),          // truncate
            format!("212|{held}|1001|2001"), // chown32
        ] {
            rig.denied(&format!("call32|{words}"), UNAVAILABLE)?;
            let intact = fs::metadata(&held).is_ok_and(|found| found.mode() & 0o777 == 0o666);
            ensure!(
                intact && !changed(&held),
                "32-bit call {words}: the file is another one"
            );
            ensure!(
                fs::symlink_metadata(&new).is_err(),
                "32-bit call {words}: it was made"
            );
        }
        ensure!(fs::metadata(&directory).is_ok(), "the directory is gone");
        Ok(())
    })
}

/// The question was asked when the file was opened for writing.
fn cut(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let path = kept()?;
        drop(rig.agent.records());
        let held = rig.hold(&format!("call|ftruncate|rw:{path}|1"))?;
        rig.agent.approve(&held.hold)?;
        let result = rig.result(&held)?;
        ensure!(result == 0, "with the open approved it gives {result}");
        ensure!(fs::metadata(&path)?.len() == 1, "it was not cut");
        let records = rig.agent.records().len();
        ensure!(
            records == 2,
            "{records} records of one question and its answer"
        );
        let refused = rig.hold(&format!("call|ftruncate|rw:{path}|0"))?;
        rig.agent.refuse(&refused.hold)?;
        let result = rig.result(&refused)?;
        ensure!(
            result == EPERM && fs::metadata(&path)?.len() == 1,
            "refused, and yet {result}"
        );
        Ok(())
    })
}
