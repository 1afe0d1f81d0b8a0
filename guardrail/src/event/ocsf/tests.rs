//! Golden events of every kind, the decision table, and what a SIEM rejects.

mod sensitivity;

use proptest::{prelude::*, test_runner::TestCaseError};
use uuid::Uuid;

use super::{
    super::*,
    Line, Producer,
    control::{Control, control},
    decode, encode,
    schema::violations,
};
use crate::{
    action::{Object, Operation, ProcessInfo},
    grant::GrantChange,
    hold::HoldPhase,
    host::Phase,
    id::{
        AccessTokenId, EventSeq, Generation, GrantId, HoldId, JoinTokenId, LockId, Revision,
        SessionId,
    },
    lock::Target,
    reason::{Reason, Verdict},
    sensitivity::Sensitivity,
    subject::Subject,
    time::UnixMs,
};

const PRODUCER: Producer<'static> = Producer {
    name: "stayhand-agent",
    version: "0.1.0",
};

fn event(kind: EventKind) -> Event {
    Event {
        host: "web-017".parse().unwrap(),
        boot_id: Uuid::from_u128(0xb007),
        epoch: Uuid::from_u128(0xe90c),
        seq: EventSeq(48_213),
        time: UnixMs(1_795_222_183_512),
        kind,
    }
}

fn decision(verdict: Verdict, reason: Reason, operation: Operation) -> DecisionEvent {
    let object = match operation {
        Operation::Exec => Object::Path {
            bytes: b"/opt/demo/deploy".to_vec(),
        },
        Operation::Connect | Operation::Bind | Operation::Listen => Object::Address {
            ip: "127.0.9.1".parse().unwrap(),
            port: 7000,
            protocol: Some(6),
        },
        Operation::Send => Object::Name {
            bytes: b"dbus\x1b[31m\0x".to_vec(),
        },
        Operation::Rename | Operation::Link => Object::Ends {
            from: b"/srv/held/a".to_vec(),
            to: b"/srv/held/\x1b[31mb".to_vec(),
        },
        Operation::Ptrace | Operation::Signal => Object::Process {
            pid: 812,
            comm: b"ss\x1b[31mhd".to_vec(),
            signal: (operation == Operation::Signal).then_some(9),
        },
        Operation::Module => Object::Path {
            bytes: b"/evil.ko".to_vec(),
        },
        _ if operation.bit() & stayhand_agent_ebpf::abi::code::op::SYSTEM != 0 => Object::Request {
            words: "command 5".to_owned(),
        },
        _ => Object::Path {
            bytes: b"/srv/held/a\n\x1b[31m\xff".to_vec(),
        },
    };
    DecisionEvent {
        verdict,
        reason,
        operation,
        object,
        object_cut: false,
        subject: Subject {
            auid: 1001,
            user: Some("alice".parse().unwrap()),
            session: Some(37),
        },
        process: ProcessInfo {
            pid: 4377,
            tid: 4377,
            ppid: 4211,
            cookie: 0x1234,
            uid: 0,
            comm: b"bash".to_vec(),
            exe: Some(b"/usr/bin/bash".to_vec()),
            cwd: Some(b"/root".to_vec()),
            tty: Some(b"pts/3".to_vec()),
            args: vec![
                b"deploy".to_vec(),
                b"--password=*****".to_vec(),
                b"two words".to_vec(),
            ],
            args_cut: true,
        },
        args_redacted: 1,
        generation: Generation(12),
        rule: Some(RuleRef {
            policy: "demo".parse().unwrap(),
            revision: Revision(3),
            rule: "deploy".parse().unwrap(),
        }),
        message: Some("deployments need a second person".to_owned()),
        sensitivity: None,
        permission: None,
        grant: None,
        hold: None,
        monitor: false,
    }
}

fn hold(answered: bool) -> HoldRef {
    HoldRef {
        id: HoldId(0xfeed_beef),
        deadline: UnixMs(1_795_222_243_512),
        answered_by: answered.then(|| "bob".parse().unwrap()),
        answer_reason: answered.then(|| "ticket 4711\n".to_owned()),
    }
}

