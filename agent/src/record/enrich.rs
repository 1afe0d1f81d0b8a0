//! One kernel record to one event, and what is to be done about it. Adds names, takes out secrets, decides nothing.

use std::sync::Arc;

use stayhand_guardrail::{
    action::ProcessInfo,
    event::{DecisionEvent, Event, EventKind, HoldRef, RuleRef, Tamper},
    hold::{Approval, Hold, HoldPhase, HoldState},
    id::{EventSeq, HostId, PolicyName, Revision, RuleId},
    image::RuleInfo,
    message::Notice,
    reason::{Reason, Verdict},
    redact::Redactor,
    subject::Subject,
    time::UnixMs,
};
use uuid::Uuid;

use super::process;
use crate::{
    catalog::Catalog,
    clock::Now,
    health::Health,
    holds::{Board, Row},
    kernel::{holds::Pending, mounts::Mounts, record::RawRecord},
    port::Pins,
    tell::{Session, Told},
    users::Names,
};

/// Where events come from.
#[derive(Clone, Debug)]
pub struct Identity {
    /// This host
    pub host: HostId,
    /// The running boot
    pub boot_id: Uuid,
    /// The spool's epoch
    pub epoch: Uuid,
}

impl Identity {
    /// An event of this host, without a number: the spool gives it.
    pub fn event(&self, time: UnixMs, kind: EventKind) -> Event {
        let Self {
            host,
            boot_id,
            epoch,
        } = self.clone();
        Event {
            host,
            boot_id,
            epoch,
            seq: EventSeq(0),
            time,
            kind,
        }
    }
}

/// What one record means.
#[derive(Debug)]
pub struct Enriched {
    /// To be stored
    pub event: Event,
    /// A hold was opened
    pub opened: Option<Box<Row>>,
    /// A hold ended: its number and the kernel's word
    pub outcome: Option<(u64, Reason)>,
    /// A process was stopped without a hold: process id and cookie
    pub stopped: Option<(u32, u64)>,
    /// What to say on the session's terminal
    pub told: Option<Told>,
}

/// Makes records readable.
pub struct Enricher {
    identity: Identity,
    catalog: Catalog,
    board: Arc<Board>,
    redactor: Redactor,
    names: Names,
    pins: Arc<dyn Pins>,
    health: Arc<Health>,
}

impl Enricher {
    /// Reads with these.
    pub fn new(
        identity: Identity,
        catalog: Catalog,
        board: Arc<Board>,
        redactor: Redactor,
        pins: Arc<dyn Pins>,
        health: Arc<Health>,
    ) -> Self {
        Self {
            identity,
            catalog,
            board,
            redactor,
            names: Names::default(),
            pins,
            health,
        }
    }

    /// The same with names that somebody else knows.
    #[must_use]
    pub fn with_names(mut self, names: Names) -> Self {
        self.names = names;
        self
    }

    /// Whose events they are.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Reads one record.
    pub fn enrich(&mut self, record: &RawRecord, mounts: &Mounts, now: &Now) -> Enriched {
        let subject = Subject {
            auid: record.auid,
            user: self.names.of(record.auid),
            session: record.session,
        };
        let (process, args_redacted) = self.process(record);
        let time = now.unix_of_boot(record.boot_ns);
        let stopped = record
            .stopped_without_hold
            .then_some((record.tgid, record.process_cookie));
        let (Some(operation), Some(object)) = (record.operation, record.object(mounts)) else {
            let tamper = tamper(record, subject, process);
            let event = self.identity.event(time, EventKind::Tamper(tamper));
            return Enriched {
                event,
                opened: None,
                outcome: None,
                stopped,
                told: None,
            };
        };
        let info = record
            .rule
            .and_then(|key| self.catalog.rule(record.generation, key.get()));
        let permission = record
            .permission
            .and_then(|key| self.catalog.permission(record.generation, key.get()));
        let decision = DecisionEvent {
            verdict: record.verdict,
            reason: self.reason(record),
            operation,
            object,
            object_cut: record.path_cut,
            subject,
            process,
            args_redacted,
            generation: record.generation,
            rule: info.as_ref().map(|info| RuleRef {
                policy: info.policy.clone(),
                revision: info.revision,
                rule: info.rule.clone(),
            }),
            message: info.as_ref().and_then(RuleInfo::told),
            sensitivity: info.as_ref().and_then(|info| info.sensitivity),
            permission: permission.or_else(|| info.and_then(|info| info.permission)),
            grant: record.grant,
            hold: self.hold_ref(record, now),
            monitor: record.monitor,
        };
        let opened = self.opened(record, &decision, time);
        let outcome = record.hold.filter(|_| record.reason != Reason::HoldPending);
        let told = told(record, &decision, now, || self.health.now().stale(now));
        let event = self
            .identity
            .event(time, EventKind::Decision(Box::new(decision)));
        Enriched {
            event,
            opened,
            outcome: outcome.map(|id| (id.0, record.reason)),
            stopped,
            told,
        }
    }

    fn process(&self, record: &RawRecord) -> (ProcessInfo, u32) {
        let seen = process::look(record, self.pins.as_ref());
        let (args, redacted) = self.redactor.redact(&record.args);
        let process = ProcessInfo {
            pid: record.tgid,
            tid: record.tid,
            ppid: record.ppid,
            cookie: record.process_cookie,
            uid: record.uid,
            comm: record.comm.clone(),
            exe: seen.exe,
            cwd: seen.cwd,
            tty: record.tty.clone(),
            args,
            args_cut: record.args_cut,
        };
        (process, redacted)
    }

