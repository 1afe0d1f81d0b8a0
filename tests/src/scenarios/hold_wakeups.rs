//! The lost wake-up: whatever the order of publish, stop, answer and continue, no round hangs and none has an
//! effect without its answer.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use stayhand_agent_ebpf::abi::code::{answer, counter, reason};

use crate::{
    actors::{
        client::{DAEMON, Puppet},
        rig::{self, Rig, changed, file},
        sys::Ret,
    },
    scenario::{Ctx, LIMIT_LONG, Scenario},
    wait,
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "an_answer_at_the_moment_of_publication_is_never_lost",
        at_once,
    )
    .group("kernel")
    .limit(LIMIT_LONG),
    Scenario::new("an_answer_at_any_moment_is_never_lost", any_moment)
        .group("kernel")
        .limit(LIMIT_LONG),
    Scenario::new("an_answer_in_any_gap_of_the_hook_is_never_lost", in_any_gap).limit(LIMIT_LONG),
    Scenario::new(
        "an_answer_amid_a_storm_of_continues_is_never_lost",
        in_a_storm,
    )
    .group("kernel")
    .on_any_kernel()
    .limit(LIMIT_LONG),
    Scenario::new(
        "a_storm_of_continues_without_an_answer_has_no_effect",
        storm_alone,
    )
    .group("kernel"),
    Scenario::new("more_continues_than_the_bound_end_in_a_denial", restops).group("kernel"),
];

/// Rounds of each kind; together "thousands".
const ROUNDS: u32 = 1_200;
/// No round may take longer, whatever the machine is busy with.
const ROUND_MAX: Duration = Duration::from_secs(10);
/// Longest injected delay: a stop takes far less.
const DELAY_MICROS_MAX: u64 = 1_500;
/// Says that it is alive this often.
const STEP_EVERY: u32 = 300;

/// Answers `rounds` holds of one hammering puppet, with a delay before the answer and before each continue.
fn rounds(
    ctx: &mut Ctx,
    rig: &mut Rig,
    rounds: u32,
    mut delay: impl FnMut() -> Duration,
) -> Result<()> {
    let path = file("held/hammered")?;
    rig.agent.collect();
    drop(rig.agent.records());
    let recorded = rig.agent.counter(counter::RECORDED)?;
    let ticket = rig
        .alice
        .ask(&format!("hammer|{rounds}|{path}|{}", libc::O_WRONLY))?;
    for round in 0..rounds {
        let started = Instant::now();
        let hold = loop {
            if let Some(hold) = rig.agent.pending().first() {
                break *hold;
            }
            ensure!(
                rig.alice.answered(&ticket).is_none(),
                "round {round}: went on without an answer"
            );
            ensure!(
                started.elapsed() < ROUND_MAX,
                "round {round}: nothing is held"
            );
        };
        pause(delay());
        rig.agent.write_answer(&hold, answer::APPROVED)?;
        while rig.agent.entry(&hold).is_some() {
            pause(delay());
            rig.agent.wake(&hold);
            let stuck = || format!("round {round} hangs: {:?}", rig.agent.entry(&hold));
            ensure!(started.elapsed() < ROUND_MAX, stuck());
        }
        rig.agent.collect();
        if round % STEP_EVERY == 0 {
            ctx.step(format!("round {round}"));
        }
    }
    let opened = rig
        .alice
        .answer(&ticket, wait::SOON)
        .context("the last round does not return")?;
    ensure!(
        opened == Ret::from(rounds),
        "{opened} of {rounds} calls went on"
    );
    let records = rig.agent.records();
    let approvals = records
        .iter()
        .filter(|record| record.reason == reason::HOLD_APPROVED)
        .count();
    ensure!(
        approvals == rounds as usize,
        "{approvals} approvals for {rounds} answers"
    );
    let recorded = rig.agent.counter(counter::RECORDED)? - recorded;
    ensure!(
        recorded == 2 * u64::from(rounds),
        "{recorded} records of class A for {rounds} rounds"
    );
    ensure!(
        rig.agent.counted(1001) == 0,
        "{} holds are still counted",
        rig.agent.counted(1001)
    );
    Ok(())
}

fn pause(time: Duration) {
    if !time.is_zero() {
        std::thread::sleep(time);
    }
}

fn at_once(ctx: &mut Ctx) -> Result<()> {
    rig::with(|rig| rounds(ctx, rig, ROUNDS, || Duration::ZERO))
}

