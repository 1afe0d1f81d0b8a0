//! Signals, tracers and ends of processes while something is held, as the kernel treats them. What the agent does
//! about them is in `hold_agent`.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use stayhand_agent_ebpf::abi::code::{answer, reason};

use crate::{
    actors::{
        client::{ALICE, Puppet},
        rig::{self, WORK, changed, file},
        standin::{denials, of_hold},
        sys::{EPERM, Ret},
    },
    process,
    scenario::{Ctx, Scenario},
    wait,
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("a_fatal_signal_takes_effect_before_the_held_call", fatal).group("kernel"),
    Scenario::new("sigkill_ends_a_held_process_without_effect", sigkill).group("kernel"),
    Scenario::new(
        "a_handler_runs_while_held_and_the_call_is_stopped_again",
        handler,
    )
    .group("kernel"),
    Scenario::new("call_and_handler_are_asked_each_for_itself", acting_handler).group("kernel"),
    Scenario::new(
        "an_approval_of_a_call_that_was_left_does_not_serve_another_one",
        another_call,
    )
    .group("kernel"),
    Scenario::new("a_voided_approval_does_not_serve_a_later_call", voided).group("kernel"),
    Scenario::new(
        "an_approval_kept_for_a_restart_ends_with_its_own_deadline",
        abandoned,
    )
    .group("kernel"),
    Scenario::new("a_tracer_that_swallows_the_stop_gains_nothing", swallowed).group("kernel"),
    Scenario::new(
        "an_approval_reaches_a_call_whose_stop_is_swallowed",
        swallowed_and_approved,
    )
    .group("kernel"),
];

fn open_words(path: &str) -> String {
    format!(
        "open|open|{path}|{}|0|after",
        libc::O_WRONLY | libc::O_TRUNC
    )
}

fn fatal(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
            let path = file("held/f")?;
            let mut victim = Puppet::start(ALICE)?;
            victim.ask(&open_words(&path))?;
            let hold = rig.agent.wait_one()?;
            process::wait_stopped(victim.pid(), wait::SOON)?;
            process::signal(victim.pid(), signal)?;
            // It is pending: only a continue lets it take effect, and then before the call is issued again.
            rig.agent.wake(&hold);
            let code = victim.ended(wait::SOON)?;
            ensure!(code == 128 + signal as i32, "{signal} ends it with {code}");
            ensure!(!changed(&path), "{signal}: the call had its effect");
            rig.agent.forget(&hold)?;
        }
        ensure!(
            rig.agent.counted(1001) == 0,
            "{} holds are still counted",
            rig.agent.counted(1001)
        );
        Ok(())
    })
}

fn sigkill(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let path = file("held/f")?;
        let mut victim = Puppet::start(ALICE)?;
        victim.ask(&open_words(&path))?;
        let hold = rig.agent.wait_one()?;
        process::wait_stopped(victim.pid(), wait::SOON)?;
        // Even an approval that is already there.
        rig.agent.write_answer(&hold, answer::APPROVED)?;
        process::signal(victim.pid(), Signal::SIGKILL)?;
        ensure!(
            victim.ended(wait::SOON)? == 137,
            "it did not end by SIGKILL"
        );
        ensure!(!changed(&path), "the call had its effect");
        rig.agent.forget(&hold)
    })
}

fn handler(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        rig.fresh_alice()?;
        let path = file("held/f")?;
        rig.alice
            .tell(&format!("handler|{}|count", libc::SIGUSR1))?;
        let caught = rig.alice.tell("caught")?;
        let held = rig.hold(&open_words(&path))?;
        process::signal(rig.alice.pid(), Signal::SIGUSR1)?;
        rig.stray_continues(&held, 1)?;
        ensure!(!changed(&path), "the call had its effect after the handler");
        rig.agent.approve(&held.hold)?;
        ensure!(
            rig.result(&held)? == 5,
            "the call gives {}",
            rig.result(&held)?
        );
        ensure!(
            rig.alice.tell("caught")? == caught + 1,
            "the handler did not run once"
        );
        rig.told(&held, reason::HOLD_APPROVED)
    })
}

/// The handler does what the held call does. An approval of the one serves it and not the other, whichever comes
/// first: the handler finds the call's question, which ends, and the call asks again after it.
fn acting_handler(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        rig.fresh_alice()?;
        let path = file("held/f")?;
        let words = format!("open|open|{path}|{}|0", libc::O_WRONLY);
        rig.alice
            .tell(&format!("handler|{}|open|{path}", libc::SIGUSR1))?;
        let call = rig.hold(&words)?;
        process::signal(rig.alice.pid(), Signal::SIGUSR1)?;
        rig.agent.approve(&call.hold)?;
        let handler = rig
            .held(call.ticket)
            .context("the approval of the call served its handler")?;
        rig.agent.refuse(&handler.hold)?;
        let again = rig.held(handler.ticket).context("the call asks again")?;
        ensure!(again.hold.entry.call == call.hold.entry.call);
        ensure!(handler.hold.entry.call != call.hold.entry.call);
        rig.agent.approve(&again.hold)?;
        let results = [rig.result(&again)?, rig.alice.tell("handler-result")?];
        ensure!(results == [0, EPERM], "call and handler give {results:?}");
        let records = rig.agent.records();
        ensure!(
            of_hold(&records, call.hold.entry.hold) == (1, vec![reason::HOLD_CANCELLED]),
            "nothing says that the first question is void"
        );
        Ok(())
    })
}

