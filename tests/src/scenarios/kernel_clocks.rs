//! Grants end with whichever clock passes first, and with no agent alive.

use std::time::Duration;

use anyhow::{Result, ensure};
use nix::{
    sys::time::TimeSpec,
    time::{ClockId, clock_gettime, clock_settime},
};

use crate::{
    actors::{
        client::{ALICE, Puppet},
        rig::{self, file},
        sys::EPERM,
    },
    host::{Config, Host, grant_create},
    scenario::{Ctx, Scenario},
    wait,
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("a_grant_ends_when_the_wall_clock_is_set_forward", forward).on_any_kernel(),
    Scenario::new(
        "a_grant_does_not_outlive_its_time_when_the_wall_clock_is_set_back",
        back,
    )
    .on_any_kernel(),
];

const HOUR: i64 = 3_600;
/// Length of the second grant: long enough to be used under emulation, short enough to wait for.
const BRIEF: Duration = Duration::from_secs(12);

/// Puts the wall clock back to where it would be, whatever happened.
pub struct WallClock {
    offset_s: i64,
}

impl WallClock {
    /// Moves it by that much.
    pub fn set(offset_s: i64) -> Result<Self> {
        shift(offset_s)?;
        Ok(Self { offset_s })
    }
}

impl Drop for WallClock {
    fn drop(&mut self) {
        drop(shift(-self.offset_s));
    }
}

/// Moves the wall clock.
pub fn shift(by_s: i64) -> Result<()> {
    let now = clock_gettime(ClockId::CLOCK_REALTIME)?;
    clock_settime(
        ClockId::CLOCK_REALTIME,
        TimeSpec::new(now.tv_sec() + by_s, now.tv_nsec()),
    )?;
    Ok(())
}

fn boot_time() -> Result<Duration> {
    Ok(Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME)?))
}

/// A host without services and alice with a grant on the vault for that long, which works.
fn granted(length: &str) -> Result<(Host, Puppet, String)> {
    rig::places()?;
    let path = file("vault/f")?;
    let words = format!("open|open|{path}|{}|0|after", libc::O_WRONLY);
    let mut host = Host::boot(&Config::policy(rig::POLICY))?;
    let mut alice = Puppet::start(ALICE)?;
    ensure!(
        alice.tell(&words)? == EPERM,
        "free without a grant: this shows nothing"
    );
    let grant = grant_create("alice", "vault", length, "clocks");
    host.cli(&grant)?.ok()?;
    host.kill_agent()?;
    host.kill_control()?;
    let given = alice.tell(&words)?;
    ensure!(given == 5, "with the grant it gives {given}");
    Ok((host, alice, words))
}

fn forward(_: &mut Ctx) -> Result<()> {
    let (_host, mut alice, words) = granted("30m")?;
    let clock = WallClock::set(HOUR)?;
    let after = alice.tell(&words)?;
    ensure!(
        after == EPERM,
        "an hour later by the wall clock it gives {after}"
    );
    drop(clock);
    let again = alice.tell(&words)?;
    ensure!(again == 5, "back at its own time it gives {again}");
    Ok(())
}

fn back(ctx: &mut Ctx) -> Result<()> {
    let issued = boot_time()?;
    let (_host, mut alice, words) = granted(&format!("{}s", BRIEF.as_secs()))?;
    let _clock = WallClock::set(-HOUR)?;
    let still = alice.tell(&words)?;
    ensure!(still == 5, "set back, the grant is over too early: {still}");
    ctx.step("the boot clock runs on");
    // Every use leaves a record, nobody reads them, and a full ring would deny: not more uses than it has room for.
    std::thread::sleep((issued + BRIEF).saturating_sub(boot_time()?));
    wait::until_ok(wait::LONG, "the grant to end", || {
        Ok((alice.tell(&words)? == EPERM).then_some(()))
    })?;
    let lasted = boot_time()?.saturating_sub(issued);
    ensure!(lasted >= BRIEF, "it ended after {lasted:?} already");
    ensure!(lasted < BRIEF + wait::LONG, "it lasted {lasted:?}");
    Ok(())
}
