//! Waiting for something to become true, with a bound. Never an unbounded wait and never a bare sleep as proof.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often is looked at first.
pub const TICK: Duration = Duration::from_millis(20);
/// And later: the wait is longer than it need be by such a part of itself. Each look is a call or a program, which under emulation takes
/// a good part of a tick from what is waited for.
const LATE_PART: u32 = 16;
/// But never later than this.
const TICK_MAX: Duration = Duration::from_millis(500);
/// A terminal that shows nothing new for so long has said all of it.
pub const QUIET: Duration = Duration::from_millis(200);
/// For what takes milliseconds on a machine, under emulation on a busy host.
pub const SOON: Duration = Duration::from_secs(20);
/// For what starts programs, loads kernel objects or crosses several processes.
pub const LONG: Duration = Duration::from_mins(1);
/// For an agent's start: the kernel verifies 41 programs, for 15 s under emulation on a quiet machine, and several times that where two
/// guests share two processors that are slow.
pub const START: Duration = Duration::from_mins(3);
/// Time in which something that must not happen would have happened; what it waits for takes milliseconds.
pub const SETTLE: Duration = Duration::from_millis(700);

/// Asks until there is an answer.
pub fn until<T>(limit: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> Result<T> {
    until_ok(limit, what, || Ok(ask()))
}

/// Asks until there is an answer; an error ends the wait.
pub fn until_ok<T>(
    limit: Duration,
    what: &str,
    ask: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    at_intervals(limit, what, ask, |waited| {
        (waited / LATE_PART).clamp(TICK, TICK_MAX)
    })
}

/// Does something again and again until it has led to an answer: what does it must not become rarer.
pub fn until_done<T>(
    limit: Duration,
    what: &str,
    act: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    at_intervals(limit, what, act, |_| TICK)
}

fn at_intervals<T>(
    limit: Duration,
    what: &str,
    mut ask: impl FnMut() -> Result<Option<T>>,
    interval: impl Fn(Duration) -> Duration,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if start.elapsed() > limit {
            bail!(
                "waited {} s for {what}, and it did not happen",
                limit.as_secs_f32()
            );
        }
        std::thread::sleep(interval(start.elapsed()));
    }
}

/// Looks during [`SETTLE`] whether something stays true.
pub fn stays(what: &str, mut ask: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < SETTLE {
        if !ask()? {
            bail!(
                "{what} did not stay so: it changed after {} ms",
                start.elapsed().as_millis()
            );
        }
        std::thread::sleep(TICK);
    }
    Ok(())
}
