//! What people see, as it looks. The moment and the zone are fixed, so a change here is a change of the layout.

#![expect(
    clippy::unnecessary_wraps,
    reason = "parts are made as the wire has them"
)]

use insta::assert_snapshot;
use jiff::tz::TimeZone;
use stayhand_proto::v1;

use super::{Explanation, Grant, Hold, Host};
use crate::{
    render::{View as _, pairs, table},
    time::Moment,
};

/// 2026-11-21 11:00:00 UTC, noon in Berlin.
const NOW: i64 = 1_795_258_800;

fn moment() -> Moment {
    Moment {
        now: jiff::Timestamp::from_second(NOW).unwrap(),
        zone: TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap(),
    }
}

fn at(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp {
        seconds: NOW + seconds,
        nanos: 0,
    })
}

fn rule() -> Option<v1::RuleRef> {
    Some(v1::RuleRef {
        policy: "baseline".into(),
        revision: 3,
        rule: "db".into(),
    })
}

fn destination() -> Option<v1::Object> {
    let address = v1::Address {
        ip: vec![10, 20, 0, 5],
        port: 5432,
        protocol: Some(6),
    };
    Some(v1::Object {
        object: Some(v1::object::Object::Address(address)),
    })
}

fn process() -> Option<v1::Process> {
    Some(v1::Process {
        pid: 4321,
        ppid: 4000,
        uid: 1000,
        comm: b"psql".to_vec(),
        executable: b"/usr/bin/psql".to_vec(),
        terminal: b"pts/3".to_vec(),
        arguments: vec![b"psql".to_vec(), b"-c".to_vec(), b"select 'x'\n".to_vec()],
        arguments_cut: true,
        arguments_withheld: false,
        ..Default::default()
    })
}

fn hold() -> Hold {
    Hold::of(wire_hold(), &moment())
}

fn wire_hold() -> v1::Hold {
    v1::Hold {
        name: "holds/3f2a9c1d00000001".into(),
        host: "db1".into(),
        subject: Some(v1::Subject {
            auid: 1000,
            user: "alice".into(),
            session: Some(12),
        }),
        process: process(),
        operation: v1::Operation::Connect.into(),
        object: destination(),
        rule: rule(),
        message: "a second person looks at production".into(),
        permission: "baseline/prod-db".into(),
        state: v1::hold::State::Pending.into(),
        create_time: at(-8),
        expire_time: at(252),
        ..Default::default()
    }
}

/// Its first stage began eight seconds ago and has a minute.
fn staged() -> v1::Hold {
    let stage = |of: &str, timeout| v1::approval::Stage {
        quorum: v1::approval::Quorum::Any.into(),
        of: vec![of.into()],
        timeout,
        ..Default::default()
    };
    let minute = prost_types::Duration {
        seconds: 60,
        nanos: 0,
    };
    v1::Hold {
        approval: Some(v1::Approval {
            name: "prod-change".into(),
            stages: vec![
                stage("group:senior-sre", Some(minute)),
                stage("group:dba", None),
            ],
            stage_start_time: at(-8),
            ..Default::default()
        }),
        ..wire_hold()
    }
}