fn any_moment(ctx: &mut Ctx) -> Result<()> {
    let (seed, mut delay) = delays(ctx);
    rig::with(|rig| rounds(ctx, rig, ROUNDS, &mut delay)).with_context(|| format!("seed {seed}"))
}

/// The hook itself is delayed before and after each of its steps, and others continue the process meanwhile: between
/// its last look at the answers and its signal, between signal and publication, before the stop takes effect.
fn in_any_gap(ctx: &mut Ctx) -> Result<()> {
    let (seed, mut delay) = delays(ctx);
    rig::with_delays(|rig| {
        rounds(ctx, rig, ROUNDS / 2, &mut delay)?;
        let bounds = rig
            .agent
            .with_settings(|settings| settings.restops_max = u32::MAX)?;
        let storm = storm(rig, u32::MAX)?;
        let result = rounds(ctx, rig, ROUNDS / 4, &mut delay);
        drop(storm);
        drop(bounds);
        result
    })
    .with_context(|| format!("seed {seed}"))
}

/// Random delays, and their seed. Half of the steps are not delayed at all: the narrow windows are the interesting
/// ones.
fn delays(ctx: &mut Ctx) -> (u64, impl FnMut() -> Duration + use<>) {
    let seed = rand::rng().random();
    ctx.log(format!("seed {seed}"));
    let mut random = StdRng::seed_from_u64(seed);
    let delay = move || {
        let micros = random
            .random_range(0..DELAY_MICROS_MAX * 2)
            .saturating_sub(DELAY_MICROS_MAX);
        Duration::from_micros(micros)
    };
    (seed, delay)
}

/// A process beside that continues the puppet as fast as it can.
fn storm(rig: &Rig, continues: u32) -> Result<Puppet> {
    let mut storm = Puppet::start(DAEMON)?;
    storm.ask(&format!("continue-storm|{}|{continues}", rig.alice.pid()))?;
    Ok(storm)
}

fn in_a_storm(ctx: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let before = rig.agent.counter(counter::RESTOPPED)?;
        let bounds = rig
            .agent
            .with_settings(|settings| settings.restops_max = u32::MAX)?;
        let storm = storm(rig, u32::MAX)?;
        let result = rounds(ctx, rig, ROUNDS / 2, || Duration::from_micros(300));
        drop(storm);
        drop(bounds);
        result?;
        let stopped = rig.agent.counter(counter::RESTOPPED)? - before;
        ensure!(
            stopped > 0,
            "the storm never continued anything: this shows nothing"
        );
        ctx.log(format!("{stopped} stray continues"));
        Ok(())
    })
}

fn storm_alone(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let path = file("held/f")?;
        let held = rig.hold(&format!(
            "open|open|{path}|{}|0|after",
            libc::O_WRONLY | libc::O_TRUNC
        ))?;
        let bounds = rig
            .agent
            .with_settings(|settings| settings.restops_max = u32::MAX)?;
        let storm = storm(rig, u32::MAX)?;
        wait::stays("the held call", || {
            Ok(rig.alice.answered(&held.ticket).is_none() && !changed(&path))
        })?;
        let stops = rig
            .agent
            .entry(&held.hold)
            .context("the hold is gone")?
            .restops;
        ensure!(
            stops > 1,
            "stopped again only {stops} times: this shows nothing"
        );
        drop(storm);
        rig.agent.approve(&held.hold)?;
        drop(bounds);
        ensure!(rig.result(&held)? == 5, "gives {}", rig.result(&held)?);
        ensure!(fs::read(&path)? == b"after");
        rig.told(&held, reason::HOLD_APPROVED)
    })
}

fn restops(_: &mut Ctx) -> Result<()> {
    const BOUND: u32 = 5;
    rig::with(|rig| {
        let path = file("held/f")?;
        let held = rig.hold(&format!(
            "open|open|{path}|{}|0|after",
            libc::O_WRONLY | libc::O_TRUNC
        ))?;
        let bounds = rig
            .agent
            .with_settings(|settings| settings.restops_max = BOUND)?;
        rig.stray_continues(&held, BOUND)?;
        rig.agent.wake(&held.hold);
        let result = rig.result(&held)?;
        drop(bounds);
        ensure!(result == crate::actors::sys::EPERM, "gives {result}");
        ensure!(!changed(&path), "it had its effect");
        rig.told(&held, reason::HOLD_RESTOPS)
    })
}
