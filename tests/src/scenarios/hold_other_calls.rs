//! The other calls that can be held: those that read, map a file executable, send, bind; and an exchange, which is
//! two renames in one call.

use std::{
    fs,
    io::ErrorKind,
    net::{TcpListener, UdpSocket},
};

use anyhow::{Result, ensure};
use stayhand_agent_ebpf::abi::code::{answer, reason};

use crate::{
    actors::{
        rig::{self, Rig, WORK, file, program},
        standin::of_hold,
        sys::{EPERM, Ret},
    },
    scenario::{Ctx, Scenario},
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("held_open_for_reading_has_no_effect", read).group("kernel"),
    Scenario::new("held_listing_of_a_directory_has_no_effect", list).group("kernel"),
    Scenario::new("held_mmap_of_a_library_has_no_effect", map).group("kernel"),
    Scenario::new("held_mmap_of_a_held_program_has_no_effect", map_program).group("kernel"),
    Scenario::new("held_sendto_has_no_effect", |_| {
        sent("sendto|udp|=x|1|0|at:127.0.10.1:7200|16", 1)
    })
    .group("kernel"),
    Scenario::new("held_sendto_over_ipv6_has_no_effect", sent6).group("kernel"),
    Scenario::new("held_sendmsg_has_no_effect", |_| {
        sent("sendmsg|udp|msg:127.0.10.1:7200|0", 1)
    })
    .group("kernel"),
    Scenario::new("held_tcp_fast_open_has_no_effect", fast_open).group("kernel"),
    Scenario::new("held_bind_of_a_tcp_socket_has_no_effect", |_| {
        bound("tcp", 7300)
    })
    .group("kernel"),
    Scenario::new("held_bind_of_a_udp_socket_has_no_effect", |_| {
        bound("udp", 7301)
    })
    .group("kernel"),
    Scenario::new("held_exchange_takes_an_answer_for_each_direction", exchange).group("kernel"),
];

/// A descriptor that alice has.
fn is_open(pid: u32, path: &str) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    let targets = descriptors
        .flatten()
        .filter_map(|one| fs::read_link(one.path()).ok());
    targets.into_iter().any(|target| target.as_os_str() == path)
}

fn opened(make: fn() -> Result<String>, flags: i32) -> Result<()> {
    rig::with(|rig| {
        let (path, alice) = (make()?, rig.alice.pid());
        let words = format!("call|open|{path}|{flags}");
        rig.held_without_effect(&words, &|| is_open(alice, &path), 0)
    })
}

fn read(_: &mut Ctx) -> Result<()> {
    opened(|| file("secret/f"), libc::O_RDONLY)
}

fn list(_: &mut Ctx) -> Result<()> {
    let directory = || {
        let path = format!("{WORK}/secret/d");
        fs::create_dir_all(&path)?;
        Ok(path)
    };
    opened(directory, libc::O_RDONLY | libc::O_DIRECTORY)
}

/// Whether a file is executable memory of a process.
fn is_mapped(pid: u32, path: &str) -> bool {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    maps.lines()
        .any(|line| line.contains(" r-xp ") && line.ends_with(path))
}

fn mapped(make: fn() -> Result<String>) -> Result<()> {
    rig::with(|rig| {
        rig.fresh_alice()?; // nothing is mapped yet
        let (path, alice) = (make()?, rig.alice.pid());
        let (prot, flags) = (libc::PROT_READ | libc::PROT_EXEC, libc::MAP_PRIVATE);
        let words = format!("call|mmap|0|4096|{prot}|{flags}|fd:{path}|0");
        rig.held_without_effect(&words, &|| is_mapped(alice, &path), 0)
    })
}

fn map(_: &mut Ctx) -> Result<()> {
    mapped(|| file("lib/f"))
}

/// What a loader does that is given the program's name: a rule on executing it counts.
fn map_program(_: &mut Ctx) -> Result<()> {
    mapped(|| program("bin/held"))
}