fn kinds() -> Vec<(&'static str, EventKind)> {
    let boxed = |decision| EventKind::Decision(Box::new(decision));
    let grant = GrantId(Uuid::from_u128(0x9a47));
    let denied = decision(Verdict::Denied, Reason::RuleDeny, Operation::Exec);
    let held = DecisionEvent {
        hold: Some(hold(false)),
        ..decision(Verdict::Held, Reason::HoldPending, Operation::Create)
    };
    let approved = DecisionEvent {
        hold: Some(hold(true)),
        ..decision(Verdict::Allowed, Reason::HoldApproved, Operation::Connect)
    };
    let granted = DecisionEvent {
        grant: Some(grant),
        permission: Some("demo/vault".parse().unwrap()),
        ..decision(Verdict::Allowed, Reason::Grant, Operation::Write)
    };
    let sensitive = DecisionEvent {
        sensitivity: Some(Sensitivity::Critical),
        ..decision(Verdict::Allowed, Reason::RuleAlert, Operation::Read)
    };
    vec![
        ("exec-denied", boxed(denied)),
        ("file-held", boxed(held)),
        ("net-approved", boxed(approved)),
        ("file-granted", boxed(granted)),
        ("file-sensitive", boxed(sensitive)),
        (
            "hold-approved",
            EventKind::HoldChanged(HoldChanged {
                hold: HoldId(0xfeed_beef),
                from: HoldPhase::Pending,
                to: HoldPhase::Approved,
                released: false,
                by: Some("bob".parse().unwrap()),
                reason: Some("ticket 4711".to_owned()),
            }),
        ),
        (
            "grant-revoked",
            EventKind::GrantChanged(GrantChanged {
                grant,
                change: GrantChange::Revoked,
                user: "alice".parse().unwrap(),
                permissions: vec!["demo/logs(service=nginx)".parse().unwrap()],
                profile: Some("demo/care(port=8080,service=nginx)".parse().unwrap()),
                by: Some("bob".parse().unwrap()),
                reason: Some("done".to_owned()),
                expire_time: UnixMs(1_795_222_243_512),
            }),
        ),
        (
            "policy-applied",
            EventKind::PolicyChanged(PolicyChanged {
                policy: "demo".parse().unwrap(),
                revision: Revision(3),
                by: Some("bob".parse().unwrap()),
                change: PolicyChange::Applied,
                proposal: None,
                reason: None,
            }),
        ),
        (
            "policy-roll-out-stopped",
            EventKind::PolicyChanged(PolicyChanged {
                policy: "demo".parse().unwrap(),
                revision: Revision(4),
                by: None,
                change: PolicyChange::RollOutStopped,
                proposal: None,
                reason: Some("restricted 40 times on db1, more than 9".into()),
            }),
        ),
    ]
    .into_iter()
    .chain(lock_kinds())
    .chain(other_kinds())
    .chain(access_kinds())
    .collect()
}

fn access_kinds() -> Vec<(&'static str, EventKind)> {
    vec![
        (
            "session-opened",
            EventKind::SessionChanged(SessionChanged {
                session: Some(SessionId(0x77)),
                change: SessionChange::Opened,
                user: Some("carol".parse().unwrap()),
                door: Door::Oidc,
                subject: Some("248289761001".to_owned()),
                token: None,
                by: None,
                expire_time: Some(UnixMs(1_795_222_000_000)),
                address: Some("10.0.0.9:40112".to_owned()),
                reason: None,
            }),
        ),
        (
            "session-refused",
            EventKind::SessionChanged(SessionChanged {
                session: None,
                change: SessionChange::Refused,
                user: None,
                door: Door::Oidc,
                subject: Some("mallory\u{7}".to_owned()),
                token: None,
                by: None,
                expire_time: None,
                address: Some("10.0.0.9:40112".to_owned()),
                reason: Some("nobody is linked to the subject".to_owned()),
            }),
        ),
        (
            "break-glass-used",
            EventKind::SessionChanged(SessionChanged {
                session: Some(SessionId(0x78)),
                change: SessionChange::Used,
                user: Some("carol".parse().unwrap()),
                door: Door::BreakGlass,
                subject: None,
                token: None,
                by: None,
                expire_time: Some(UnixMs(1_795_222_000_000)),
                address: Some("10.0.0.9:40112".to_owned()),
                reason: None,
            }),
        ),
        (
            "access-token-created",
            EventKind::AccessTokenChanged(AccessTokenChanged {
                token: AccessTokenId(0x3f2b),
                change: AccessTokenChange::Created,
                purpose: "deployments".to_owned(),
                user: "carol".parse().unwrap(),
                actions: vec!["flag.set".to_owned(), "flag.clear".to_owned()],
                by: None,
                expire_time: UnixMs(1_795_222_000_000),
                address: None,
                reason: None,
            }),
        ),
    ]
}

