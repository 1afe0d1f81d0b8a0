//! A hook of a simulated kernel, as `agent-ebpf/src` has it: what an attempt comes to, what is written down about it, and who is stopped.

use std::{collections::BTreeMap, net::IpAddr};

use rand::RngExt as _;
use stayhand_agent::{
    clock::Now,
    kernel::{
        holds::KernelAnswer,
        image::{Desired, rows},
        record::RawRecord,
    },
};
use stayhand_agent_ebpf::{
    abi::{
        code::{hook, op, protocol, reason, verdict},
        hold::{HoldEntry, HoldKey},
        image::{LabelKey, LeaseRow, entry_flag},
        net::NET_INTERNET,
        pulse,
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

use crate::{
    clock::SECOND,
    kernel::{Call, Installed, Kernel, Machine, Outcome, Permitted, Process, Target},
    mutant::Mutant,
};

/// Records of one class that wait to be read. Small, so that it overflows now and then.
const RING_MAX: usize = 3;
/// Pending holds of one subject.
const HOLDS_PER_SUBJECT_MAX: usize = 4;
/// Numbers of processes that no machine has: whoever looks one up in /proc finds nobody.
const FIRST_PID: u32 = 0x9000_0000;

impl Machine {
    /// The hook, from its beginning.
    pub(crate) fn enter(&self, cookie: u64) -> Outcome {
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
            is_unrecorded: false,
        };
        match decision.verdict {
            verdict::HELD => self.held(&mut kernel, &process, &decision, &now, &mut outcome),
            verdict::ALLOWED => self.allowed(&mut kernel, &process, &decision, &now, &mut outcome),
            _ => self.denied(&mut kernel, &process, &decision, decision.reason, &now),
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
                self.lease_rows(desired, auid)
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

    /// What the installer writes for one person: its own rows, so that what does not fit is left out as on a host.
    fn lease_rows(&self, desired: &Desired, auid: u32) -> BTreeMap<u64, LeaseRow> {
        let rows = rows::leases(desired, 0).into_iter();
        let own = rows.filter(|(key, _)| key.auid == auid);
        let own = own.map(|(key, row)| (key.permission, row));
        let forgets = self.mutant == Some(Mutant::KernelForgetsLeases);
        own.take(if forgets { 1 } else { usize::MAX }).collect()
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
            return;
        }
        outcome.is_unrecorded = true;
        let goes_on = decision.on_loss & u32::from(entry_flag::GOES_ON_UNRECORDED) != 0
            && self.mutant != Some(Mutant::KernelNeedsEveryRecord);
        if goes_on || self.mutant == Some(Mutant::KernelNeedsNoRecord) {
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
        if self.would_wait_for_nobody(kernel, decision, now) {
            outcome.reason = reason::NO_AGENT;
            return self.denied(kernel, process, decision, reason::NO_AGENT, now);
        }
        let own = kernel.holds.values().filter(|one| one.auid == process.auid);
        if own.count() >= HOLDS_PER_SUBJECT_MAX {
            outcome.reason = reason::HOLD_QUOTA;
            return self.denied(kernel, process, decision, reason::HOLD_QUOTA, now);
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
    fn would_wait_for_nobody(&self, kernel: &Kernel, decision: &Decision, now: &Now) -> bool {
        decision.on_loss & u32::from(entry_flag::WAITS_WITHOUT_AGENT) == 0
            && !pulse::agent_lives(self.heard_ns(kernel), now.boot_ns)
            && self.mutant != Some(Mutant::KernelWaitsForNobody)
    }

    /// A denial needs no room for its record.
    fn denied(
        &self,
        kernel: &mut Kernel,
        process: &Process,
        decision: &Decision,
        reason: u32,
        now: &Now,
    ) {
        let said = (EventClass::B, Verdict::Denied, reason);
        self.record(kernel, process, decision, said, 0, now);
    }

    fn heard_ns(&self, kernel: &Kernel) -> u64 {
        match self.mutant {
            Some(Mutant::KernelIsImpatient) => {
                kernel.spoke_ns.saturating_sub(pulse::AGENT_SILENT_NS) + SECOND
            }
            _ => kernel.spoke_ns,
        }
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
