//! What several tests need: a spool in a directory of its own, a host, pins that are as a test wants them.

use std::{path::Path, sync::Arc};

use stayhand_guardrail::{
    action::{Object, Operation, ProcessInfo},
    event::{DecisionEvent, RuleRef},
    hold::{Approval, Hold, HoldState},
    id::{Generation, HoldId, Revision},
    reason::{Reason, Verdict},
    subject::Subject,
    time::UnixMs,
};
use stayhand_proto::codec::encode_event;
use uuid::Uuid;

use crate::{
    kernel::{counters::Counters, pidfd::PidFd},
    port::{CounterMap, Pinned, Pins, PortError},
    record::Identity,
    spool::{Setup, Spool},
};

/// A moment.
pub(crate) const NOW: UnixMs = UnixMs(1_700_000_000_000);

/// This host.
pub(crate) fn identity() -> Identity {
    Identity {
        host: "web-1".parse().unwrap(),
        boot_id: Uuid::from_u128(7),
        epoch: Uuid::from_u128(9),
    }
}

/// A spool that encodes losses as the agent does.
pub(crate) fn spool(directory: &Path) -> Arc<Spool> {
    Arc::new(Spool::open(directory, setup()).unwrap())
}

/// What it is opened with.
pub(crate) fn setup() -> Setup {
    Setup {
        boot_id: identity().boot_id,
        new_epoch: identity().epoch,
        bytes_max: 16 << 20,
        encode_lost: Box::new(|lost| {
            let kind = stayhand_guardrail::event::EventKind::Lost(lost.clone());
            encode_event(identity().event(lost.since, kind))
        }),
        now: NOW,
    }
}

/// Everybody is pinned so.
pub(crate) struct All(pub(crate) Option<Pinned>);

impl Pins for All {
    fn pinned(&self, _: &PidFd) -> Result<Option<Pinned>, PortError> {
        Ok(self.0)
    }
}

/// Counters that stand still.
pub(crate) struct Still(pub(crate) Counters);

impl CounterMap for Still {
    fn counters(&self) -> Result<Counters, PortError> {
        Ok(self.0)
    }
}

/// Alice's session.
pub(crate) const ALICE: Pinned = Pinned {
    auid: 1001,
    session: 3,
    process_cookie: 9,
};

/// A rule of a policy.
pub(crate) fn rule() -> RuleRef {
    RuleRef {
        policy: "p".parse().unwrap(),
        revision: Revision(1),
        rule: "r".parse().unwrap(),
    }
}

/// A denial of alice's.
pub(crate) fn denial(auid: u32, path: &str) -> DecisionEvent {
    DecisionEvent {
        verdict: Verdict::Denied,
        reason: Reason::RuleDeny,
        operation: Operation::Exec,
        object: Object::Path {
            bytes: path.as_bytes().to_vec(),
        },
        object_cut: false,
        subject: Subject {
            auid,
            user: Some("alice".parse().unwrap()),
            session: Some(3),
        },
        process: ProcessInfo {
            pid: 77,
            ..ProcessInfo::default()
        },
        args_redacted: 0,
        generation: Generation(1),
        rule: Some(rule()),
        message: Some("use the bastion".into()),
        sensitivity: None,
        permission: None,
        grant: None,
        hold: None,
        monitor: false,
    }
}

/// A pending hold of alice's.
pub(crate) fn hold(id: u64) -> Hold {
    Hold {
        id: HoldId(id),
        host: identity().host,
        subject: Subject {
            auid: 1001,
            user: Some("alice".parse().unwrap()),
            session: Some(3),
        },
        process: ProcessInfo {
            pid: 77,
            tid: 77,
            cookie: 9,
            ..ProcessInfo::default()
        },
        operation: Operation::Exec,
        object: Object::Path {
            bytes: b"/usr/bin/nc".to_vec(),
        },
        rule: rule(),
        message: None,
        sensitivity: None,
        permission: None,
        approval: Approval::Operators,
        create_time: NOW,
        expire_time: UnixMs(NOW.0 + 60_000),
        state: HoldState::Pending,
    }
}
