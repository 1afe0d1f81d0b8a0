//! Properties of the conversions: what is hostile is refused with its place; what is domain survives the way.

mod approvals;
mod rollouts;
mod sync;

use stayhand_guardrail::{
    action::{Object, Operation, ProcessInfo},
    event::{
        AccessTokenChange, AccessTokenChanged, AgentState, AuthorityChange, AuthorityChanged,
        DecisionEvent, Door, EnforcementEvent, Event, EventClass, EventKind, FlagChanged,
        GrantChanged, HoldChanged, HoldRef, JoinTokenChange, JoinTokenChanged, LockChange,
        LockChanged, LossStage, Lost, MembershipChange, MembershipChanged, PolicyChange,
        PolicyChanged, RuleRef, SessionChange, SessionChanged, Tamper,
    },
    grant::{Enforcement, Grant, GrantChange, GrantState, HostEnforcement},
    hold::{Approval, Cancel, Decided, Hold, HoldPhase, HoldState},
    host::Phase,
    id::{
        AccessTokenId, EventSeq, Generation, GrantId, HoldId, JoinTokenId, LockId, ProposalId,
        Revision, SessionId,
    },
    lock::{Lock, Target},
    reason::{Reason, Verdict},
    sensitivity::Sensitivity,
    subject::Subject,
    time::UnixMs,
};
use uuid::Uuid;

use self::approvals::approvals;
use super::Invalid;
use crate::{
    codec,
    limits::{ARGUMENTS_BYTES_MAX, SHORT_BYTES_MAX},
    message::FromHost,
    v1,
    view::{EnforcementView, GrantView},
};

fn hold(state: HoldState) -> Hold {
    Hold {
        id: HoldId(0xfeed),
        host: "web-1".parse().unwrap(),
        subject: Subject {
            auid: 1000,
            user: Some("alice".parse().unwrap()),
            session: None,
        },
        process: process(),
        operation: Operation::Create,
        object: Object::Path {
            bytes: b"/etc/nginx/\xff\n".to_vec(),
        },
        rule: rule(),
        message: None,
        sensitivity: None,
        permission: Some("prod/nginx".parse().unwrap()),
        approval: Approval::Operators,
        create_time: UnixMs(1_700_000_000_123),
        expire_time: UnixMs(1_700_000_600_123),
        state,
    }
}

fn rule() -> RuleRef {
    RuleRef {
        policy: "prod".parse().unwrap(),
        revision: Revision(3),
        rule: "nginx".parse().unwrap(),
    }
}

fn process() -> ProcessInfo {
    ProcessInfo {
        pid: 10,
        tid: 11,
        ppid: 9,
        cookie: u64::MAX,
        uid: 0,
        comm: b"sh\x1b[2J".to_vec(),
        exe: Some(b"/bin/sh".to_vec()),
        cwd: None,
        tty: Some(b"pts/3".to_vec()),
        args: vec![b"sh".to_vec(), vec![], b"-c\n\xfe".to_vec()],
        args_cut: true,
    }
}

fn states() -> Vec<HoldState> {
    let decided = || Decided {
        by: "carol".parse().unwrap(),
        reason: "checked\nwith carol".into(),
        at: UnixMs(1_700_000_001_000),
    };
    let at = UnixMs(1_700_000_002_001);
    vec![
        HoldState::Pending,
        HoldState::Approved {
            decided: decided(),
            released: None,
        },
        HoldState::Approved {
            decided: decided(),
            released: Some(at),
        },
        HoldState::Refused { decided: decided() },
        HoldState::Lapsed {
            why: "stage 1 of prod-change: nobody approved in 15m".into(),
            at,
        },
        HoldState::TimedOut { at },
        HoldState::Cancelled {
            cause: Cancel::ProcessGone,
            at,
        },
        HoldState::Cancelled {
            cause: Cancel::FatalSignal,
            at,
        },
        HoldState::Void { at },
    ]
}

