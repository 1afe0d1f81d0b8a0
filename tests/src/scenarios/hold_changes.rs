//! An approval is for one exact action: whoever changes what the held call will do, in its memory or on disk, has
//! to be answered anew. The hand that changes is an unguarded root's, which no rule stops. Programs, connections and
//! opens here; `hold_changes_files` has the rest.

use std::{fs, io::ErrorKind, net::TcpListener};

use anyhow::{Context as _, Result, bail, ensure};
use stayhand_agent_ebpf::abi::code::answer;

use crate::{
    actors::{
        elf,
        memory::Memory,
        rig::{self, PROGRAM_CODE, Rig, WORK, changed, file},
        standin::Pending,
        sys::EPERM,
    },
    scenario::{Ctx, Scenario},
    wait,
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "an_approval_does_not_serve_a_held_exec_whose_arguments_were_changed",
        arguments,
    )
    .group("kernel"),
    Scenario::new(
        "an_approval_does_not_serve_a_held_exec_whose_environment_was_changed",
        environment,
    )
    .group("kernel"),
    Scenario::new(
        "an_approval_does_not_serve_a_held_exec_of_a_file_with_other_content",
        content,
    )
    .group("kernel"),
    Scenario::new(
        "an_approval_does_not_serve_a_held_exec_of_another_program",
        program,
    )
    .group("kernel"),
    Scenario::new(
        "an_approval_does_not_serve_a_held_connect_to_another_address",
        destination,
    )
    .group("kernel"),
    Scenario::new(
        "an_approval_does_not_serve_a_held_open_of_another_path",
        path,
    )
    .group("kernel"),
    Scenario::new(
        "an_approval_does_not_serve_a_held_open_with_other_flags",
        flags,
    )
    .group("kernel"),
];

/// What must become of a changed call that was approved before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Another question, about the other action
    Asked,
    /// A denial, where a rule denies the other action
    Denied,
}

/// Holds, changes, approves: the changed call has no effect and its own answer, whatever the first question's was.
pub(super) fn changed_while_held(
    rig: &mut Rig,
    words: &str,
    change: &dyn Fn(&Memory) -> Result<()>,
    effect: &dyn Fn() -> bool,
    then: Then,
) -> Result<()> {
    let held = rig.hold(words)?;
    let memory = Memory::of(held.hold.entry.tgid)?;
    change(&memory).context("the change failed")?;
    rig.agent.write_answer(&held.hold, answer::APPROVED)?;
    rig.agent.wake(&held.hold);
    let second: Option<Pending> = wait::until(wait::SOON, "what becomes of it", || {
        let other = |one: &Pending| one.entry.hold != held.hold.entry.hold;
        let asked = rig.agent.pending().into_iter().find(other);
        asked
            .map(Some)
            .or_else(|| rig.alice.answered(&held.ticket).map(|_| None))
    })?;
    ensure!(!effect(), "the approval served another action");
    match (&second, then) {
        (Some(question), Then::Asked) => {
            ensure!(
                rig.agent.has_answer(&held.hold),
                "the other action used the first one's answer"
            );
            rig.agent.refuse(question)?;
        }
        (None, Then::Denied) => {}
        (found, _) => bail!("{then:?} was expected, and there is {found:?}"),
    }
    let result = rig.result(&held)?;
    rig.agent.forget(&held.hold)?;
    ensure!(result == EPERM, "the changed call gives {result}");
    ensure!(!effect(), "it had its effect although nobody approved it");
    Ok(())
}

/// An exec shows its effect in its result alone.
fn exec_changed(words: &str, change: &dyn Fn(&Memory) -> Result<()>, then: Then) -> Result<()> {
    rig::with(|rig| changed_while_held(rig, words, change, &|| false, then))
}

fn arguments(_: &mut Ctx) -> Result<()> {
    let words = format!("exec|fork|{WORK}/bin/held|--dry-run");
    let change = |held: &Memory| held.replace_in(held.argument(1)?, "--dry-run", "--run-now");
    exec_changed(&words, &change, Then::Asked)
}

fn environment(_: &mut Ctx) -> Result<()> {
    let words = format!("exec-with|MODE=test|{WORK}/bin/held|argument");
    let change = |held: &Memory| held.replace_in(held.argument(2)?, "MODE=test", "MODE=prod");
    exec_changed(&words, &change, Then::Asked)
}

/// The same file, the same size, other bytes.
fn content(_: &mut Ctx) -> Result<()> {
    let other_code = u8::try_from(PROGRAM_CODE)? + 1;
    let path = format!("{WORK}/bin/held");
    let change = |_: &Memory| {
        let (before, after) = (fs::read(&path)?, elf::exit64(other_code));
        ensure!(
            before.len() == after.len() && before != after,
            "the programs differ in length, or not at all"
        );
        Ok(fs::write(&path, after)?)
    };
    let words = format!("exec|fork|{path}");
    let result = exec_changed(&words, &change, Then::Asked);
    rig::program("bin/held")?;
    result
}

/// Approved was one program, and the path in memory names another: one that is held, too, or one that is denied.
fn program(_: &mut Ctx) -> Result<()> {
    for (old, new, then) in [
        ("bin/script", "bin/interp", Then::Asked),
        ("bin/script", "bin/denied", Then::Denied),
    ] {
        let (old, new) = (format!("{WORK}/{old}"), format!("{WORK}/{new}"));
        let change = |held: &Memory| held.replace(held.argument(0)?, &old, &new);
        exec_changed(&format!("exec|fork|{old}"), &change, then)?;
    }
    Ok(())
}

/// The address and port of a `struct sockaddr_in` in memory.
fn other_address(held: &Memory, address: [u8; 4], port: u16) -> Result<()> {
    let at = held.argument(1)?;
    held.write(at + 2, &port.to_be_bytes())?;
    held.write(at + 4, &address)
}

fn destination(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        for (address, port, then) in [
            ([127, 0, 9, 2], 7000, Then::Asked),
            ([127, 0, 8, 1], 7100, Then::Denied),
        ] {
            let approved = TcpListener::bind("127.0.9.1:7000")?;
            let other = TcpListener::bind((std::net::Ipv4Addr::from(address), port))?;
            for listener in [&approved, &other] {
                listener.set_nonblocking(true)?;
            }
            let accepted = |listener: &TcpListener| match listener.accept() {
                Ok(_) => true,
                Err(error) => error.kind() != ErrorKind::WouldBlock,
            };
            changed_while_held(
                rig,
                "connect|tcp|127.0.9.1|7000",
                &|held| other_address(held, address, port),
                &|| accepted(&approved) || accepted(&other),
                then,
            )?;
        }
        Ok(())
    })
}

fn path(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        for (other, then) in [("held/g", Then::Asked), ("swap/f", Then::Denied)] {
            let (old, new) = (file("held/f")?, file(other)?);
            let words = format!("open|open|{old}|{}|0|after", libc::O_WRONLY | libc::O_TRUNC);
            changed_while_held(
                rig,
                &words,
                &|held| held.replace(held.argument(0)?, &old, &new),
                &|| changed(&old) || changed(&new),
                then,
            )?;
        }
        Ok(())
    })
}

/// `openat2` has its flags in memory: an approved open that would only write becomes one that empties the file.
fn flags(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let path = file("held/f")?;
        let more = u64::try_from(libc::O_WRONLY | libc::O_TRUNC)?;
        changed_while_held(
            rig,
            &format!("open|openat2|{path}|{}|0", libc::O_WRONLY),
            &|held| held.write(held.argument(2)?, &more.to_ne_bytes()),
            &|| changed(&path),
            Then::Asked,
        )
    })
}
