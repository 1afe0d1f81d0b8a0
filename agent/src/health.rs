//! How the agent is, as everybody may know it: for `stayhand doctor`, the control plane and the log.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use stayhand_guardrail::{id::Generation, policy::HostLabels, time::UnixMs};
use uuid::Uuid;

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
