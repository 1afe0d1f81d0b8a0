//! Where a hold is possible and where it is not: io_uring, 32-bit calls, threads, the init of a pid namespace.
//! What cannot be held is denied with an event and never leaks the kernel's restart code.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use stayhand_agent_ebpf::abi::code::{counter, reason};

use crate::{
    actors::{
        client::{ALICE_ROOT, Puppet},
        elf,
        rig::{self, WORK, changed, file, write_executable},
        standin::{UNAVAILABLE, denials},
        sys::{EPERM, RESTART_LEAK, Ret},
    },
    process,
    scenario::{Ctx, Scenario},
    wait,
};

/// `O_WRONLY`, as the immediate of one instruction.
const ELF_WRITE_ONLY: u8 = 1;

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("io_uring_plain_open_is_denied_and_says_so", plain).group("kernel"),
    Scenario::new("io_uring_open_in_a_worker_is_denied_and_says_so", worker).group("kernel"),
    Scenario::new(
        "io_uring_open_by_the_polling_thread_is_denied_and_says_so",
        poller,
    )
    .group("kernel"),
    Scenario::new("io_uring_linked_open_is_denied_and_says_so", linked).group("kernel"),
    Scenario::new(
        "io_uring_linked_open_under_the_number_of_connect_is_denied",
        on_connect,
    )
    .group("kernel"),
    Scenario::new(
        "io_uring_linked_open_under_the_number_of_sendto_is_denied",
        on_sendto,
    )
    .group("kernel"),
    Scenario::new("held_32_bit_open_has_no_effect", open32).group("kernel"),
    Scenario::new(
        "a_32_bit_program_is_held_and_gets_the_right_result",
        program32,
    )
    .group("kernel"),
    Scenario::new("a_call_number_means_what_its_abi_says", abi_counts).group("kernel"),
    Scenario::new(
        "held_open_with_bits_above_its_number_has_no_effect",
        high_bits,
    )
    .group("kernel"),
    Scenario::new(
        "a_32_bit_call_that_is_not_on_the_list_is_denied",
        unlisted32,
    )
    .group("kernel"),
    Scenario::new(
        "other_threads_of_a_held_process_go_on_after_the_answer",
        other_threads,
    )
    .group("kernel"),
    Scenario::new("two_threads_can_be_held_at_once", two_threads).group("kernel"),
    Scenario::new("the_init_of_a_pid_namespace_is_held", namespace_init).group("kernel"),
];

/// A ring request of `kind`: works where nothing is held, `EPERM` and an event where something is.
fn ring(kind: &str) -> Result<()> {
    rig::with(|rig| {
        let free = file("free/ring")?;
        let opened = rig
            .alice
            .tell(&format!("uring|{kind}|{free}|{}", libc::O_WRONLY))?;
        ensure!(
            opened >= 0,
            "an open that nothing restricts gives {opened}: this shows nothing"
        );
        let held = file("held/ring")?;
        let new = format!("{WORK}/held/ring-new");
        let attempts = [
            (&held, libc::O_WRONLY | libc::O_TRUNC),
            (&new, libc::O_WRONLY | libc::O_CREAT),
        ];
        for (path, flags) in attempts {
            drop(rig.agent.records());
            let result = rig
                .alice
                .tell(&format!("uring|{kind}|{path}|{flags}|420"))?;
            ensure!(
                result != RESTART_LEAK,
                "the restart code leaked into the completion"
            );
            ensure!(result == EPERM, "{path}: the completion says {result}");
            let records = rig.agent.records();
            ensure!(
                denials(&records, UNAVAILABLE) >= 1,
                "{path}: no event says why"
            );
            ensure!(rig.agent.pending().is_empty(), "something is pending");
        }
        ensure!(!changed(&held), "the file was truncated");
        ensure!(fs::metadata(&new).is_err(), "the file was made");
        Ok(())
    })
}

fn plain(_: &mut Ctx) -> Result<()> {
    ring("plain")?;
    ring("plain2")
}

fn worker(_: &mut Ctx) -> Result<()> {
    ring("worker")
}

fn poller(_: &mut Ctx) -> Result<()> {
    ring("poller")
}

fn linked(_: &mut Ctx) -> Result<()> {
    ring("linked")
}

fn on_connect(_: &mut Ctx) -> Result<()> {
    ring("on-connect")
}

fn on_sendto(_: &mut Ctx) -> Result<()> {
    ring("on-sendto")
}

fn high_bits(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let path = file("held/f")?;
        let flags = libc::O_WRONLY | libc::O_TRUNC;
        let words = format!("open|open-high|{path}|{flags}|0|after");
        rig.held_without_effect(&words, &|| changed(&path), 5)
    })
}

fn open32(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        for call in ["open32", "openat32", "creat32"] {
            let path = file("held/f32")?;
            let flags = libc::O_WRONLY | libc::O_TRUNC;
            let words = format!("open|{call}|{path}|{flags}|420|after");
            rig.held_without_effect(&words, &|| changed(&path), 5)
                .context(call)?;
        }
        Ok(())
    })
}

