//! How the agent is, as everybody may know it: for `stayhand doctor`, the control plane and the log.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use stayhand_guardrail::{
    id::Generation,
    policy::HostLabels,
    time::{DurationMs, UnixMs},
};
use uuid::Uuid;

use crate::clock::{Deadlines, Now};

/// What never changes while the agent runs.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Version of the agent
    pub version: String,
    /// Release of the kernel
    pub kernel_release: String,
    /// The running boot
    pub boot_id: Uuid,
    /// What the host is, as it is configured
    pub labels: HostLabels,
    /// Documents of its own floor, each with a digest
    pub floor: Vec<String>,
    /// Attached hooks and how many instructions the verifier walked, where the kernel says so
    pub hooks: Vec<(String, Option<u32>)>,
}

/// The parts that can be ill, one problem each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The hooks: without them nothing is enforced
    Hooks,
    /// The image in the kernel
    Image,
    /// The host's own floor
    Floor,
    /// The last desired state
    State,
    /// How the desired state comes here
    Delivery,
    /// Objects that could not be labelled
    Labels,
    /// Looking at mounts and objects again
    Mounts,
    /// Users and groups
    Users,
    /// Processes that run as a service
    Services,
    /// Spool and journal
    Spool,
    /// How this host is known to a control plane elsewhere
    Membership,
    /// Whether what is here is known to be the newest
    Freshness,
}

/// How the agent is.
#[derive(Default)]
pub struct Health {
    facts: Facts,
    now: Mutex<Changing>,
}

/// What changes.
#[derive(Clone, Debug, Default)]
pub struct Changing {
    /// What the kernel enforces; 0 for nothing
    pub generation: Generation,
    /// The newest one of which that can be said after a boot, too: the journal has it. What the control plane is told
    pub kept: Generation,
    /// Hooks without a pinned link: whoever removed it took their enforcement away
    pub hooks_gone: Vec<String>,
    /// Problems
    pub problems: BTreeMap<Part, String>,
    /// Whether the control plane is connected
    pub control_connected: bool,
    /// When it was heard last
    pub control_seen: Option<UnixMs>,
    /// For how long leases count after a proof that the host has the newest state; none where each counts until its own end
    pub fresh_for: Option<DurationMs>,
    /// The moment of the last proof on this boot
    pub proven: Option<Now>,
}

impl Changing {
    /// When leases end unless there is another proof, if that can be before their own ends.
    pub fn fresh_until(&self) -> Option<Deadlines> {
        let fresh_for = self.fresh_for?;
        // Without a proof on this boot none counts, whatever the clocks say.
        Some(
            self.proven
                .map_or_else(Deadlines::default, |proven| proven.deadlines(fresh_for)),
        )
    }

    /// Why no lease counts, if that is so.
    pub fn stale(&self, now: &Now) -> Option<String> {
        let (fresh_for, until) = (self.fresh_for?, self.fresh_until()?);
        until.passed(now).then(|| {
            let why = if self.control_connected {
                "the control plane is heard, and what it sent is not enforced here yet"
            } else {
                "the control plane is not heard"
            };
            format!(
                "grants do not count on this host at present: nothing has shown for {fresh_for} that it has the newest state ({why})"
            )
        })
    }
}

impl Health {
    /// Starts well.
    pub fn new(facts: Facts) -> Self {
        Self {
            facts,
            now: Mutex::default(),
        }
    }

    /// What never changes.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What is now.
    pub fn now(&self) -> Changing {
        self.lock().clone()
    }

    /// Changes something.
    pub fn change(&self, change: impl FnOnce(&mut Changing)) {
        change(&mut self.lock());
    }

    /// Notes a problem, or that there is none (any more); logs only what is new.
    pub fn note(&self, part: Part, problem: Option<String>) {
        let mut now = self.lock();
        match problem {
            Some(problem) if now.problems.get(&part) != Some(&problem) => {
                tracing::error!(?part, problem, "something is wrong");
                now.problems.insert(part, problem);
            }
            Some(_) => {}
            None => {
                if now.problems.remove(&part).is_some() {
                    tracing::info!(?part, "well again");
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Changing> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Release of the running kernel.
pub fn kernel_release() -> String {
    let name = nix::sys::utsname::uname().ok();
    name.map(|name| name.release().to_string_lossy().into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Now = Now {
        boot_ns: 90_000_000_000,
        tai_ns: 90_000_000_000,
        unix: UnixMs(90_000),
    };

    fn changing(fresh_for: Option<u64>, proven_s: Option<u64>) -> Changing {
        Changing {
            fresh_for: fresh_for.map(DurationMs::from_secs),
            proven: proven_s.map(|at| Now {
                boot_ns: at * 1_000_000_000,
                tai_ns: at * 1_000_000_000,
                unix: UnixMs(at * 1_000),
            }),
            ..Changing::default()
        }
    }

    #[test]
    fn a_host_without_a_young_proof_is_stale_and_says_why() {
        assert_eq!(changing(None, None).stale(&NOW), None);
        assert_eq!(changing(Some(60), Some(31)).stale(&NOW), None);
        let stale = changing(Some(60), Some(30)).stale(&NOW).unwrap();
        assert!(
            stale.contains("for 1m") && stale.contains("not heard"),
            "{stale}"
        );
        // However young the boot is.
        let early = Now {
            boot_ns: 1,
            tai_ns: 1,
            ..NOW
        };
        let mut never = changing(Some(60), None);
        never.control_connected = true;
        let stale = never.stale(&early).unwrap();
        assert!(stale.contains("not enforced here yet"), "{stale}");
    }
}
