//! Stands in for one host's kernel: the live image, holds and their answers, rings and counters, and the processes that act.
//! What an action comes to is decided by the compiled image and `decide()`; this only keeps what the maps would keep.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, MutexGuard},
};

use rand::{RngExt as _, rngs::StdRng};
use stayhand_agent::{
    clock::Now,
    kernel::{
        counters::Counters,
        holds::{KernelAnswer, Pending},
        image::{Desired, rows},
        record::RawRecord,
    },
    port::{CounterMap, PortError},
};
use stayhand_agent_ebpf::{
    abi::{
        code::{hook, op, protocol, reason, verdict},
        hold::{HoldEntry, HoldKey},
        image::{LabelKey, LeaseRow},
        net::NET_INTERNET,
        pulse,
        schedule::Schedule,
    },
    deadline,
    decide::{Attempt, Decision},
};
use stayhand_guardrail::{
    action::{Object, Operation},
    event::EventClass,
    id::{GrantId, HoldId},
    image::eval::{Beside, judge_address},
    key::{PermissionKey, RuleKey},
    reason::{Reason, Verdict},
};

use crate::{clock::Clocks, mutant::Mutant};

/// Records of one class that wait to be read. Small, so that it overflows now and then.
const RING_MAX: usize = 3;
/// Pending holds of one subject.
const HOLDS_PER_SUBJECT_MAX: usize = 4;
/// Numbers of processes that no machine has: whoever looks one up in /proc finds nobody.
const FIRST_PID: u32 = 0x9000_0000;

/// Something to connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Target {
    pub(crate) net: u8,
    pub(crate) port: u16,
}

impl Target {
    fn ip(self) -> Ipv4Addr {
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
}

pub(crate) struct Installed {
    pub(crate) desired: Desired,
    pub(crate) schedules: Vec<Schedule>,
}

#[derive(Default)]
pub(crate) struct Kernel {
    pub(crate) installed: Option<Installed>,
    pub(crate) holds: BTreeMap<HoldKey, HoldEntry>,
    answers: BTreeMap<HoldKey, (u64, KernelAnswer)>,
    rings: [VecDeque<RawRecord>; 3],
    counters: Counters,
    pub(crate) processes: BTreeMap<u64, Process>,
    used: BTreeMap<HoldKey, u64>,
    /// The newest proof that this host has the newest state, on both clocks
    proven: [u64; 2],
    /// Whatever the counters say
    tried: u64,
}

/// One host's kernel and what it is made of; only what says so survives a boot.
#[derive(Clone)]
pub(crate) struct Machine {
    kernel: Arc<Mutex<Kernel>>,
    random: Arc<Mutex<StdRng>>,
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

    fn now(&self) -> Now {
        self.clocks.now()
    }