#[test]
fn a_hold_whose_stage_has_a_time_of_its_own() {
    let waits = Hold::of(staged(), &moment());
    assert_snapshot!(pairs(&waits.details(&moment())), @r#"
    hold        3f2a9c1d00000001
    state       pending
    who         alice
    what        connect 10.20.0.5:5432
    where       db1
    rule        baseline/db (revision 3)
    message     a second person looks at production
    permission  baseline/prod-db
    approval    prod-change: group:senior-sre within 1m, then group:dba
                waits for stage 1 of 2, 52s left, 1 more: group:senior-sre within 1m
    since       2026-11-21 11:59:52 CET (8s ago)
    times out   2026-11-21 12:04:12 CET (in 4m12s)
    process     psql (pid 4321)
    program     /usr/bin/psql
    command     psql -c 'select \'x\'\n' …
    terminal    pts/3
    "#);
    assert_eq!(
        waits.row(&moment()).last().unwrap(),
        "52s",
        "what comes first"
    );
}

#[test]
fn a_hold_whose_stage_has_had_its_time() {
    let lapsed = v1::Hold {
        state: v1::hold::State::Lapsed.into(),
        end_time: at(-2),
        lapse_reason: "stage 1 of prod-change: nobody approved in 1m".into(),
        ..staged()
    };
    assert_snapshot!(pairs(&Hold::of(lapsed, &moment()).details(&moment())), @r#"
    hold        3f2a9c1d00000001
    state       lapsed
    who         alice
    what        connect 10.20.0.5:5432
    where       db1
    rule        baseline/db (revision 3)
    message     a second person looks at production
    permission  baseline/prod-db
    approval    prod-change: group:senior-sre within 1m, then group:dba
    since       2026-11-21 11:59:52 CET (8s ago)
    ended       2026-11-21 11:59:58 CET (2s ago)
    cause       stage 1 of prod-change: nobody approved in 1m
    process     psql (pid 4321)
    program     /usr/bin/psql
    command     psql -c 'select \'x\'\n' …
    terminal    pts/3
    "#);
}

#[test]
fn a_hold_as_a_row() {
    assert_snapshot!(table(&[hold()], true, &moment()), @r#"
    ID                 STATE     SENSITIVITY   WHO     WHAT                     WHERE   WHY                                                SINCE                   LEFT
    3f2a9c1d00000001   pending   -             alice   connect 10.20.0.5:5432   db1     baseline/db: a second person looks at production   11:59:52 CET (8s ago)   4m12s
    "#);
}

#[test]
fn a_hold_in_full() {
    assert_snapshot!(pairs(&hold().details(&moment())), @r#"
    hold        3f2a9c1d00000001
    state       pending
    who         alice
    what        connect 10.20.0.5:5432
    where       db1
    rule        baseline/db (revision 3)
    message     a second person looks at production
    permission  baseline/prod-db
    since       2026-11-21 11:59:52 CET (8s ago)
    times out   2026-11-21 12:04:12 CET (in 4m12s)
    process     psql (pid 4321)
    program     /usr/bin/psql
    command     psql -c 'select \'x\'\n' …
    terminal    pts/3
    "#);
}

#[test]
fn a_grant_in_full() {
    let enforced = v1::HostEnforcement {
        host: "db1".into(),
        phase: v1::EnforcementPhase::Enforced.into(),
        online: true,
        ..Default::default()
    };
    let rejected = v1::HostEnforcement {
        host: "db2".into(),
        phase: v1::EnforcementPhase::Rejected.into(),
        reasons: vec!["no room for 9 leases".into()],
        last_seen_time: at(-60),
        ..Default::default()
    };
    let wire = v1::Grant {
        name: "grants/0192f0c1-5e7a-7cc0-8000-000000000001".into(),
        user: "alice".into(),
        permissions: vec!["baseline/prod-db".into(), "baseline/nginx".into()],
        reason: "INC-17".into(),
        created_by: "bob".into(),
        create_time: at(0),
        expire_time: at(86_400),
        state: v1::grant::State::Active.into(),
        enforcement: vec![enforced, rejected],
        ..Default::default()
    };
    assert_snapshot!(pairs(&Grant::of(wire).details(&moment())), @r#"
    grant       0192f0c1-5e7a-7cc0-8000-000000000001
    user        alice
    permits     baseline/prod-db, baseline/nginx
    state       active
    until       2026-11-22 12:00:00 CET (in 1d)
    reason      INC-17
    created by  bob
    created     2026-11-21 12:00:00 CET (now)
    hosts       enforced on 1 of 2 hosts
                db2: not connected since 11:59:00 CET (1m ago); rejected: no room for 9 leases
    "#);
}

/// Of what is over nothing is promised; of the rest the earlier of its own end and of everything's end there.
#[test]
fn until_when_a_revoked_grant_may_count_on_hosts_that_are_away() {
    use v1::grant::State;
    let until = |state: State, void: Option<i64>, expire: i64| {
        let wire = v1::Grant {
            expire_time: at(expire),
            state: state.into(),
            enforcement: vec![v1::HostEnforcement {
                host: "db2".into(),
                phase: v1::EnforcementPhase::Desired.into(),
                removes: state != State::Active,
                last_seen_time: at(-60),
                void_time: void.and_then(at),
                ..Default::default()
            }],
            ..Default::default()
        };
        let pairs = Grant::of(wire).details(&moment());
        let hosts = pairs.into_iter().find(|(head, _)| *head == "hosts");
        let (_, said) = hosts.unwrap();
        said.split_once("counts there until ")
            .map(|(_, until)| until.to_owned())
    };
    let at_the_latest = |time: &str| Some(format!("{time} at the latest"));
    assert_eq!(
        until(State::Revoked, Some(840), 3_600),
        at_the_latest("12:14:00 CET (in 14m)")
    );
    assert_eq!(
        until(State::Revoked, Some(840), 60),
        at_the_latest("12:01:00 CET (in 1m)")
    );
    assert_eq!(
        until(State::Revoked, None, 60),
        at_the_latest("12:01:00 CET (in 1m)")
    );
    assert_eq!(until(State::Revoked, Some(-5), 3_600), None, "it is over");
    assert_eq!(until(State::Ended, Some(840), -5), None);
    assert_eq!(until(State::Active, Some(840), 3_600), None);
}

#[test]
fn an_explanation_as_data() {
    let wire = v1::Explanation {
        time: at(-8),
        verdict: v1::Verdict::Denied.into(),
        reason: "no-grant".into(),
        operation: v1::Operation::Connect.into(),
        object: destination(),
        process: process(),
        rule: rule(),
        permission: "baseline/prod-db".into(),
        command:
            "stayhand grant create --user alice --permission baseline/prod-db --for 1h --reason '…'"
                .into(),
        ..Default::default()
    };
    let told = Explanation::of(wire, &moment());
    assert_snapshot!(serde_json::to_string_pretty(&told).unwrap(), @r#"
    {
      "time": "2026-11-21T10:59:52.000Z",
      "verdict": "denied",
      "reason": "no-grant",
      "summary": "connect 10.20.0.5:5432 was denied: it needs a grant, and you have none that covers it (rule baseline/db)",
      "operation": "connect",
      "object": "10.20.0.5:5432",
      "process": {
        "pid": 4321,
        "parent_pid": 4000,
        "uid": 1000,
        "command": "psql",
        "executable": "/usr/bin/psql",
        "terminal": "pts/3",
        "arguments": [
          "psql",
          "-c",
          "select 'x'\\n"
        ],
        "arguments_cut": true
      },
      "rule": {
        "policy": "baseline",
        "revision": 3,
        "rule": "db"
      },
      "permission": "baseline/prod-db",
      "advice": "ask an operator for a grant and try again once they tell you that it is enforced",
      "command": "stayhand grant create --user alice --permission baseline/prod-db --for 1h --reason '…'"
    }
    "#);
}

#[test]
fn a_host_that_nobody_hears_is_not_said_to_enforce() {
    let host = |online, hooks: &[&str], gone: &[&str]| {
        let wire = v1::Host {
            name: "hosts/db1".into(),
            online,
            hooks: hooks.iter().map(|hook| (*hook).to_owned()).collect(),
            floor: vec![],
            hooks_gone: gone.iter().map(|hook| (*hook).to_owned()).collect(),
            enforcement: Some(v1::HostEnforcement {
                phase: v1::EnforcementPhase::Enforced.into(),
                generation: 7,
                ..Default::default()
            }),
            desired_generation: 7,
            last_seen_time: Some(prost_types::Timestamp::default()),
            ..Default::default()
        };
        Host::of(wire).row(&moment()).swap_remove(2)
    };
    assert_eq!(host(true, &["file_open"], &[]), "enforced");
    assert_eq!(host(true, &[], &[]), "NOT ENFORCED");
    assert_eq!(host(true, &["capable"], &["file_open"]), "NOT ENFORCED");
    assert_eq!(
        host(false, &["file_open"], &[]),
        "not known (last: enforced)"
    );
    assert_eq!(host(false, &[], &[]), "not known (last: NOT ENFORCED)");
}