fn kinds() -> Vec<EventKind> {
    let by = || Some("carol".parse().unwrap());
    let decision = |hold| {
        EventKind::Decision(Box::new(DecisionEvent {
            verdict: Verdict::Held,
            reason: Reason::HoldPending,
            operation: Operation::Connect,
            object: Object::Address {
                ip: "2001:db8::1".parse().unwrap(),
                port: 5432,
                protocol: Some(132),
            },
            object_cut: true,
            subject: Subject {
                auid: 7,
                user: None,
                session: Some(0),
            },
            process: process(),
            args_redacted: 2,
            generation: Generation(9),
            rule: Some(rule()),
            message: Some("ask".into()),
            sensitivity: Some(Sensitivity::High),
            permission: None,
            grant: Some(GrantId(Uuid::from_u128(77))),
            hold,
            monitor: true,
        }))
    };
    let state = || AgentState {
        version: "0.1.0".into(),
        enforced: true,
        detail: "hooks: file_open".into(),
    };
    vec![
        decision(None),
        decision(Some(HoldRef {
            id: HoldId(3),
            deadline: UnixMs(5_000),
            answered_by: by(),
            answer_reason: Some("ok".into()),
        })),
        EventKind::HoldChanged(HoldChanged {
            hold: HoldId(3),
            from: HoldPhase::Pending,
            to: HoldPhase::TimedOut,
            released: false,
            by: None,
            reason: None,
        }),
        EventKind::GrantChanged(GrantChanged {
            grant: GrantId(Uuid::from_u128(1)),
            change: GrantChange::Revoked,
            user: "alice".parse().unwrap(),
            permissions: vec!["prod/db(dir=/srv/a%20b)".parse().unwrap()],
            profile: Some("prod/care(dir=/srv/a%20b)".parse().unwrap()),
            by: by(),
            reason: Some("done".into()),
            expire_time: UnixMs(99_000),
        }),
        EventKind::PolicyChanged(PolicyChanged {
            policy: "prod".parse().unwrap(),
            revision: Revision(2),
            by: by(),
            change: PolicyChange::Approved,
            proposal: Some(ProposalId(9)),
            reason: Some("read it".into()),
        }),
        EventKind::FlagChanged(FlagChanged {
            flag: "high-traffic".parse().unwrap(),
            until: Some(UnixMs(9_000)),
            by: "root".parse().unwrap(),
            reason: "the sale".into(),
        }),
        lock_changed(),
        EventKind::Lost(Lost {
            class: EventClass::B,
            count: 12,
            stage: LossStage::Ring,
            since: UnixMs(1),
        }),
        EventKind::AgentStarted(state()),
        EventKind::AgentStopped(state()),
        EventKind::Enforcement(EnforcementEvent {
            generation: Generation(4),
            phase: Phase::Rejected {
                reasons: vec!["rule `x`: no room".into()],
            },
        }),
        EventKind::Tamper(Tamper {
            what: "link gone".into(),
            subject: None,
            process: Some(process()),
        }),
    ]
    .into_iter()
    .chain(membership_kinds())
    .collect()
}

fn lock_changed() -> EventKind {
    let target = Target::new(Some("alice".parse().unwrap()), Some("db1".parse().unwrap()));
    EventKind::LockChanged(LockChanged {
        lock: LockId(7),
        target: target.unwrap(),
        change: LockChange::Removed,
        until: None,
        by: Some("carol".parse().unwrap()),
        reason: Some("found again".into()),
    })
}

fn membership_kinds() -> Vec<EventKind> {
    let by = || Some("root".parse().unwrap());
    vec![
        EventKind::MembershipChanged(MembershipChanged {
            member: "db1".parse().unwrap(),
            change: MembershipChange::Recovered,
            by: by(),
            token: Some(JoinTokenId(7)),
            address: Some("10.0.0.7:1".into()),
            reason: Some("late".into()),
        }),
        EventKind::AuthorityChanged(AuthorityChanged {
            authority: 2,
            change: AuthorityChange::Retired,
            by: by(),
            reason: Some("stolen".into()),
        }),
        EventKind::SessionChanged(SessionChanged {
            session: Some(SessionId(9)),
            change: SessionChange::Revoked,
            user: Some("carol".parse().unwrap()),
            door: Door::Token,
            subject: Some("248289761001".to_owned()),
            token: Some(AccessTokenId(8)),
            by: Some("bob".parse().unwrap()),
            expire_time: Some(UnixMs(1_795_222_000_000)),
            address: Some("10.0.0.9:40112".to_owned()),
            reason: Some("left".to_owned()),
        }),
        EventKind::AccessTokenChanged(AccessTokenChanged {
            token: AccessTokenId(8),
            change: AccessTokenChange::Refused,
            purpose: "deployments".to_owned(),
            user: "carol".parse().unwrap(),
            actions: vec!["flag.set".to_owned()],
            by: None,
            expire_time: UnixMs(1_795_222_000_000),
            address: Some("10.0.0.9:40112".to_owned()),
            reason: Some("it has expired".to_owned()),
        }),
        EventKind::JoinTokenChanged(JoinTokenChanged {
            token: JoinTokenId(7),
            change: JoinTokenChange::Refused,
            by: by(),
            member: Some("db1".parse().unwrap()),
            expire_time: UnixMs(9_000),
            uses_left: 3,
            address: Some("10.0.0.7:1".into()),
            reason: Some("used".into()),
        }),
    ]
}