    fn next(&self) -> u32 {
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

    /// The hook, from its beginning.
    fn enter(&self, cookie: u64) -> Outcome {
        let now = self.now();
        let mut kernel = self.kernel();
        let process = kernel.processes[&cookie].clone();
        let decision = self.judge(&kernel, process.auid, process.target, &now);
        let mut outcome = Outcome {
            auid: process.auid,
            target: process.target,
            cookie,
            permitted: None,
            reason: decision.reason,
            hold: 0,
        };
        match decision.verdict {
            verdict::HELD => self.held(&mut kernel, &process, &decision, &now, &mut outcome),
            verdict::ALLOWED => self.allowed(&mut kernel, &process, &decision, &now, &mut outcome),
            _ => {
                let said = (EventClass::B, Verdict::Denied, decision.reason);
                self.record(&mut kernel, &process, &decision, said, 0, &now);
            }
        }
        if let Some(process) = kernel.processes.get_mut(&cookie)
            && process.call == Call::Restarting
        {
            process.call = Call::Returned;
        }
        outcome
    }

    fn judge(&self, kernel: &Kernel, auid: u32, target: Target, now: &Now) -> Decision {
        let Some(Installed { desired, schedules }) = &kernel.installed else {
            return stayhand_agent_ebpf::decide::nothing_met();
        };
        let attempt = Attempt {
            ops: op::CONNECT,
            port: target.port,
            protocol: protocol::TCP,
            subjects: desired.subjects.get(&auid).copied().unwrap_or(0),
        };
        let beside = Beside {
            leases: if self.is_fresh(kernel, now) {
                lease_rows(desired, auid)
            } else {
                BTreeMap::new()
            },
            schedules: schedules.clone(),
            used_up: 0,
        };
        let ignores = self.mutant == Some(Mutant::KernelIgnoresDeadlines);
        let now = stayhand_agent_ebpf::decide::Now {
            boot_ns: if ignores { 1 } else { now.boot_ns },
            tai_ns: if ignores { 1 } else { now.tai_ns },
        };
        let address = target.ip().to_ipv6_mapped().octets();
        judge_address(
            &desired.image,
            (NET_INTERNET, address),
            &attempt,
            now,
            &beside,
        )
    }

    /// Whether leases count, as `agent-ebpf/src/judge.rs` has it.
    fn is_fresh(&self, kernel: &Kernel, now: &Now) -> bool {
        let fresh_for = kernel
            .installed
            .as_ref()
            .map(|one| one.desired.fresh_for_ns());
        self.mutant == Some(Mutant::KernelIgnoresFreshness)
            || pulse::is_fresh(
                fresh_for.unwrap_or_default(),
                kernel.proven,
                [now.boot_ns, now.tai_ns],
            )
    }

    /// How old the newest proof is; as old as the boot where there is none.
    pub(crate) fn proof_age_ns(&self) -> u64 {
        self.now().boot_ns - self.kernel().proven[0]
    }

    /// The agent says when this host had the newest state.
    pub(crate) fn prove(&self, at: &Now) {
        let mut kernel = self.kernel();
        if at.boot_ns > kernel.proven[0] {
            kernel.proven = [at.boot_ns, at.tai_ns];
        }
    }

    fn allowed(
        &self,
        kernel: &mut Kernel,
        process: &Process,
        decision: &Decision,
        now: &Now,
        outcome: &mut Outcome,
    ) {
        let grant = GrantId::from_halves(decision.grant);
        let Some(grant) = grant else {
            if decision.recorded != 0 {
                let said = (EventClass::C, Verdict::Allowed, decision.reason);
                self.record(kernel, process, decision, said, 0, now);
            }
            outcome.permitted = Some(Permitted::Freely);
            return;
        };
        let said = (EventClass::A, Verdict::Allowed, decision.reason);
        // No record, no privilege.
        if self.record(kernel, process, decision, said, 0, now) {
            outcome.permitted = Some(Permitted::ByGrant(grant));
        } else {
            outcome.reason = reason::NO_RECORD;
        }
    }

    fn held(
        &self,
        kernel: &mut Kernel,
        process: &Process,
        decision: &Decision,
        now: &Now,
        outcome: &mut Outcome,
    ) {
        let key = key(process);
        if let Some(entry) = kernel.holds.get(&key).copied() {
            return self.reenter(kernel, process, decision, (key, entry), now, outcome);
        }
        if self.mutant == Some(Mutant::KernelForgetsUse)
            && let Some(hold) = kernel.used.get(&key)
        {
            outcome.permitted = Some(Permitted::ByHold(*hold));
            return;
        }
        let own = kernel.holds.values().filter(|one| one.auid == process.auid);
        if own.count() >= HOLDS_PER_SUBJECT_MAX {
            outcome.reason = reason::HOLD_QUOTA;
            let said = (EventClass::B, Verdict::Denied, reason::HOLD_QUOTA);
            self.record(kernel, process, decision, said, 0, now);
            return;
        }
        let hold = self.random.lock().unwrap().random::<u64>() | 1;
        let entry = HoldEntry {
            hold,
            boot_deadline_ns: deadline::after(now.boot_ns, decision.by.timeout_ms),
            opened_boot_ns: now.boot_ns,
            rule: decision.by.rule,
            process_cookie: process.cookie,
            call: 1,
            tgid: pid(process),
            tid: pid(process),
            auid: process.auid,
            session: 3,
            restops: 0,
            op: op::CONNECT,
        };
        let said = (EventClass::A, Verdict::Held, reason::HOLD_PENDING);
        kernel.holds.insert(key, entry);
        if !self.record(kernel, process, decision, said, hold, now) {
            kernel.holds.remove(&key);
            outcome.reason = reason::NO_RECORD;
            return;
        }
        outcome.hold = hold;
        stop(kernel, process.cookie);
    }

    /// As `agent-ebpf/src/hold.rs` has it.
    fn reenter(
        &self,
        kernel: &mut Kernel,
        process: &Process,
        decision: &Decision,
        (key, entry): (HoldKey, HoldEntry),
        now: &Now,
        outcome: &mut Outcome,
    ) {
        outcome.hold = entry.hold;
        let late = deadline::is_over(entry.boot_deadline_ns, now.boot_ns);
        let mut answer = kernel
            .answers
            .get(&key)
            .filter(|one| one.0 == entry.hold)
            .map(|one| one.1);
        if self.mutant == Some(Mutant::AnswersForgedOnHost) && answer.is_none() && !late {
            answer = Some(KernelAnswer::Approved);
        }
        let (verdict, reason) = match answer {
            Some(KernelAnswer::Approved) if !late => (Verdict::Allowed, reason::HOLD_APPROVED),
            None | Some(KernelAnswer::Approved) if late => {
                (Verdict::Denied, reason::HOLD_TIMED_OUT)
            }
            Some(KernelAnswer::Refused) => (Verdict::Denied, reason::HOLD_REFUSED),
            Some(_) => (Verdict::Denied, reason::HOLD_CANCELLED),
            None => return stop(kernel, process.cookie),
        };
        kernel.holds.remove(&key);
        kernel.answers.remove(&key);
        outcome.reason = reason;
        let recorded = self.record(
            kernel,
            process,
            decision,
            (EventClass::A, verdict, reason),
            entry.hold,
            now,
        );
        if verdict == Verdict::Allowed {
            if recorded {
                kernel.used.insert(key, entry.hold);
                outcome.permitted = Some(Permitted::ByHold(entry.hold));
            } else {
                outcome.reason = reason::NO_RECORD;
            }
        }
    }

    /// Reserves and fills a record; false if there was no room, which is counted.
    fn record(
        &self,
        kernel: &mut Kernel,
        process: &Process,
        decision: &Decision,
        (class, verdict, reason): (EventClass, Verdict, u32),
        hold: u64,
        now: &Now,
    ) -> bool {
        let index = class as usize;
        kernel.counters.recorded[index] += 1;
        kernel.tried += 1;
        if kernel.rings[index].len() >= RING_MAX {
            let silent = self.mutant == Some(Mutant::RingLosesSilently);
            kernel.counters.recorded[index] -= u64::from(silent);
            kernel.counters.lost[index] += u64::from(!silent);
            return false;
        }
        let key = key(process);
        let deadline_ns = kernel
            .holds
            .get(&key)
            .map_or(0, |entry| entry.boot_deadline_ns);
        let generation = kernel.installed.as_ref();
        let record = RawRecord {
            class,
            boot_ns: now.boot_ns,
            tai_ns: now.tai_ns,
            generation: generation.map_or_else(Default::default, |one| one.desired.generation),
            rule: RuleKey::from_raw(decision.by.rule),
            permission: PermissionKey::from_raw(decision.by.permission),
            grant: GrantId::from_halves(decision.grant),
            hold: (hold != 0).then_some(HoldId(hold)),
            hold_key: key,
            boot_deadline_ns: deadline_ns,
            process_cookie: process.cookie,
            tgid: pid(process),
            // Tells records apart, wherever they get to.
            tid: self.next(),
            ppid: 1,
            uid: process.auid,
            auid: process.auid,
            session: Some(3),
            hook: hook::SOCKET_CONNECT,
            ops: op::CONNECT,
            operation: Operation::from_bits(op::CONNECT),
            verdict,
            reason: Reason::from_code(reason),
            monitor: false,
            stopped_without_hold: false,
            object: LabelKey {
                ino: 0,
                dev: 0,
                igen: 0,
                slot: 0,
                pad: 0,
            },
            destination: Some(Object::Address {
                ip: IpAddr::V4(process.target.ip()),
                port: process.target.port,
                protocol: Some(protocol::TCP),
            }),
            request: None,
            path: vec![],
            path_cut: false,
            other_path: None,
            comm: b"client".to_vec(),
            tty: None,
            args: vec![],
            args_cut: false,
        };
        kernel.rings[index].push_back(record);
        true
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

fn stop(kernel: &mut Kernel, cookie: u64) {
    if let Some(process) = kernel.processes.get_mut(&cookie) {
        process.call = Call::Stopping;
    }
}

fn pid(process: &Process) -> u32 {
    FIRST_PID + u32::try_from(process.cookie).unwrap()
}

/// Bound to the task and to what it does.
fn key(process: &Process) -> HoldKey {
    HoldKey {
        task_cookie: process.cookie,
        digest: [
            u64::from(process.target.net),
            u64::from(process.target.port),
        ],
    }
}

/// What the installer writes for one person: its own rows, so that what does not fit is left out as on a host.
fn lease_rows(desired: &Desired, auid: u32) -> BTreeMap<u64, LeaseRow> {
    let rows = rows::leases(desired, 0).into_iter();
    rows.filter(|(key, _)| key.auid == auid)
        .map(|(key, row)| (key.permission, row))
        .collect()
}

impl CounterMap for Machine {
    fn counters(&self) -> Result<Counters, PortError> {
        Ok(self.kernel().counters)
    }
}
