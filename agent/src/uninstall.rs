//! `--uninstall`: ends enforcement on this host, loudly. Held actions are denied, never let through.
//!
//! Refused to whom a policy guards. That keeps an honest person from it and names a dishonest one: who can unlink the
//! pins as root needs no option of ours.

use std::time::Duration;

use stayhand_guardrail::{
    event::{AgentState, EventClass, EventKind},
    text::Safe,
};
use stayhand_proto::codec::encode_event;

use crate::{
    agent, clock,
    config::Config,
    exit::{Code, Failure, chain},
    kernel::{
        Kernel,
        holds::{Holds, KernelAnswer},
        pidfd::PidFd,
        pins::Pins,
    },
    record::Identity,
    spool::Entry,
    unguarded,
};

/// How often held processes are woken until they took their denial, and how long in between.
const ROUNDS: u32 = 100;
const ROUND: Duration = Duration::from_millis(50);

/// Denies what is held, detaches every hook, removes every pin. Only while holding the lock of the one agent.
pub fn uninstall(config: &Config) -> Result<String, Failure> {
    let pins = agent::pins(config);
    unguarded::require(&pins, "end that")?;
    // First the record: an agent that runs again sends it, and until then it waits on the disk.
    let recorded = record(config);
    let denied = deny_pending(&pins);
    let links = Kernel::detach_all(&pins)
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
    let unrecorded = recorded.err().map_or_else(String::new, |error| {
        format!("\nno event tells of it: {error}")
    });
    Ok(format!(
        "NOT ENFORCED: {links} hooks detached, every pin removed; this host is not guarded any more{left}{unrecorded}"
    ))
}

/// An event of class A, in the spool of the agent that does not run.
fn record(config: &Config) -> Result<(), Failure> {
    let host = agent::host(config)?;
    let boot_id =
        clock::boot_id().map_err(|error| Failure::of("cannot read the boot id", &error))?;
    let spool = agent::spool(config, &host, boot_id)?;
    let now = clock::Now::read().unix;
    let identity = Identity {
        host,
        boot_id,
        epoch: spool.epoch(),
    };
    let state = AgentState {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        enforced: false,
        detail: format!("enforcement removed with --uninstall by {}", who()),
    };
    let entry = Entry {
        class: EventClass::A,
        recorded: false,
        payload: encode_event(identity.event(now, EventKind::AgentStopped(state))),
    };
    spool
        .append(vec![entry], now)
        .map_err(|error| Failure::new(Code::Failure, chain(&error)))
}

/// As far as /proc tells: the pin is not in the event, because whom it guards was refused.
fn who() -> String {
    let read = |path: String| std::fs::read(path).unwrap_or_default();
    let login = read("/proc/self/loginuid".into());
    let parent = nix::unistd::getppid();
    let name = read(format!("/proc/{parent}/comm"));
    format!(
        "uid {}, login uid {}, from process {parent} `{}`",
        nix::unistd::getuid(),
        Safe(login.trim_ascii()),
        Safe(name.trim_ascii())
    )
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
