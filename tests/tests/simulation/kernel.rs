//! Stands in for one host's kernel: the live image, holds and their answers, rings and counters, and the processes that act.
//! What an action comes to is decided by the compiled image and `decide()`; this only keeps what the maps would keep.

use std::{
    collections::{BTreeMap, VecDeque},
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard},
};

use rand::rngs::StdRng;
use stayhand_agent::{
    clock::Now,
    kernel::{
        counters::Counters,
        holds::{KernelAnswer, Pending},
        image::Desired,
        record::RawRecord,
    },
    port::{CounterMap, PortError},
};
use stayhand_agent_ebpf::abi::{
    hold::{HoldEntry, HoldKey},
    schedule::Schedule,
};
use stayhand_guardrail::{id::GrantId, time::DurationMs};

use crate::{
    clock::{Clocks, MS},
    mutant::Mutant,
};

/// Something to connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Target {
    pub(crate) net: u8,
    pub(crate) port: u16,
}

impl Target {
    pub(crate) fn ip(self) -> Ipv4Addr {
        Ipv4Addr::new(10, self.net, 0, 7)
    }
}

/// Where a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// The stop signal is on its way
    Stopping,
    Stopped,
    /// Continued; enters the hook again
    Restarting,
    /// It went on or was denied; the process does something else
    Returned,
    Gone,
}

/// A process that makes one call.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) cookie: u64,
    pub(crate) auid: u32,
    pub(crate) target: Target,
    pub(crate) call: Call,
    pub(crate) fatal: bool,
}

/// What the kernel let happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permitted {
    /// No rule was in the way
    Freely,
    ByGrant(GrantId),
    ByHold(u64),
}

/// One outcome of one entry into the hook.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) auid: u32,
    pub(crate) target: Target,
    pub(crate) cookie: u64,
    /// None: it was denied, or it is held
    pub(crate) permitted: Option<Permitted>,
    pub(crate) reason: u32,
    pub(crate) hold: u64,
    /// A grant was used, and there was no room to say so
    pub(crate) is_unrecorded: bool,
}

pub(crate) struct Installed {
    pub(crate) desired: Desired,
    pub(crate) schedules: Vec<Schedule>,
}

#[derive(Default)]
pub(crate) struct Kernel {
    pub(crate) installed: Option<Installed>,
    pub(crate) holds: BTreeMap<HoldKey, HoldEntry>,
    pub(crate) answers: BTreeMap<HoldKey, (u64, KernelAnswer)>,
    pub(crate) rings: [VecDeque<RawRecord>; 3],
    pub(crate) counters: Counters,
    pub(crate) processes: BTreeMap<u64, Process>,
    pub(crate) used: BTreeMap<HoldKey, u64>,
    /// When the agent spoke last, on the boot clock; 0 before
    pub(crate) spoke_ns: u64,
    /// The newest proof that this host has the newest state, on both clocks
    pub(crate) proven: [u64; 2],
    /// Whatever the counters say
    pub(crate) tried: u64,
}

/// One host's kernel and what it is made of; only what says so survives a boot.
#[derive(Clone)]
pub(crate) struct Machine {
    kernel: Arc<Mutex<Kernel>>,
    pub(crate) random: Arc<Mutex<StdRng>>,
    /// Numbers of processes and of records, never twice
    serial: Arc<Mutex<u32>>,
    clocks: Clocks,
    pub(crate) mutant: Option<Mutant>,
}

impl Machine {
    pub(crate) fn new(clocks: Clocks, random: StdRng, mutant: Option<Mutant>) -> Self {
        Self {
            kernel: Arc::default(),
            random: Arc::new(Mutex::new(random)),
            serial: Arc::default(),
            clocks,
            mutant,
        }
    }

