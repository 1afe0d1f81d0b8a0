//! Ways around a path: other names, other views, other moments. The object behind a denied path is never changed
//! and never executed; what the rules do not promise is shown as such.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use stayhand_agent_ebpf::abi::code::reason;

use crate::{
    actors::{
        client::{ALICE_ROOT, DAEMON, Puppet},
        rig::{self, PROGRAM_CODE, Rig, WORK, changed, file, program},
        sys::{EPERM, Ret},
    },
    scenario::{Ctx, LIMIT_LONG, Scenario},
    wait,
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("a_symlink_to_a_denied_file_is_denied", symlink).group("kernel"),
    Scenario::new("a_hard_link_to_a_denied_program_is_denied", hard_link).group("kernel"),
    Scenario::new("a_bind_mount_of_a_denied_directory_is_denied", bind_mount).group("kernel"),
    Scenario::new("a_private_mount_namespace_changes_nothing", private_mounts).group("kernel"),
    Scenario::new(
        "proc_self_root_and_proc_self_fd_change_nothing",
        magic_links,
    )
    .group("kernel"),
    Scenario::new("chroot_changes_nothing", chroot).group("kernel"),
    Scenario::new("a_user_namespace_changes_nothing", user_namespace).group("kernel"),
    Scenario::new("open_by_handle_at_is_denied", by_handle).group("kernel"),
    Scenario::new("truncation_without_write_mode_is_denied", truncation).group("kernel"),
    Scenario::new(
        "a_nameless_file_in_a_restricted_directory_is_not_free",
        tmpfile,
    )
    .group("kernel"),
    Scenario::new(
        "a_file_renamed_over_a_denied_one_is_denied_by_name",
        renamed_over,
    )
    .group("kernel"),
    Scenario::new(
        "a_replaced_directory_is_denied_by_name_and_the_old_one_by_label",
        replaced_directory,
    )
    .group("kernel"),
    Scenario::new("a_path_that_did_not_exist_is_denied_once_it_does", later).group("kernel"),
    Scenario::new("a_deleted_denied_program_is_still_denied", deleted_program).group("kernel"),
    Scenario::new(
        "a_copy_of_a_denied_program_is_another_object",
        copied_program,
    )
    .group("kernel"),
    Scenario::new(
        "renames_during_opens_never_open_a_denied_file",
        rename_storm,
    )
    .group("kernel")
    .limit(LIMIT_LONG),
];

fn writing(path: &str) -> String {
    format!(
        "open|open|{path}|{}|0|after",
        libc::O_WRONLY | libc::O_TRUNC
    )
}

/// Alice's attempt is denied by rule, and the real file is as it was.
fn is_denied(rig: &mut Rig, words: &str, real: &str) -> Result<()> {
    rig.denied(words, reason::RULE_DENY)?;
    ensure!(!changed(real), "`{words}` changed {real}");
    Ok(())
}

/// The same by a puppet of her own, whose surroundings the test may spoil.
fn is_denied_to(puppet: &mut Puppet, words: &str, real: &str) -> Result<()> {
    let result = puppet.tell(words)?;
    ensure!(result == EPERM, "`{words}` gives {result}");
    ensure!(!changed(real), "`{words}` changed {real}");
    Ok(())
}

fn done(puppet: &mut Puppet, words: &str) -> Result<()> {
    let result = puppet.tell(words)?;
    ensure!(result >= 0, "`{words}` gives {result}: this shows nothing");
    Ok(())
}

fn symlink(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let real = file("denied/f")?;
        let link = format!("{WORK}/free/symlink");
        done(&mut rig.alice, &format!("symlink|{real}|{link}"))?;
        let result = is_denied(rig, &writing(&link), &real);
        fs::remove_file(link)?;
        result
    })
}

fn hard_link(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let link = format!("{WORK}/free/hardlink");
        fs::hard_link(format!("{WORK}/bin/denied"), &link)?;
        let result = rig.denied(&format!("exec|fork|{link}"), reason::RULE_DENY);
        fs::remove_file(link)?;
        result
    })
}

fn bind_mount(_: &mut Ctx) -> Result<()> {
    rig::with(|_| {
        let real = file("denied/f")?;
        let view = format!("{WORK}/free/view");
        fs::create_dir_all(&view)?;
        let mut root = Puppet::start(ALICE_ROOT)?;
        done(&mut root, &format!("bind|{WORK}/denied|{view}"))?;
        let result = is_denied_to(&mut root, &writing(&format!("{view}/f")), &real);
        done(&mut root, &format!("umount|{view}"))?;
        result
    })
}