    /// The kernel knows of a refusal only that it is one; the answer was on the board before the kernel had it.
    fn reason(&self, record: &RawRecord) -> Reason {
        let known = record.hold.and_then(|id| self.board.get(id.0));
        match (record.reason, known.map(|hold| hold.state.phase())) {
            (Reason::HoldRefused, Some(HoldPhase::Lapsed)) => Reason::HoldLapsed,
            (reason, _) => reason,
        }
    }

    /// The hold of a record, with whoever answered it: the answer was on the board before the kernel had it.
    fn hold_ref(&self, record: &RawRecord, now: &Now) -> Option<HoldRef> {
        let id = record.hold?;
        let known = self.board.get(id.0);
        let decided = known.as_ref().and_then(|hold| hold.state.decided());
        Some(HoldRef {
            id,
            deadline: known.as_ref().map_or_else(
                || now.unix_of_boot(record.boot_deadline_ns),
                |hold| hold.expire_time,
            ),
            answered_by: decided.map(|decided| decided.by.clone()),
            answer_reason: known
                .as_ref()
                .and_then(|hold| hold.state.why())
                .map(str::to_owned),
        })
    }

    fn opened(
        &self,
        record: &RawRecord,
        decision: &DecisionEvent,
        time: UnixMs,
    ) -> Option<Box<Row>> {
        let hold = decision
            .hold
            .as_ref()
            .filter(|_| record.reason == Reason::HoldPending)?;
        let hold = Hold {
            id: hold.id,
            host: self.identity.host.clone(),
            subject: decision.subject.clone(),
            process: decision.process.clone(),
            operation: decision.operation,
            object: decision.object.clone(),
            rule: decision.rule.clone().or_else(unknown_rule)?,
            message: decision.message.clone(),
            sensitivity: decision.sensitivity,
            permission: decision.permission.clone(),
            approval: Approval::Operators,
            create_time: time,
            expire_time: hold.deadline,
            state: HoldState::Pending,
        };
        Some(Box::new(Row::new(
            hold,
            self.identity.boot_id,
            record.hold_key,
            record.boot_deadline_ns,
        )))
    }
}

/// Makes a row of a kernel entry whose record was lost with an earlier agent: it must be answerable all the same.
pub fn unknown_hold(
    identity: &Identity,
    catalog: &Catalog,
    pending: &Pending,
    now: &Now,
) -> Option<Row> {
    let Pending { key, entry } = pending;
    // The object was in the record only.
    let object = stayhand_guardrail::action::Object::Path {
        bytes: b"(unknown: its record was lost)".to_vec(),
    };
    let info = catalog.rule(stayhand_guardrail::id::Generation(u64::MAX), entry.rule);
    let session = (entry.session != stayhand_agent_ebpf::abi::UNSET).then_some(entry.session);
    let rule = info.as_ref().map(|info| RuleRef {
        policy: info.policy.clone(),
        revision: info.revision,
        rule: info.rule.clone(),
    });
    let hold = Hold {
        id: stayhand_guardrail::id::HoldId(entry.hold),
        host: identity.host.clone(),
        subject: Subject {
            auid: entry.auid,
            user: Names::default().of(entry.auid),
            session,
        },
        process: ProcessInfo {
            pid: entry.tgid,
            tid: entry.tid,
            cookie: entry.process_cookie,
            ..ProcessInfo::default()
        },
        operation: stayhand_guardrail::action::Operation::from_bits(entry.op)?,
        object,
        rule: rule.or_else(unknown_rule)?,
        message: info.as_ref().and_then(RuleInfo::told),
        sensitivity: info.as_ref().and_then(|info| info.sensitivity),
        permission: info.and_then(|info| info.permission),
        approval: Approval::Operators,
        create_time: now.unix_of_boot(entry.opened_boot_ns),
        expire_time: now.unix_of_boot(entry.boot_deadline_ns),
        state: HoldState::Pending,
    };
    Some(Row::new(
        hold,
        identity.boot_id,
        *key,
        entry.boot_deadline_ns,
    ))
}

/// For a rule of an image that nobody remembers.
fn unknown_rule() -> Option<RuleRef> {
    let (policy, rule) = (
        PolicyName::new("unknown").ok()?,
        RuleId::new("unknown").ok()?,
    );
    Some(RuleRef {
        policy,
        revision: Revision(0),
        rule,
    })
}

/// A decision that is about no object is about the guardrail itself.
fn tamper(record: &RawRecord, subject: Subject, process: ProcessInfo) -> Tamper {
    let what = match record.reason {
        Reason::CapAuditControl => {
            "a guarded subject asked for CAP_AUDIT_CONTROL, which clears login uids; denied"
                .to_owned()
        }
        Reason::ArgsChanged => {
            "a program's arguments were changed while they were judged; the program was killed"
                .to_owned()
        }
        other => format!("a decision without an object: {} ({other})", record.verdict),
    };
    Tamper {
        what,
        subject: Some(subject),
        process: Some(process),
    }
}

/// The person is told what stopped; that something goes on shows by itself.
fn told(
    record: &RawRecord,
    decision: &DecisionEvent,
    now: &Now,
    no_grant_counts: impl Fn() -> Option<String>,
) -> Option<Told> {
    if decision.monitor || decision.verdict == Verdict::Allowed {
        return None;
    }
    let session = Session {
        tty: record.tty.clone(),
        pid: record.tgid,
        uid: record.uid,
        auid: record.auid,
        session: record.session,
    };
    Some(Told {
        session,
        text: Notice::of(decision, now.unix)
            .where_no_grant_counts(no_grant_counts())
            .terminal(),
    })
}
