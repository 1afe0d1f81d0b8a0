//! Every call that can be held: no effect before an answer, stopped again by stray `SIGCONT`, the right result
//! after an approval, `EPERM` after a refusal, one announcement and one outcome.

use std::{
    fs,
    io::ErrorKind,
    net::{TcpListener, UdpSocket},
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use stayhand_agent_ebpf::abi::code::reason;

use crate::{
    actors::{
        rig::{self, PROGRAM_CODE, Rig, WORK, changed, file},
        standin::of_hold,
        sys::{EPERM, Ret},
    },
    scenario::{Ctx, Scenario},
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("held_open_for_writing_has_no_effect", open).group("kernel"),
    Scenario::new("held_openat_for_writing_has_no_effect", openat).group("kernel"),
    Scenario::new("held_openat2_for_writing_has_no_effect", openat2).group("kernel"),
    Scenario::new("held_creat_of_an_existing_file_has_no_effect", creat).group("kernel"),
    Scenario::new(
        "held_truncation_without_write_mode_has_no_effect",
        truncation,
    )
    .group("kernel"),
    Scenario::new("held_exclusive_creation_has_no_effect", exclusive).group("kernel"),
    Scenario::new("held_creation_and_its_open_are_one_question", creation).group("kernel"),
    Scenario::new(
        "a_creation_that_finds_the_file_there_after_its_approval_is_asked_as_a_write",
        creation_race,
    )
    .group("kernel"),
    Scenario::new("held_execve_has_no_effect", execve).group("kernel"),
    Scenario::new("held_execve_of_a_vfork_child_has_no_effect", vfork).group("kernel"),
    Scenario::new("held_execveat_has_no_effect", execveat).group("kernel"),
    Scenario::new(
        "held_script_and_interpreter_take_exactly_two_answers",
        script,
    )
    .group("kernel"),
    Scenario::new(
        "a_refused_interpreter_ends_an_approved_script",
        refused_interpreter,
    )
    .group("kernel"),
    Scenario::new("held_tcp_connect_has_no_effect", tcp4).group("kernel"),
    Scenario::new("held_tcp_connect_over_ipv6_has_no_effect", tcp6).group("kernel"),
    Scenario::new("held_tcp_connect_to_a_mapped_address_has_no_effect", mapped).group("kernel"),
    Scenario::new("held_udp_connect_has_no_effect", udp).group("kernel"),
    Scenario::new(
        "a_used_approval_does_not_serve_the_next_identical_call",
        used,
    )
    .group("kernel"),
    Scenario::new("what_no_rule_names_is_not_noticed", unnoticed).group("kernel"),
];

const AFTER: Ret = 5; // bytes of "after"

fn written_by(call: &str, flags: i32) -> Result<()> {
    rig::with(|rig| {
        let path = file("held/f")?;
        let words = format!("open|{call}|{path}|{flags}|420|after");
        rig.held_without_effect(&words, &|| changed(&path), AFTER)?;
        ensure!(
            fs::read_to_string(&path)? == "after",
            "other content: {:?}",
            fs::read_to_string(&path)
        );
        Ok(())
    })
}

fn open(_: &mut Ctx) -> Result<()> {
    written_by("open", libc::O_WRONLY | libc::O_TRUNC)
}

fn openat(_: &mut Ctx) -> Result<()> {
    written_by("openat", libc::O_RDWR | libc::O_TRUNC)
}

fn openat2(_: &mut Ctx) -> Result<()> {
    written_by("openat2", libc::O_WRONLY | libc::O_TRUNC)
}

fn creat(_: &mut Ctx) -> Result<()> {
    written_by("creat", 0)
}

fn truncation(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let path = file("held/f")?;
        let words = format!("open|open|{path}|{}|0", libc::O_RDONLY | libc::O_TRUNC);
        rig.held_without_effect(&words, &|| changed(&path), 0)
    })
}

