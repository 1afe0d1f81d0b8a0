//! Rules count by the clock on the wall, with no agent alive, and nobody gets out of one by setting it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::time::{ClockId, clock_gettime};

use super::kernel_clocks::{WallClock, shift};
use crate::{
    actors::{
        client::{ALICE, Puppet},
        rig::{self, file},
        sys::EPERM,
    },
    host::{Config, Host},
    scenario::{Ctx, Scenario},
    wait,
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("a_window_opens_and_shuts_with_no_agent_alive", alone).on_any_kernel(),
    Scenario::new(
        "a_clock_that_was_set_restricts_until_an_agent_has_looked_at_it",
        set,
    )
    .on_any_kernel(),
];

/// 2026-11-27, a Friday, at 16:00 in Berlin.
const FREEZE_S: i64 = 1_795_791_600;
/// Long enough to apply a policy and to kill both services under emulation.
const AHEAD_S: i64 = 45;

const POLICY: &str = "apiVersion: stayhand/v1
kind: Policy
metadata: { name: hours }
spec:
  subjects: { users: [alice] }
  calendar:
    weekend: [\"Fri 16:00 - Mon 08:00 Europe/Berlin\"]
  rules:
    - { id: freeze, effect: deny, file: { ops: [write], path: FROZEN }, when: { windows: weekend }, message: no changes now }
    - { id: week, effect: deny, file: { ops: [write], path: WEEK }, when: { outside: [weekend] } }
    - { id: evening, effect: alert, file: { ops: [write], path: EVENING }, when: { windows: \"daily 20:00-21:00 Europe/Berlin\" } }
    - { id: late, effect: deny, file: { ops: [write], path: LATE }, when: { windows: \"daily 20:00-21:00 Europe/Berlin\" } }
";

/// A host whose wall clock is this far before the freeze.
struct Case {
    host: Host,
    alice: Puppet,
    clock: WallClock,
}

const NAMES: [(&str, &str); 4] = [
    ("FROZEN", "free/hours-frozen"),
    ("WEEK", "free/hours-week"),
    ("EVENING", "free/hours-evening"),
    ("LATE", "free/hours-late"),
];

impl Case {
    fn begin(before_s: i64) -> Result<Self> {
        rig::places()?;
        let mut policy = POLICY.to_owned();
        for (name, path) in NAMES {
            policy = policy.replace(name, &file(path)?);
        }
        let mut host = Host::boot(&Config::policy(rig::POLICY))?;
        let clock = WallClock::set(FREEZE_S - before_s - wall_s()?)?;
        host.apply(&policy)?;
        Ok(Self {
            host,
            alice: Puppet::start(ALICE)?,
            clock,
        })
    }

    /// What opening the file of a rule for writing gives.
    fn opened(&mut self, name: &str) -> Result<i64> {
        let (_, path) = NAMES
            .iter()
            .find(|(rule, _)| *rule == name)
            .context("no such rule")?;
        let path = file(path)?;
        self.alice
            .tell(&format!("open|open|{path}|{}|0|after", libc::O_WRONLY))
    }

    fn is_denied(&mut self, name: &str) -> Result<bool> {
        let result = self.opened(name)?;
        ensure!(
            result == EPERM || result >= 0,
            "opening for `{name}` gives {result}"
        );
        Ok(result == EPERM)
    }
}

fn wall_s() -> Result<i64> {
    Ok(clock_gettime(ClockId::CLOCK_REALTIME)?.tv_sec())
}

fn alone(ctx: &mut Ctx) -> Result<()> {
    let mut case = Case::begin(AHEAD_S)?;
    let before = [case.is_denied("FROZEN")?, case.is_denied("WEEK")?];
    ensure!(wall_s()? < FREEZE_S, "too slow: the freeze has begun");
    ensure!(before == [false, true], "before the freeze: {before:?}");
    let told = "this rule counts outside of Fri 16:00 - Mon 08:00 Europe/Berlin";
    wait::until_ok(
        wait::SOON,
        "an event that says when the rule counts",
        || {
            let mut events = case.host.events()?.into_iter();
            Ok(events.find(|event| event.to_string().contains(told)))
        },
    )?;
    case.host.kill_agent()?;
    case.host.kill_control()?;
    ctx.step("nobody is alive but the kernel; waiting for Friday, 16:00");
    let left = FREEZE_S.saturating_sub(wall_s()?).max(0);
    std::thread::sleep(Duration::from_secs(left.unsigned_abs()));
    wait::until_ok(wait::LONG, "the freeze", || {
        Ok(case.is_denied("FROZEN")?.then_some(()))
    })?;
    ensure!(!case.is_denied("WEEK")?, "the week is over");
    ensure!(wall_s()? >= FREEZE_S, "it began too early");
    Ok(())
}

fn set(ctx: &mut Ctx) -> Result<()> {
    let mut case = Case::begin(3_600)?;
    let before = ["FROZEN", "WEEK", "LATE"].map(|name| case.is_denied(name));
    let before = before.into_iter().collect::<Result<Vec<_>>>()?;
    ensure!(before == [false, true, false], "before: {before:?}");
    case.host.kill_agent()?;
    ctx.step("the clock goes on by five hours and a half, and nobody looks at it");
    shift(19_800)?;
    for (name, expected) in [
        // Where one clock says yes and the other one no, it may count.
        ("FROZEN", true),
        ("WEEK", true),
        ("LATE", true),
        ("EVENING", false),
    ] {
        let denied = case.is_denied(name)?;
        ensure!(
            denied == expected,
            "while the clocks differ: {name} {denied}"
        );
    }
    ctx.step("an agent comes back and believes the wall clock");
    case.host.start_agent()?;
    wait::until_ok(wait::LONG, "the schedules to follow", || {
        Ok((!case.is_denied("WEEK")?).then_some(()))
    })?;
    ensure!(case.is_denied("FROZEN")?, "Friday, half past eight");
    ensure!(case.is_denied("LATE")? == late()?, "LATE at {}", wall_s()?);
    shift(-19_800)?;
    wait::until_ok(wait::LONG, "the schedules to follow back", || {
        let now = [case.is_denied("FROZEN")?, case.is_denied("WEEK")?];
        Ok((now == [false, true]).then_some(()))
    })?;
    drop(case.clock);
    Ok(())
}

/// Whether the hour from 20:00 is still there.
fn late() -> Result<bool> {
    Ok((FREEZE_S + 4 * 3_600..FREEZE_S + 5 * 3_600).contains(&wall_s()?))
}