fn event(kind: EventKind) -> Event {
    Event {
        host: "web-1".parse().unwrap(),
        boot_id: Uuid::from_u128(1),
        epoch: Uuid::from_u128(2),
        seq: EventSeq(3),
        time: UnixMs(1_700_000_000_999),
        kind,
    }
}

#[track_caller]
fn refused<W, T: TryFrom<W, Error = Invalid> + std::fmt::Debug>(wire: W, field: &str) {
    let invalid = T::try_from(wire).expect_err("it is hostile");
    assert_eq!(invalid.field, field, "{invalid}");
}

#[test]
fn hostile_holds_are_refused_with_the_path_of_the_field() {
    let wire = || v1::Hold::from(hold(HoldState::Pending));
    let refused = |wire, field| refused::<v1::Hold, Hold>(wire, field);
    refused(
        v1::Hold {
            name: "holds/0000000000000000".into(),
            ..wire()
        },
        "name",
    );
    refused(
        v1::Hold {
            name: "grants/000000000000feed".into(),
            ..wire()
        },
        "name",
    );
    refused(
        v1::Hold {
            host: "web\n1".into(),
            ..wire()
        },
        "host",
    );
    refused(
        v1::Hold {
            subject: None,
            ..wire()
        },
        "subject",
    );
    refused(v1::Hold { state: 0, ..wire() }, "state");
    refused(
        v1::Hold {
            state: 99,
            ..wire()
        },
        "state",
    );
    refused(
        v1::Hold {
            state: v1::hold::State::Approved.into(),
            ..wire()
        },
        "answered_by",
    );
    refused(
        v1::Hold {
            state: v1::hold::State::Lapsed.into(),
            ..wire()
        },
        "lapse_reason",
    );
    refused(
        v1::Hold {
            state: v1::hold::State::Cancelled.into(),
            ..wire()
        },
        "cancel_cause",
    );
    refused(
        v1::Hold {
            operation: -1,
            ..wire()
        },
        "operation",
    );
    refused(
        v1::Hold {
            create_time: Some(prost_types::Timestamp {
                seconds: -1,
                nanos: 0,
            }),
            ..wire()
        },
        "create_time",
    );
    refused(
        v1::Hold {
            object: Some(v1::Object { object: None }),
            ..wire()
        },
        "object.object",
    );
}

#[test]
fn hostile_objects_and_processes_are_refused_with_the_path_of_the_field() {
    let wire = || v1::Hold::from(hold(HoldState::Pending));
    let process = || wire().process.unwrap();
    let refused = |wire, field| refused::<v1::Hold, Hold>(wire, field);
    let address = v1::Address {
        ip: vec![1; 5],
        port: 1,
        protocol: None,
    };
    let object = v1::Object {
        object: Some(v1::object::Object::Address(address)),
    };
    refused(
        v1::Hold {
            object: Some(object),
            ..wire()
        },
        "object.address.ip",
    );
    let address = v1::Address {
        ip: vec![1; 4],
        port: 65_536,
        protocol: None,
    };
    let object = v1::Object {
        object: Some(v1::object::Object::Address(address)),
    };
    refused(
        v1::Hold {
            object: Some(object),
            ..wire()
        },
        "object.address.port",
    );
    let long = v1::Process {
        comm: vec![b'x'; SHORT_BYTES_MAX + 1],
        ..process()
    };
    refused(
        v1::Hold {
            process: Some(long),
            ..wire()
        },
        "process.comm",
    );
    let many = v1::Process {
        arguments: vec![vec![0; ARGUMENTS_BYTES_MAX], vec![0]],
        ..process()
    };
    refused(
        v1::Hold {
            process: Some(many),
            ..wire()
        },
        "process.arguments",
    );
}

#[test]
fn an_event_without_kind_or_number_is_refused() {
    let wire = || v1::Event::from(event(kinds().remove(5)));
    refused::<_, Event>(
        v1::Event {
            kind: None,
            ..wire()
        },
        "kind",
    );
    refused::<_, Event>(
        v1::Event {
            sequence: 0,
            ..wire()
        },
        "sequence",
    );
    refused::<_, Event>(
        v1::Event {
            epoch: "x".into(),
            ..wire()
        },
        "epoch",
    );
    refused::<_, FromHost>(v1::SyncRequest { message: None }, "message");
}