    pub(crate) fn kernel(&self) -> MutexGuard<'_, Kernel> {
        self.kernel.lock().unwrap()
    }

    /// Everything in memory is gone.
    pub(crate) fn boot(&self) {
        *self.kernel() = Kernel::default();
        self.clocks.boot();
    }

    pub(crate) fn clocks(&self) -> &Clocks {
        &self.clocks
    }

    pub(crate) fn now(&self) -> Now {
        self.clocks.now()
    }

    pub(crate) fn next(&self) -> u32 {
        let mut serial = self.serial.lock().unwrap();
        *serial += 1;
        *serial
    }

    /// A process of somebody calls `connect`.
    pub(crate) fn attempt(&self, auid: u32, target: Target) -> Outcome {
        let cookie = u64::from(self.next());
        let process = Process {
            cookie,
            auid,
            target,
            call: Call::Restarting,
            fatal: false,
        };
        self.kernel().processes.insert(cookie, process);
        self.enter(cookie)
    }

    /// A process gets some time; an outcome if it entered the hook again.
    pub(crate) fn run(&self, cookie: u64) -> Option<Outcome> {
        {
            let mut kernel = self.kernel();
            let process = kernel.processes.get_mut(&cookie)?;
            process.call = match process.call {
                Call::Stopping => Call::Stopped,
                Call::Restarting if process.fatal => Call::Gone,
                Call::Returned => Call::Gone,
                Call::Restarting => Call::Restarting,
                other => return (other == Call::Gone).then_some(()).and(None),
            };
            if process.call != Call::Restarting {
                return None;
            }
        }
        Some(self.enter(cookie))
    }

    /// How old the newest proof is; as old as the boot where there is none.
    pub(crate) fn proof_age_ns(&self) -> u64 {
        self.now().boot_ns - self.kernel().proven[0]
    }

    /// Whether the newest proof is no older than that, by both clocks. Not by what kernels ask (`pulse::is_fresh`): one that takes nothing
    /// for fresh is to be noticed.
    pub(crate) fn was_proven_within(&self, span: DurationMs) -> bool {
        let (now, proven, span_ns) = (self.now(), self.kernel().proven, span.0 * MS);
        let [boot_ns, tai_ns] = proven.map(|at| at.saturating_add(span_ns));
        proven[0] != 0 && now.boot_ns < boot_ns && now.tai_ns < tai_ns
    }

    /// The agent says that it lives.
    pub(crate) fn speak(&self, at: &Now) {
        self.kernel().spoke_ns = at.boot_ns;
    }

    /// The agent says when this host had the newest state.
    pub(crate) fn prove(&self, at: &Now) {
        let mut kernel = self.kernel();
        if at.boot_ns > kernel.proven[0] {
            kernel.proven = [at.boot_ns, at.tai_ns];
        }
    }

    /// Reads what is in the rings, some of it.
    pub(crate) fn read_rings(&self, most: usize) -> Vec<RawRecord> {
        let mut kernel = self.kernel();
        let mut read = Vec::new();
        for ring in &mut kernel.rings {
            let count = ring.len().min(most);
            read.extend(ring.drain(..count));
        }
        read
    }

    pub(crate) fn recorded(&self) -> u64 {
        self.kernel().tried
    }

    /// Grants of which a lease is in the live image and not over, with its deadlines.
    pub(crate) fn live_leases(&self) -> Vec<stayhand_agent::kernel::image::InstallLease> {
        let now = self.now();
        let kernel = self.kernel();
        let Some(installed) = &kernel.installed else {
            return vec![];
        };
        let all = installed.desired.leases.iter();
        all.filter(|lease| !lease.deadlines.passed(&now))
            .copied()
            .collect()
    }

    /// All leases of the live image.
    pub(crate) fn leases(&self) -> Vec<stayhand_agent::kernel::image::InstallLease> {
        let kernel = self.kernel();
        let all = kernel.installed.iter();
        all.flat_map(|one| one.desired.leases.iter().copied())
            .collect()
    }

    pub(crate) fn generation(&self) -> Option<u64> {
        let kernel = self.kernel();
        kernel
            .installed
            .as_ref()
            .map(|one| one.desired.generation.0)
    }

    /// Policies of the live image with their revisions.
    pub(crate) fn policies(&self) -> BTreeMap<String, u64> {
        let kernel = self.kernel();
        let rules = kernel
            .installed
            .iter()
            .flat_map(|one| one.desired.image.rules.values());
        rules
            .map(|rule| (rule.policy.to_string(), rule.revision.0))
            .collect()
    }

    pub(crate) fn answer(&self, key: &HoldKey, hold: u64, answer: KernelAnswer) -> bool {
        let mut kernel = self.kernel();
        let pending = kernel
            .holds
            .get(key)
            .is_some_and(|entry| entry.hold == hold);
        if pending {
            kernel.answers.insert(*key, (hold, answer));
        }
        pending
    }

    pub(crate) fn pending(&self) -> Vec<Pending> {
        let kernel = self.kernel();
        let all = kernel.holds.iter();
        all.map(|(key, entry)| Pending {
            key: *key,
            entry: *entry,
        })
        .collect()
    }

    /// Removes a hold and its answer; whether it was this one and there.
    pub(crate) fn remove(&self, key: &HoldKey, hold: u64) -> bool {
        let mut kernel = self.kernel();
        let there = kernel
            .holds
            .get(key)
            .is_some_and(|entry| entry.hold == hold);
        if there {
            kernel.holds.remove(key);
            kernel.answers.remove(key);
        }
        there
    }

    /// `SIGCONT`: takes a stop that is on its way back, too.
    pub(crate) fn wake(&self, cookie: u64) {
        if let Some(process) = self.kernel().processes.get_mut(&cookie)
            && matches!(process.call, Call::Stopped | Call::Stopping)
        {
            process.call = Call::Restarting;
        }
    }
}

impl CounterMap for Machine {
    fn counters(&self) -> Result<Counters, PortError> {
        Ok(self.kernel().counters)
    }
}