fn program32(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let path = file("held/f32")?;
        let program = format!("{WORK}/bin/open32");
        write_executable(&program, &elf::open32(&path, ELF_WRITE_ONLY))?;
        for (approved, code) in [(false, Ret::from(libc::EPERM)), (true, 0)] {
            let held = rig.hold(&format!("exec|fork|{program}"))?;
            if approved {
                rig.agent.approve(&held.hold)?;
            } else {
                rig.agent.refuse(&held.hold)?;
            }
            let result = rig.result(&held)?;
            ensure!(
                result == code,
                "approved {approved}: the program ends with {result}"
            );
        }
        Ok(())
    })
}

/// Number 5 is `open` in the 32-bit table and `fstat` in the 64-bit one.
fn abi_counts(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let path = file("held/f")?;
        drop(rig.agent.records());
        let stat = rig.alice.tell(&format!("fstat|{path}"))?;
        ensure!(stat == 0, "fstat gives {stat}");
        ensure!(
            rig.agent.records().is_empty() && rig.agent.pending().is_empty(),
            "fstat was noticed"
        );
        Ok(())
    })
}

fn unlisted32(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let path = file("held/f")?;
        rig.denied(
            &format!("open|openat2-32|{path}|{}|0|after", libc::O_WRONLY),
            UNAVAILABLE,
        )?;
        ensure!(!changed(&path), "it had its effect");
        rig.denied(&format!("exec32|{WORK}/bin/held"), UNAVAILABLE)
    })
}

fn other_threads(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let path = file("held/f")?;
        let nap = rig.alice.ask_thread(2, "nap|300")?;
        let ticket = rig
            .alice
            .ask_thread(1, &format!("open|open|{path}|{}|0|after", libc::O_WRONLY))?;
        let held = rig.held(ticket)?;
        wait::stays("the stopped thread's silence", || {
            Ok(rig.alice.answered(&nap).is_none())
        })?;
        rig.agent.approve(&held.hold)?;
        ensure!(
            rig.result(&held)? == 5,
            "the held thread gets {}",
            rig.result(&held)?
        );
        let slept = rig.alice.answer(&nap, wait::SOON)?;
        ensure!(
            slept == 0 || slept == -Ret::from(libc::EINTR),
            "the other thread's sleep gives {slept}"
        );
        ensure!(rig.alice.tell("tid")? > 0, "the main thread is stuck");
        Ok(())
    })
}

fn two_threads(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let (a, b) = (file("held/a")?, file("held/b")?);
        let first = rig
            .alice
            .ask_thread(1, &format!("open|open|{a}|{}|0|after", libc::O_WRONLY))?;
        let second = rig
            .alice
            .ask_thread(2, &format!("open|open|{b}|{}|0|after!", libc::O_WRONLY))?;
        // The first stop also stops the other thread: stray continues let it reach its own call.
        let both = wait::until_done(wait::SOON, "two threads to be held", || {
            let pending = rig.agent.pending();
            pending.first().inspect(|one| rig.agent.wake(one));
            Ok((pending.len() == 2).then_some(pending))
        })?;
        ensure!(!changed(&a) && !changed(&b), "an effect without an answer");
        let tids: Vec<u32> = both.iter().map(|one| one.entry.tid).collect();
        ensure!(tids.first() != tids.last(), "one thread twice: {tids:?}");
        ensure!(
            rig.agent.counted(1001) == 2,
            "counted {}",
            rig.agent.counted(1001)
        );
        for one in &both {
            let settled = rig.agent.approve(one);
            let answers = [rig.alice.answered(&first), rig.alice.answered(&second)];
            settled.with_context(|| format!("the calls returned {answers:?}"))?;
        }
        ensure!(
            rig.alice.answer(&first, wait::SOON)? == 5
                && rig.alice.answer(&second, wait::SOON)? == 6
        );
        ensure!(changed(&a) && changed(&b), "no effect after the approvals");
        ensure!(
            rig.agent.counted(1001) == 0,
            "counted {}",
            rig.agent.counted(1001)
        );
        Ok(())
    })
}

/// Signals from inside do not stop such a process; the hold's signal comes from the kernel and does.
fn namespace_init(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let path = file("held/f")?;
        let mut init =
            Puppet::start_under(ALICE_ROOT, &["unshare", "--pid", "--fork", "--kill-child"])?;
        ensure!(
            init.tell("tid")? == 1,
            "it is not the init of its namespace"
        );
        drop(rig.agent.records());
        let before = rig.agent.counter(counter::RESTOPPED)?;
        let ticket = init.ask(&format!("open|open|{path}|{}|0|after", libc::O_WRONLY))?;
        let hold = rig.agent.wait_one()?;
        process::wait_stopped(hold.entry.tgid, wait::SOON)?;
        wait::stays("the stopped init", || {
            Ok(process::is_stopped(hold.entry.tgid) && !changed(&path))
        })?;
        ensure!(
            rig.agent.counter(counter::RESTOPPED)? == before,
            "it was not stopped but tried again and again"
        );
        rig.agent.approve(&hold)?;
        ensure!(
            init.answer(&ticket, wait::SOON)? == 5,
            "the call does not complete"
        );
        ensure!(denials(&rig.agent.records(), reason::HOLD_RESTOPS) == 0);
        Ok(())
    })
}