/// The interrupted call never restarts, and another one that does the same comes after it.
fn another_call(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        rig.fresh_alice()?;
        let path = file("held/f")?;
        let flags = libc::O_WRONLY | libc::O_TRUNC;
        rig.alice.tell(&format!("handler|{}|skip", libc::SIGUSR2))?;
        let left = rig.hold(&open_words(&path))?;
        process::signal(rig.alice.pid(), Signal::SIGUSR2)?;
        rig.agent.write_answer(&left.hold, answer::APPROVED)?;
        rig.agent.wake(&left.hold);
        ensure!(rig.result(&left)? == -Ret::from(libc::EINTR));
        let ticket = rig
            .alice
            .ask(&format!("open|openat|{path}|{flags}|0|after"))?;
        let other = wait::until(wait::SOON, "a question of its own", || {
            let mut pending = rig.agent.pending().into_iter();
            pending.find(|one| one.entry.hold != left.hold.entry.hold)
        })?;
        ensure!(!changed(&path), "the approval of another call was used");
        let records = rig.agent.records();
        ensure!(
            of_hold(&records, left.hold.entry.hold) == (1, vec![reason::HOLD_CANCELLED]),
            "nothing says that the first question is void"
        );
        rig.agent.refuse(&other)?;
        ensure!(rig.alice.answer(&ticket, wait::SOON)? == EPERM);
        ensure!(!changed(&path), "it had its effect although it was refused");
        Ok(())
    })
}

/// The interrupted call never restarts, as after `siglongjmp`, and the very same call comes after it, which the
/// kernel cannot tell from a restart; the agent's `void` closes the hole.
fn voided(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        rig.fresh_alice()?;
        rig.alice.tell(&format!("handler|{}|skip", libc::SIGUSR2))?;
        let held = rig.hold(&format!("exec-here|{WORK}/bin/held|2|500"))?;
        process::signal(rig.alice.pid(), Signal::SIGUSR2)?;
        rig.agent.write_answer(&held.hold, answer::APPROVED)?;
        rig.agent.wake(&held.hold);
        // The first call has returned and the second one has not come yet.
        std::thread::sleep(std::time::Duration::from_millis(200));
        ensure!(
            rig.agent.entry(&held.hold).is_some() && rig.alice.answered(&held.ticket).is_none(),
            "this shows nothing"
        );
        rig.agent.write_answer(&held.hold, answer::VOID)?;
        ensure!(
            rig.result(&held)? == EPERM,
            "the second call gives {}",
            rig.result(&held)?
        );
        rig.told(&held, reason::HOLD_CANCELLED)
    })
}

/// The script is approved, and its call is left for good while the interpreter waits. The very same call right
/// afterwards is taken for the restart, which it cannot be told from (docs/hold.md); after the script's own
/// deadline it is not.
fn abandoned(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        rig.fresh_alice()?;
        rig.alice.tell(&format!("handler|{}|skip", libc::SIGUSR2))?;
        let words = format!("exec-here|{WORK}/bin/brief|2|2500");
        let script = rig.hold(&words)?;
        rig.agent.approve(&script.hold)?;
        let interpreter = rig.held(script.ticket)?;
        process::signal(rig.alice.pid(), Signal::SIGUSR2)?;
        rig.agent.wake(&interpreter.hold);
        let again = wait::until(wait::SOON, "a question about the script", || {
            let mut pending = rig.agent.pending().into_iter();
            pending.find(|one| one.entry.hold != interpreter.hold.entry.hold)
        });
        let again = again.context("an approval whose time is over was used");
        match &again {
            Ok(again) => {
                ensure!(
                    again.key.digest == script.hold.key.digest,
                    "asked about something else: {again:?}"
                );
                rig.agent.refuse(again)?;
            }
            Err(_) => rig.agent.refuse(&interpreter.hold)?,
        }
        rig.agent.forget(&interpreter.hold)?;
        ensure!(rig.alice.answer(&interpreter.ticket, wait::SOON)? == EPERM);
        again.map(drop)
    })
}

fn swallowed(_: &mut Ctx) -> Result<()> {
    const BOUND: u32 = 20;
    rig::with(|rig| {
        let path = file("held/f")?;
        let bounds = rig
            .agent
            .with_settings(|settings| settings.restops_max = BOUND)?;
        let ticket = rig.alice.ask(&format!("swallow|{}", open_words(&path)))?;
        let result = rig
            .alice
            .answer(&ticket, wait::SOON)
            .context("it is neither held nor denied")?;
        drop(bounds);
        ensure!(
            result == EPERM && !changed(&path),
            "swallowing the stop gives {result}"
        );
        let tracer = rig.alice.answer(&ticket.tracer(), wait::SOON)?;
        ensure!(
            tracer >> 8 >= Ret::from(BOUND),
            "only {} stops were swallowed: this shows nothing",
            tracer >> 8
        );
        ensure!(
            denials(&rig.agent.records(), reason::HOLD_RESTOPS) == 1,
            "nothing says why"
        );
        Ok(())
    })
}

fn swallowed_and_approved(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let path = file("held/f")?;
        let bounds = rig
            .agent
            .with_settings(|settings| settings.restops_max = u32::MAX)?;
        let ticket = rig.alice.ask(&format!("swallow|{}", open_words(&path)))?;
        let hold = rig.agent.wait_one()?;
        wait::stays("the call", || {
            Ok(rig.alice.answered(&ticket).is_none() && !changed(&path))
        })?;
        rig.agent.approve(&hold)?;
        drop(bounds);
        ensure!(
            rig.alice.answer(&ticket, wait::SOON)? == 5,
            "the approved call does not complete"
        );
        ensure!(fs::read(&path)? == b"after");
        Ok(())
    })
}