fn created_by(flags: i32, name: &str) -> Result<()> {
    rig::with(|rig| {
        let path = format!("{WORK}/held/{name}");
        let words = format!(
            "open|open|{path}|{}|420|after",
            libc::O_CREAT | libc::O_WRONLY | flags
        );
        rig.held_without_effect(&words, &|| Path::new(&path).exists(), AFTER)?;
        ensure!(fs::read_to_string(&path)? == "after", "other content");
        fs::remove_file(&path)?;
        Ok(())
    })
}

fn exclusive(_: &mut Ctx) -> Result<()> {
    created_by(libc::O_EXCL, "exclusive")
}

fn creation(_: &mut Ctx) -> Result<()> {
    created_by(0, "created")
}

/// Somebody else makes the file while the creation waits: what was approved is no longer what would happen.
fn creation_race(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let path = format!("{WORK}/held/raced");
        let words = format!(
            "open|open|{path}|{}|420|after",
            libc::O_CREAT | libc::O_WRONLY
        );
        let created = rig.hold(&words)?;
        fs::write(&path, "before")?;
        std::os::unix::fs::chown(&path, Some(1001), Some(1001))?;
        rig.agent.write_answer(
            &created.hold,
            stayhand_agent_ebpf::abi::code::answer::APPROVED,
        )?;
        rig.agent.wake(&created.hold);
        let opened = crate::wait::until(crate::wait::SOON, "a second question", || {
            rig.agent
                .pending()
                .into_iter()
                .find(|one| one.entry.hold != created.hold.entry.hold)
        })?;
        ensure!(
            !changed(&path),
            "the approval of the creation opened another's file"
        );
        rig.agent.refuse(&opened)?;
        ensure!(
            rig.result(&created)? == EPERM,
            "refused, and yet {}",
            rig.result(&created)?
        );
        ensure!(
            of_hold(&rig.agent.records(), created.hold.entry.hold)
                == (1, vec![reason::HOLD_CANCELLED]),
            "nothing says that the first question is void"
        );
        fs::remove_file(&path)?;
        Ok(())
    })
}

/// One held exec in a child: not executed before the approval, exit code of the program after it.
fn executed(rig: &mut Rig, words: &str) -> Result<()> {
    let refused = rig.hold(words)?;
    rig.agent.refuse(&refused.hold)?;
    ensure!(
        rig.result(&refused)? == EPERM,
        "refused gives {}",
        rig.result(&refused)?
    );
    drop(rig.agent.records());
    let held = rig.hold(words)?;
    not_executed(held.hold.entry.tgid)?;
    rig.stray_continues(&held, 2)?;
    not_executed(held.hold.entry.tgid)?;
    rig.agent.approve(&held.hold)?;
    ensure!(
        rig.result(&held)? == PROGRAM_CODE,
        "approved gives {}",
        rig.result(&held)?
    );
    rig.told(&held, reason::HOLD_APPROVED)
}

fn not_executed(pid: u32) -> Result<()> {
    let runs = fs::read_link(format!("/proc/{pid}/exe")).context("the held process is gone")?;
    ensure!(
        !runs.starts_with(WORK),
        "it already runs {}",
        runs.display()
    );
    Ok(())
}

fn execve(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| executed(rig, &format!("exec|fork|{WORK}/bin/held|argument")))
}

fn vfork(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| executed(rig, &format!("exec|vfork|{WORK}/bin/held")))
}

fn execveat(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| executed(rig, &format!("exec|at|{WORK}/bin/held")))
}