fn lock_kinds() -> Vec<(&'static str, EventKind)> {
    let lock = |change, by: Option<&str>| {
        EventKind::LockChanged(LockChanged {
            lock: LockId(7),
            target: Target::new(Some("alice".parse().unwrap()), None).unwrap(),
            change,
            until: Some(UnixMs(1_795_222_243_512)),
            by: by.map(|by| by.parse().unwrap()),
            reason: by.map(|_| "her laptop was stolen".to_owned()),
        })
    };
    vec![
        ("lock-created", lock(LockChange::Created, Some("carol"))),
        ("lock-ended", lock(LockChange::Ended, None)),
    ]
}

fn other_kinds() -> Vec<(&'static str, EventKind)> {
    let agent = |enforced| AgentState {
        version: "0.1.0".to_owned(),
        enforced,
        detail: "5 hooks".to_owned(),
    };
    vec![
        (
            "flag-set",
            EventKind::FlagChanged(FlagChanged {
                flag: "high-traffic".parse().unwrap(),
                until: Some(UnixMs(1_795_222_243_512)),
                by: "bob".parse().unwrap(),
                reason: "the sale".to_owned(),
            }),
        ),
        (
            "lost",
            EventKind::Lost(Lost {
                class: EventClass::B,
                count: 17,
                stage: LossStage::Ring,
                since: UnixMs(1_795_222_000_000),
            }),
        ),
        ("agent-started", EventKind::AgentStarted(agent(true))),
        ("agent-stopped", EventKind::AgentStopped(agent(false))),
        (
            "generation-rejected",
            EventKind::Enforcement(EnforcementEvent {
                generation: Generation(12),
                phase: Phase::Rejected {
                    reasons: vec!["5:3: unknown key".to_owned()],
                },
            }),
        ),
        (
            "generation-enforced",
            EventKind::Enforcement(EnforcementEvent {
                generation: Generation(12),
                phase: Phase::Enforced,
            }),
        ),
        (
            "tamper",
            EventKind::Tamper(Tamper {
                what: "cleared its login uid".to_owned(),
                subject: Some(decision(Verdict::Denied, Reason::RuleDeny, Operation::Exec).subject),
                process: Some(ProcessInfo::default()),
            }),
        ),
        (
            "host-joined",
            EventKind::MembershipChanged(MembershipChanged {
                member: "db1".parse().unwrap(),
                change: MembershipChange::Joined,
                by: None,
                token: Some(JoinTokenId(0x3f2a)),
                address: Some("10.0.0.7:51234".to_owned()),
                reason: None,
            }),
        ),
        (
            "host-revoked",
            EventKind::MembershipChanged(MembershipChanged {
                member: "db1".parse().unwrap(),
                change: MembershipChange::Revoked,
                by: Some("bob".parse().unwrap()),
                token: None,
                address: None,
                reason: Some("stolen".to_owned()),
            }),
        ),
        (
            "authority-made",
            EventKind::AuthorityChanged(AuthorityChanged {
                authority: 2,
                change: AuthorityChange::Made,
                by: Some("bob".parse().unwrap()),
                reason: Some("every year".to_owned()),
            }),
        ),
        (
            "join-token-refused",
            EventKind::JoinTokenChanged(JoinTokenChanged {
                token: JoinTokenId(0x3f2a),
                change: JoinTokenChange::Refused,
                by: None,
                member: Some("db2".parse().unwrap()),
                expire_time: UnixMs(1_795_222_000_000),
                uses_left: 0,
                address: Some("10.0.0.8:51234".to_owned()),
                reason: Some("it was used by another host".to_owned()),
            }),
        ),
    ]
}

#[test]
fn golden_events() {
    for (name, kind) in kinds() {
        let line = encode(&event(kind), PRODUCER);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, serde_json::to_string_pretty(&value).unwrap());
        });
    }
}

#[test]
fn every_kind_of_event_is_valid_ocsf() {
    for (name, kind) in kinds() {
        let line = encode(&event(kind), PRODUCER);
        assert_eq!(
            violations(&serde_json::from_str(&line).unwrap()),
            Vec::<String>::new(),
            "{name}: {line}"
        );
    }
}