#[test]
fn an_unknown_verdict_reads_as_denied() {
    let EventKind::Decision(decision) = kinds().remove(0) else {
        unreachable!()
    };
    let wire = v1::DecisionEvent {
        verdict: 77,
        reason: "from-the-future".into(),
        ..(*decision).into()
    };
    let decision = DecisionEvent::try_from(wire).unwrap();
    assert_eq!(
        (decision.verdict, decision.reason),
        (Verdict::Denied, Reason::Unknown)
    );
}

#[test]
fn an_unknown_sensitivity_reads_as_the_most_and_what_says_nothing_has_none() {
    let of_event = |sensitivity| {
        let EventKind::Decision(decision) = kinds().remove(0) else {
            unreachable!()
        };
        let wire = v1::DecisionEvent {
            sensitivity,
            ..(*decision).into()
        };
        DecisionEvent::try_from(wire).unwrap().sensitivity
    };
    let of_hold = |sensitivity| {
        let wire = v1::Hold {
            sensitivity,
            ..hold(HoldState::Pending).into()
        };
        Hold::try_from(wire).unwrap().sensitivity
    };
    for wire in [5, 77, -1, i32::MAX, i32::MIN] {
        assert_eq!(of_event(wire), Some(Sensitivity::Critical), "{wire}");
        assert_eq!(of_hold(wire), Some(Sensitivity::Critical), "{wire}");
    }
    // What an agent sends that knows of none.
    assert_eq!((of_event(0), of_hold(0)), (None, None));
}

#[test]
fn truncated_bytes_never_become_another_event() {
    for kind in kinds() {
        let whole = event(kind);
        let bytes = codec::encode_event(whole.clone());
        for end in 0..bytes.len() {
            // A cut between fields can still be readable; what it says is then less, never something else.
            if let Ok(read) = codec::decode_event(&bytes[..end]) {
                assert_eq!(
                    (&read.host, read.epoch, read.seq),
                    (&whole.host, whole.epoch, whole.seq)
                );
            }
        }
    }
}

#[test]
fn every_hold_survives_the_way() {
    for (state, approval) in states().into_iter().zip(approvals().into_iter().cycle()) {
        for sensitivity in Sensitivity::ALL.map(Some).into_iter().chain([None]) {
            let hold = Hold {
                approval: approval.clone(),
                sensitivity,
                ..hold(state.clone())
            };
            assert_eq!(
                codec::decode_hold(&codec::encode_hold(hold.clone())),
                Ok(hold)
            );
        }
    }
}

#[test]
fn every_event_survives_the_way() {
    for kind in kinds() {
        let event = event(kind);
        assert_eq!(
            codec::decode_event(&codec::encode_event(event.clone())),
            Ok(event)
        );
    }
}

#[test]
fn every_grant_survives_the_way() {
    let at = UnixMs(1_700_000_000_000);
    let by = || "carol".parse().unwrap();
    let on = [
        Enforcement::Desired,
        Enforcement::Received,
        Enforcement::Enforced,
        Enforcement::Removed,
    ]
    .map(|enforcement| HostEnforcement {
        host: "web-1".parse().unwrap(),
        generation: Generation(8),
        removes: enforcement == Enforcement::Removed,
        enforcement,
    })
    .map(|on| EnforcementView {
        on,
        update_time: Some(at),
        online: true,
        last_seen: Some(at),
        errors: vec![],
        void_time: Some(at),
    });
    for state in [
        GrantState::Active,
        GrantState::Ended { at },
        GrantState::Revoked {
            by: by(),
            reason: "r".into(),
            at,
        },
    ] {
        let grant = Grant {
            id: GrantId(Uuid::from_u128(5)),
            user: "alice".parse().unwrap(),
            permissions: vec!["prod/db(dir=/srv/a%20b)".parse().unwrap()],
            profile: Some("prod/care(dir=/srv/a%20b)".parse().unwrap()),
            hosts: vec!["web-1".parse().unwrap()],
            reason: "deploy".into(),
            created_by: by(),
            create_time: at,
            expire_time: at,
            revision: Revision(2),
            state,
        };
        let view = GrantView {
            grant,
            enforcement: on.to_vec(),
            locks: vec![Lock {
                id: LockId(7),
                target: Target::new(None, Some("web-1".parse().unwrap())).unwrap(),
                until: Some(at),
                created_by: by(),
                reason: "looked at".into(),
                create_time: at,
            }],
            more_locks: 3,
        };
        assert_eq!(GrantView::try_from(v1::Grant::from(view.clone())), Ok(view));
    }
}
