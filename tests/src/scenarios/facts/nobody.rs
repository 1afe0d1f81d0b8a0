//! Nobody answers.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::Value;

use super::machine::{self, at};
use crate::{
    actors::{
        client::{ALICE, Puppet},
        rig::DYNAMIC,
    },
    scenario::Ctx,
    wait,
};

pub fn killed(ctx: &mut Ctx) -> Result<()> {
    machine::with(|machine| {
        machine.runs("sql", &["-c", "select 'known'"])?;
        machine.host.kill_agent()?;
        // What was told stays told.
        machine.runs("sql", &["-c", "select 'known'"])?;
        let begun = Instant::now();
        machine.denied("sql", &["-c", "select 'unknown'"])?;
        let waited = begun.elapsed();
        ctx.log(format!("waited {waited:?}"));
        ensure!(waited >= Duration::from_secs(1), "waited {waited:?} only");
        let other = machine.alice.tell(&format!("exec|fork|{DYNAMIC}"))?;
        ensure!(other == 0, "what no rule is about gives {other}");
        machine.host.start_agent()?;
        machine.runs("sql", &["-c", "select 'unknown'"])?;
        let unanswered = machine.host.counter("unanswered")?;
        ensure!(unanswered > 0, "nobody counted it");
        let told = wait::until_ok(wait::SOON, "the event", || {
            let events = machine.host.events()?;
            let unknown = |event: &&Value| event.to_string().contains("fact-unknown");
            Ok(events.iter().find(unknown).cloned())
        })?;
        ctx.log(told["message"].to_string());
        Ok(())
    })
}

pub fn signalled(_: &mut Ctx) -> Result<()> {
    machine::with(|machine| {
        machine.host.kill_agent()?;
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGKILL] {
            let mut waiting = Puppet::start(ALICE)?;
            let pid = waiting.pid();
            let ticket = waiting.ask(&format!("exec-here|{}|1|0", at("sql")))?;
            std::thread::sleep(Duration::from_millis(200));
            nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(pid.cast_signed()),
                nix::sys::signal::Signal::try_from(signal)?,
            )?;
            let code = waiting.ended(wait::SOON)?;
            ensure!(code == 128 + signal, "it ends with {code}");
            let told = waiting.answered(&ticket);
            ensure!(told.is_none(), "the call came to its end first: {told:?}");
        }
        machine.host.start_agent()?;
        machine.runs("sql", &[])
    })
}