#[test]
fn the_validator_finds_what_is_missing_or_out_of_range() {
    let line = encode(&event(kinds().remove(0).1), PRODUCER);
    let whole: serde_json::Value = serde_json::from_str(&line).unwrap();
    for field in [
        "time",
        "metadata",
        "actor",
        "device",
        "process",
        "disposition_id",
    ] {
        let mut broken = whole.clone();
        broken.as_object_mut().unwrap().remove(field);
        assert!(
            !violations(&broken).is_empty(),
            "nothing found without {field}"
        );
    }
    let mut broken = whole.clone();
    broken["disposition_id"] = 77.into();
    broken["type_uid"] = 1.into();
    assert_eq!(violations(&broken).len(), 2);
}

#[test]
fn decisions_read_as_the_table_says() {
    let wanted = [
        (Verdict::Allowed, Reason::Default, [1, 1, 1, 1], false),
        (Verdict::Allowed, Reason::Grant, [1, 1, 1, 1], false),
        (Verdict::Denied, Reason::RuleDeny, [2, 2, 2, 3], true),
        (Verdict::Denied, Reason::NoGrant, [2, 26, 2, 3], true),
        (Verdict::Held, Reason::HoldPending, [4, 14, 0, 2], true),
        (Verdict::Allowed, Reason::HoldApproved, [1, 8, 1, 1], false),
        (Verdict::Denied, Reason::HoldRefused, [2, 25, 2, 3], true),
        (Verdict::Denied, Reason::HoldTimedOut, [2, 26, 2, 3], true),
        (Verdict::Denied, Reason::HoldLapsed, [2, 26, 2, 3], true),
        (Verdict::Allowed, Reason::WouldHave, [3, 15, 1, 2], false),
        (Verdict::Allowed, Reason::RuleAlert, [3, 19, 1, 2], true),
    ];
    for (verdict, reason, [action, disposition, status, severity], alert) in wanted {
        assert_eq!(
            control(verdict, reason),
            Control {
                action,
                disposition,
                status,
                severity,
                alert
            },
            "{reason}"
        );
    }
}

#[test]
fn a_reason_never_makes_a_denial_look_allowed() {
    for reason in Reason::ALL {
        let denied = control(Verdict::Denied, *reason);
        assert_eq!((denied.action, denied.status), (2, 2), "{reason}");
        assert_ne!(control(Verdict::Allowed, *reason).action, 2, "{reason}");
        assert_eq!(control(Verdict::Held, *reason).disposition, 14, "{reason}");
    }
}

#[test]
fn the_identifier_is_stable_and_names_host_epoch_and_sequence() {
    let event = event(kinds().remove(0).1);
    assert_eq!(
        event.uid(),
        "web-017-0000000000000000000000000000e90c-48213"
    );
}

proptest! {
    #[test]
    fn hostile_bytes_give_one_valid_line(
        path in proptest::collection::vec(any::<u8>(), 0..80),
        arg in proptest::collection::vec(any::<u8>(), 0..80),
        message in ".*",
        index in 0..Operation::ALL.len(),
    ) {
        let operation = Operation::ALL[index];
        let mut decision = DecisionEvent {
            hold: Some(hold(true)),
            message: Some(message.clone()),
            ..decision(Verdict::Denied, Reason::HoldRefused, operation)
        };
        match &mut decision.object {
            Object::Path { bytes } | Object::Name { bytes } => bytes.clone_from(&path),
            Object::Ends { from, to } => {
                from.clone_from(&path);
                to.clone_from(&arg);
            }
            Object::Address { .. } | Object::Vsock { .. } => {}
            Object::Process { comm, .. } => comm.clone_from(&arg),
            Object::Request { words } => *words = String::from_utf8_lossy(&arg).into_owned(),
        }
        decision.process.args = vec![arg.clone()];
        decision.process.comm = arg.clone();
        decision.process.tty = Some(path.clone());
        let line = encode(&event(EventKind::Decision(Box::new(decision))), PRODUCER);
        prop_assert!(!line.chars().any(char::is_control), "{line:?}");
        prop_assert_eq!(violations(&serde_json::from_str(&line).unwrap()), Vec::<String>::new());
    }
}

