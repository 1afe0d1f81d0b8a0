//! `--uninstall`: ends enforcement on this host, loudly. Held actions are denied, never let through.

use std::time::Duration;

use crate::{
    exit::{Code, Failure},
    kernel::{
        Kernel,
        holds::{Holds, KernelAnswer},
        pidfd::PidFd,
        pins::Pins,
    },
};

/// How often held processes are woken until they took their denial, and how long in between.
const ROUNDS: u32 = 100;
const ROUND: Duration = Duration::from_millis(50);

/// Denies what is held, detaches every hook, removes every pin. Only while holding the lock of the one agent.
pub fn uninstall(pins: &Pins) -> Result<String, Failure> {
    let denied = deny_pending(pins);
    let links = Kernel::detach_all(pins)
        .map_err(|error| Failure::of("cannot remove what is pinned", &error))?;
    let left = match denied {
        Ok(0) => String::new(),
        Ok(left) => format!(
            "\n{left} held processes did not take their denial and may be stopped: kill -CONT them"
        ),
        Err(error) => {
            format!("\nheld processes could not be looked for ({error}); look for stopped ones")
        }
    };
    Ok(format!(
        "NOT ENFORCED: {links} hooks detached, every pin removed; this host is not guarded any more{left}"
    ))
}

/// While the hooks are still there, so that nothing gets through. Says how many are left.
fn deny_pending(pins: &Pins) -> Result<usize, crate::port::PortError> {
    if pins.links()?.is_empty() {
        return Ok(0);
    }
    let mut holds = Holds::open(pins)?;
    for _ in 0..ROUNDS {
        let pending = holds.list()?;
        if pending.is_empty() {
            return Ok(0);
        }
        for one in pending {
            holds.answer(&one.key, one.entry.hold, KernelAnswer::Cancelled)?;
            match PidFd::open(one.entry.tgid)? {
                Some(process) => drop(process.resume()?),
                None => drop(holds.remove(&one)?),
            }
        }
        std::thread::sleep(ROUND);
    }
    Ok(holds.list()?.len())
}

impl From<crate::instance::InstanceError> for Failure {
    fn from(error: crate::instance::InstanceError) -> Self {
        match error {
            crate::instance::InstanceError::Taken { .. } => {
                Self::new(Code::AnotherAgent, error.to_string())
            }
            crate::instance::InstanceError::Io { .. } => Self::of("cannot start", &error),
        }
    }
}