fn script(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        drop(rig.agent.records());
        let words = format!("exec|fork|{WORK}/bin/script");
        let first = rig.hold(&words)?;
        rig.stray_continues(&first, 2)?;
        rig.agent.approve(&first.hold)?;
        let second = rig.held(first.ticket)?;
        ensure!(
            second.hold.entry.hold != first.hold.entry.hold,
            "the same question again"
        );
        not_executed(second.hold.entry.tgid)?;
        // The approved script must not be asked about again while the interpreter waits.
        rig.stray_continues(&second, 3)?;
        ensure!(
            rig.agent.pending().len() == 1,
            "asked again: {:?}",
            rig.agent.pending()
        );
        rig.agent.approve(&second.hold)?;
        ensure!(
            rig.result(&second)? == PROGRAM_CODE,
            "two answers give {}",
            rig.result(&second)?
        );
        let records = rig.agent.records();
        for hold in [first.hold.entry.hold, second.hold.entry.hold] {
            ensure!(
                of_hold(&records, hold) == (1, vec![reason::HOLD_APPROVED]),
                "{:?}",
                of_hold(&records, hold)
            );
        }
        ensure!(
            records.len() == 4,
            "{} records for two questions and two answers",
            records.len()
        );
        // Both approvals are used up: the next call starts with the first question.
        let again = rig.hold(&words)?;
        rig.agent.refuse(&again.hold)?;
        ensure!(
            rig.result(&again)? == EPERM,
            "a used approval served another call"
        );
        Ok(())
    })
}

fn refused_interpreter(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let first = rig.hold(&format!("exec|fork|{WORK}/bin/script"))?;
        rig.agent.approve(&first.hold)?;
        let second = rig.held(first.ticket)?;
        rig.agent.refuse(&second.hold)?;
        ensure!(
            rig.result(&second)? == EPERM,
            "gives {}",
            rig.result(&second)?
        );
        Ok(())
    })
}

fn connected(listen: &str, words: &str) -> Result<()> {
    rig::with(|rig| {
        let listener =
            TcpListener::bind(listen).with_context(|| format!("cannot listen on {listen}"))?;
        listener.set_nonblocking(true)?;
        let accepted = || match listener.accept() {
            Ok(_) => true,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        };
        rig.held_without_effect(words, &accepted, 0)
    })
}

fn tcp4(_: &mut Ctx) -> Result<()> {
    connected("127.0.9.1:7000", "connect|tcp|127.0.9.1|7000")
}

fn tcp6(_: &mut Ctx) -> Result<()> {
    connected("[::1]:7000", "connect|tcp|::1|7000")
}

fn mapped(_: &mut Ctx) -> Result<()> {
    connected("127.0.9.1:7000", "connect|tcp|::ffff:127.0.9.1|7000")
}

fn udp(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let socket = UdpSocket::bind("127.0.9.1:7000")?;
        socket.set_nonblocking(true)?;
        let received = || socket.recv(&mut [0; 8]).is_ok();
        rig.held_without_effect("connect|udp|127.0.9.1|7000", &received, 0)
    })
}

/// The very same call from the very same place with the very same registers, twice.
fn used(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let path = file("held/f")?;
        let first = rig.hold(&format!("hammer|2|{path}|{}", libc::O_WRONLY))?;
        rig.agent.approve(&first.hold)?;
        let second = rig.held(first.ticket)?;
        ensure!(
            second.hold.entry.hold != first.hold.entry.hold,
            "the same question again"
        );
        rig.agent.refuse(&second.hold)?;
        ensure!(
            rig.result(&second)? == 1,
            "{} of two calls went on after one approval",
            rig.result(&second)?
        );
        Ok(())
    })
}

fn unnoticed(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        drop(rig.agent.records());
        let (path, held) = (file("free/f")?, file("held/f")?);
        ensure!(
            rig.alice
                .tell(&format!("open|open|{path}|{}|0|after", libc::O_WRONLY))?
                == AFTER
        );
        ensure!(
            rig.alice
                .tell(&format!("open|open|{held}|{}|0", libc::O_RDONLY))?
                == 0,
            "reading is free"
        );
        ensure!(rig.alice.tell(&format!("exec|fork|{WORK}/bin/free"))? == PROGRAM_CODE);
        ensure!(
            rig.alice.tell("connect|udp|127.0.9.1|7001")? == 0,
            "another port"
        );
        let records = rig.agent.records();
        ensure!(
            records.is_empty(),
            "{} records of ordinary work",
            records.len()
        );
        Ok(())
    })
}