/// What an event holds of a decision is what its line holds.
fn reads_back(decision: DecisionEvent) -> Result<(), TestCaseError> {
    let whole = event(EventKind::Decision(Box::new(decision)));
    let line = encode(&whole, PRODUCER);
    let read = decode(&line).map_err(|error| TestCaseError::fail(format!("{error}: {line}")))?;
    let held = Recorded::of(&whole).unwrap();
    prop_assert_eq!(read, Line::Decision(Box::new(held)), "{}", line);
    Ok(())
}

#[test]
fn every_operation_reads_back_with_every_verdict_and_reason() {
    for operation in Operation::ALL {
        for verdict in [Verdict::Allowed, Verdict::Denied, Verdict::Held] {
            for reason in Reason::ALL {
                reads_back(decision(verdict, *reason, operation)).unwrap();
            }
        }
    }
    let plain = || decision(Verdict::Allowed, Reason::WouldHave, Operation::Connect);
    for object in [
        Object::Vsock { cid: 2, port: 22 },
        Object::Path {
            bytes: b"/run/x.sock".to_vec(),
        },
        Object::Address {
            ip: "::1".parse().unwrap(),
            port: 1,
            protocol: None,
        },
    ] {
        reads_back(DecisionEvent { object, ..plain() }).unwrap();
    }
    let nobody = DecisionEvent {
        subject: Subject {
            auid: 1001,
            user: None,
            session: None,
        },
        rule: None,
        permission: Some("demo/vault".parse().unwrap()),
        ..plain()
    };
    reads_back(nobody).unwrap();
}

#[test]
fn other_events_are_told_from_decisions_and_losses_are_counted() {
    for (name, kind) in kinds() {
        let is_decision = matches!(kind, EventKind::Decision(_));
        let read = decode(&encode(&event(kind), PRODUCER)).unwrap();
        match read {
            Line::Decision(_) => assert!(is_decision, "{name}"),
            Line::Lost { count, .. } => assert_eq!((name, count), ("lost", 17)),
            Line::Other => assert!(!is_decision, "{name}"),
        }
    }
}

#[test]
fn a_line_that_is_none_of_ours_or_contradicts_itself_is_refused() {
    let line = encode(&event(kinds().remove(0).1), PRODUCER);
    let whole: serde_json::Value = serde_json::from_str(&line).unwrap();
    let changed = |pointer: &str, value: serde_json::Value| {
        let mut other = whole.clone();
        *other.pointer_mut(pointer).unwrap() = value;
        decode(&other.to_string()).unwrap_err().to_string()
    };
    let vendor = changed("/metadata/product/vendor_name", "x\u{1b}[2J".into());
    assert_eq!(vendor, r"it is no event of Stayhand, but of `x\x1b[2J`");
    for (pointer, value, wanted) in [
        ("/metadata/event_code", "net.denied", "the operation"),
        ("/metadata/event_code", "exec.dnied", "the verdict"),
        ("/unmapped/stayhand/reason", "because", "the reason"),
        ("/process/file/path", "/a\\q", "the object"),
        ("/process/cmd_line", "'a b", "the command line"),
        ("/actor/user/name", "a b", "the subject"),
        ("/actor/user/uid", "-1", "the subject"),
        ("/device/hostname", "A B", "the host"),
        ("/firewall_rule/name", "A", "the rule"),
    ] {
        let problem = changed(pointer, value.into());
        assert!(problem.starts_with(wanted), "{pointer}: {problem}");
    }
    for bad in ["", "{}", "[]", "null", "\u{1b}", &line[..line.len() - 1]] {
        let problem = decode(bad).unwrap_err().to_string();
        assert!(problem.starts_with("it is no event as"), "{problem}");
        assert!(!problem.contains(char::is_control), "{problem:?}");
    }
}

proptest! {
    #[test]
    fn hostile_names_and_arguments_read_back(
        path in proptest::collection::vec(any::<u8>(), 0..60),
        args in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 1..4),
        index in 0..Operation::ALL.len(),
        cut in any::<bool>(),
        redacted in 0..2_u32,
    ) {
        let mut decision = decision(Verdict::Allowed, Reason::WouldHave, Operation::ALL[index]);
        match &mut decision.object {
            Object::Path { bytes } | Object::Name { bytes } => bytes.clone_from(&path),
            Object::Ends { from, to } => {
                from.clone_from(&path);
                to.clone_from(&path);
            }
            _ => {}
        }
        decision.process.args = args;
        decision.process.args_cut = cut;
        decision.args_redacted = redacted;
        reads_back(decision)?;
    }
}