fn private_mounts(_: &mut Ctx) -> Result<()> {
    rig::with(|_| {
        let real = file("denied/f")?;
        let view = format!("{WORK}/free/private");
        fs::create_dir_all(&view)?;
        let mut root = Puppet::start(ALICE_ROOT)?;
        done(&mut root, &format!("unshare|{}", libc::CLONE_NEWNS))?;
        done(&mut root, "private")?;
        done(&mut root, &format!("bind|{WORK}/denied|{view}"))?;
        is_denied_to(&mut root, &writing(&format!("{view}/f")), &real)?;
        is_denied_to(&mut root, &writing(&real), &real)?;
        let created = root.tell(&format!(
            "open|open|{view}/new|{}|420",
            libc::O_CREAT | libc::O_WRONLY
        ))?;
        ensure!(
            created == EPERM && !Path::new(&format!("{WORK}/denied/new")).exists(),
            "creating gives {created}"
        );
        Ok(())
    })
}

fn magic_links(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let real = file("denied/f")?;
        is_denied(rig, &writing(&format!("/proc/self/root{real}")), &real)?;
        let flags = libc::O_WRONLY | libc::O_TRUNC;
        is_denied(
            rig,
            &format!("open|descriptor|{real}|{flags}|0|after"),
            &real,
        )
    })
}

fn chroot(_: &mut Ctx) -> Result<()> {
    rig::with(|_| {
        let real = file("denied/f")?;
        let mut root = Puppet::start(ALICE_ROOT)?;
        done(&mut root, &format!("chroot|{WORK}"))?;
        is_denied_to(&mut root, &writing("/denied/f"), &real)?;
        let executed = root.tell("exec|fork|/bin/denied")?;
        ensure!(executed == EPERM, "executing gives {executed}");
        Ok(())
    })
}

fn user_namespace(_: &mut Ctx) -> Result<()> {
    rig::with(|_| {
        let real = file("denied/f")?;
        let mut alice = Puppet::start(ALICE_ROOT)?;
        done(&mut alice, &format!("unshare|{}", libc::CLONE_NEWUSER))?;
        is_denied_to(&mut alice, &writing(&real), &real)
    })
}

fn by_handle(_: &mut Ctx) -> Result<()> {
    rig::with(|_| {
        let (real, free) = (file("denied/f")?, file("free/f")?);
        let mut root = Puppet::start(ALICE_ROOT)?;
        let flags = libc::O_WRONLY | libc::O_TRUNC;
        done(&mut root, &format!("open|by-handle|{free}|{flags}|0|after"))?;
        is_denied_to(
            &mut root,
            &format!("open|by-handle|{real}|{flags}|0|after"),
            &real,
        )
    })
}

fn truncation(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let real = file("denied/f")?;
        is_denied(
            rig,
            &format!("open|open|{real}|{}|0", libc::O_RDONLY | libc::O_TRUNC),
            &real,
        )
    })
}

fn tmpfile(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let flags = libc::O_TMPFILE | libc::O_RDWR;
        done(
            &mut rig.alice,
            &format!("open|open|{WORK}/free|{flags}|420|x"),
        )?;
        let result = rig
            .alice
            .tell(&format!("open|open|{WORK}/denied|{flags}|420|x"))?;
        ensure!(result == EPERM, "in a denied directory it gives {result}");
        // Where a hold is demanded it is held or denied: both keep the promise.
        let ticket = rig
            .alice
            .ask(&format!("open|open|{WORK}/held|{flags}|420|x"))?;
        wait::until(wait::SOON, "a hold or a denial", || {
            (rig.alice.answered(&ticket).is_some() || !rig.agent.pending().is_empty()).then_some(())
        })?;
        rig.agent.clear()?;
        let result = rig.alice.answer(&ticket, wait::SOON)?;
        ensure!(
            result == EPERM,
            "in a held directory it gives {result} without an approval"
        );
        Ok(())
    })
}