fn sent(words: &str, expected: Ret) -> Result<()> {
    received("127.0.10.1:7200", words, expected)
}

fn received(address: &str, words: &str, expected: Ret) -> Result<()> {
    rig::with(|rig| {
        let socket = UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        let received = || socket.peek(&mut [0; 8]).is_ok();
        rig.held_without_effect(&format!("call|{words}"), &received, expected)?;
        ensure!(
            socket.recv(&mut [0; 8]).is_ok() && !received(),
            "it was sent more than once"
        );
        Ok(())
    })
}

fn sent6(_: &mut Ctx) -> Result<()> {
    received("[::1]:7200", "sendto|udp6|=x|1|0|at:[::1]:7200|28", 1)
}

fn fast_open(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let listener = TcpListener::bind("127.0.9.1:7000")?;
        listener.set_nonblocking(true)?;
        let accepted = || match listener.accept() {
            Ok(_) => true,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        };
        let flags = libc::MSG_FASTOPEN | libc::MSG_NOSIGNAL;
        let words = format!("call|sendto|tcp|=x|1|{flags}|at:127.0.9.1:7000|16");
        rig.held_without_effect(&words, &accepted, 1)
    })
}

/// Alice keeps the socket until her next call.
fn bound(kind: &str, port: u16) -> Result<()> {
    rig::with(|rig| {
        let taken = || match kind {
            "tcp" => TcpListener::bind(("127.0.10.1", port)).is_err(),
            _ => UdpSocket::bind(("127.0.10.1", port)).is_err(),
        };
        rig.held_without_effect(
            &format!("call|bind|{kind}|at:127.0.10.1:{port}|16"),
            &taken,
            0,
        )
    })
}

/// The kernel asks for either direction before it does anything.
fn exchange(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let (a, b) = (format!("{WORK}/kept/x"), format!("{WORK}/kept/y"));
        fs::write(&a, "before")?;
        fs::write(&b, "after")?;
        let words = format!("exchange|{a}|{b}");
        let exchanged = || fs::read_to_string(&a).is_ok_and(|found| found != "before");
        let refused_first = in_turn(rig, &words, &[answer::REFUSED], &exchanged)?;
        ensure!(
            refused_first == EPERM && !exchanged(),
            "refused, and yet {refused_first}"
        );
        let refused_then = in_turn(
            rig,
            &words,
            &[answer::APPROVED, answer::REFUSED],
            &exchanged,
        )?;
        ensure!(
            refused_then == EPERM && !exchanged(),
            "half refused, and yet {refused_then}"
        );
        let approved = in_turn(rig, &words, &[answer::APPROVED; 2], &exchanged)?;
        ensure!(
            approved == 0 && exchanged(),
            "approved twice gives {approved}"
        );
        for path in [a, b] {
            fs::remove_file(path)?;
        }
        Ok(())
    })
}

/// Answers the questions of one call, each after stray continues; one announcement and one outcome each.
fn in_turn(rig: &mut Rig, words: &str, answers: &[u32], effect: &dyn Fn() -> bool) -> Result<Ret> {
    drop(rig.agent.records());
    let mut held = rig.hold(words)?;
    let mut asked = vec![];
    for (index, answer) in answers.iter().enumerate() {
        if index > 0 {
            held = rig.held(held.ticket)?;
        }
        rig.stray_continues(&held, 2)?;
        ensure!(!effect(), "it had its effect before answer {index}");
        rig.agent.settle(&held.hold, *answer)?;
        asked.push((held.hold.entry.hold, *answer));
    }
    let result = rig.result(&held)?;
    let records = rig.agent.records();
    for (hold, answer) in asked {
        let outcome = if answer == answer::APPROVED {
            reason::HOLD_APPROVED
        } else {
            reason::HOLD_REFUSED
        };
        let told = of_hold(&records, hold);
        ensure!(told == (1, vec![outcome]), "told {told:?}");
    }
    Ok(result)
}