fn renamed_over(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let real = file("denied/f")?;
        let new = file("free/new")?;
        fs::rename(new, &real)?;
        is_denied(rig, &writing(&real), &real)?;
        fs::copy(format!("{WORK}/bin/free"), format!("{WORK}/bin/other"))?;
        fs::rename(format!("{WORK}/bin/other"), format!("{WORK}/bin/denied"))?;
        rig.denied(&format!("exec|fork|{WORK}/bin/denied"), reason::RULE_DENY)
    })
}

fn replaced_directory(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        file("swap/f")?;
        let (swap, old) = (format!("{WORK}/swap"), format!("{WORK}/free/old"));
        fs::rename(&swap, &old)?;
        fs::create_dir(&swap)?;
        let new = file("swap/f")?;
        let by_label = is_denied(rig, &writing(&format!("{old}/f")), &format!("{old}/f"));
        let by_name = is_denied(rig, &writing(&new), &new);
        fs::remove_dir_all(&swap)?;
        fs::rename(&old, &swap)?;
        by_label.context("the directory under its new name")?;
        by_name.context("the new directory under the old name")
    })
}

fn later(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let directory = format!("{WORK}/later/than/this");
        ensure!(
            !Path::new(&directory).exists(),
            "it is there already: this shows nothing"
        );
        fs::create_dir_all(&directory)?;
        let real = file("later/than/this/f")?;
        let result = is_denied(rig, &writing(&real), &real);
        fs::remove_dir_all(format!("{WORK}/later"))?;
        result
    })
}

fn deleted_program(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let denied = format!("{WORK}/bin/gone");
        // A descriptor of its own, opened before the name goes away.
        let handle = fs::File::open(&denied)?;
        let view = format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            std::os::fd::AsRawFd::as_raw_fd(&handle)
        );
        fs::remove_file(&denied)?;
        let mut root = Puppet::start(ALICE_ROOT)?;
        let result = root.tell(&format!("exec|fork|{view}"))?;
        program("bin/gone")?;
        ensure!(result == EPERM, "the deleted program gives {result}");
        rig.denied(&format!("exec|fork|{denied}"), reason::RULE_DENY)
            .context("the new one under the name")
    })
}

/// What a rule on an executable does not promise (docs/hold.md): another object with the same content runs.
fn copied_program(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let ran = rig.alice.tell(&format!("exec|memfd|{WORK}/bin/denied"))?;
        ensure!(
            ran == PROGRAM_CODE,
            "a copy in memory gives {ran}: say in docs/hold.md what is promised now"
        );
        Ok(())
    })
}

/// Two directories change places all the time; whatever name the denied one has, its file is never opened.
fn rename_storm(ctx: &mut Ctx) -> Result<()> {
    const OPENS: u32 = 3_000;
    rig::with(|rig| {
        let inside = file("swap/f")?;
        fs::create_dir_all(format!("{WORK}/free/stormed"))?;
        let outside = file("free/stormed/f")?;
        let identity = std::os::unix::fs::MetadataExt::ino(&fs::metadata(format!("{WORK}/swap"))?);
        let mut storm = Puppet::start(DAEMON)?;
        storm.ask(&format!(
            "exchange-storm|{WORK}/swap|{WORK}/free/stormed|{}",
            u32::MAX
        ))?;
        let mut opened = 0;
        for path in [&inside, &outside] {
            ctx.step(path);
            let result = rig.alice.ask(&format!(
                "hammer|{OPENS}|{path}|{}",
                libc::O_WRONLY | libc::O_TRUNC
            ))?;
            let count = rig.alice.answer(&result, wait::LONG)?;
            // A name can be missing for no moment: exchanges are atomic.
            ensure!(
                (0..=Ret::from(OPENS)).contains(&count),
                "an open gives {count}"
            );
            opened += count;
            rig.agent.collect();
        }
        drop(storm);
        ctx.log(format!(
            "{opened} of {} opens met the free directory",
            2 * OPENS
        ));
        let swap = format!("{WORK}/swap");
        if std::os::unix::fs::MetadataExt::ino(&fs::metadata(&swap)?) != identity {
            let exchanged = crate::actors::sys::exchange(
                &crate::actors::sys::c(&swap),
                &crate::actors::sys::c(&format!("{WORK}/free/stormed")),
            );
            ensure!(
                exchanged == 0,
                "cannot put the directories back: {exchanged}"
            );
        }
        ensure!(
            !changed(&inside),
            "the denied directory's file was truncated"
        );
        fs::remove_dir_all(format!("{WORK}/free/stormed"))?;
        Ok(())
    })
}
