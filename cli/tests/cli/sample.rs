//! Things to show, a hostile one of each.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use stayhand_proto::v1;

pub(crate) const GRANT: &str = "0192f0c1-5e7a-7cc0-8000-000000000001";
pub(crate) const GRANT_2: &str = "0192f0c1-5e7a-7cc0-8000-000000000002";
pub(crate) const HOLD: &str = "3f2a9c1d00000001";
/// Clears the screen, rings, turns the direction of text, breaks the line, and is not UTF-8.
pub(crate) const HOSTILE: &[u8] = b"/etc/x\x1b[2J\x07\xe2\x80\xae\n\xff";
pub(crate) const HOSTILE_TEXT: &str = "x\u{1b}[2J\u{7}\u{202e}\u{9b}";

/// So many seconds from now.
pub(crate) fn from_now(seconds: i64) -> prost_types::Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_millis(500);
    prost_types::Timestamp {
        seconds: i64::try_from(now.as_secs()).unwrap() + seconds,
        nanos: 500_000_000,
    }
}

pub(crate) fn enforcement(host: &str, phase: v1::EnforcementPhase) -> v1::HostEnforcement {
    v1::HostEnforcement {
        host: host.into(),
        generation: 7,
        phase: phase.into(),
        online: true,
        ..Default::default()
    }
}

pub(crate) fn grant(id: &str) -> v1::Grant {
    v1::Grant {
        name: format!("grants/{id}"),
        user: "alice".into(),
        permissions: vec!["baseline/prod-db".into()],
        reason: "INC-17".into(),
        created_by: "bob".into(),
        create_time: Some(from_now(0)),
        expire_time: Some(from_now(900)),
        state: v1::grant::State::Active.into(),
        enforcement: vec![enforcement("db1", v1::EnforcementPhase::Desired)],
        ..Default::default()
    }
}

pub(crate) fn grant_on(hosts: Vec<v1::HostEnforcement>) -> v1::Grant {
    v1::Grant {
        enforcement: hosts,
        ..grant(GRANT)
    }
}

pub(crate) fn path(bytes: &[u8]) -> Option<v1::Object> {
    Some(v1::Object {
        object: Some(v1::object::Object::Path(bytes.to_vec())),
    })
}

pub(crate) fn process() -> v1::Process {
    v1::Process {
        pid: 4321,
        tid: 4321,
        ppid: 4000,
        uid: 0,
        cookie: 9,
        comm: b"vim".to_vec(),
        executable: b"/usr/bin/vim".to_vec(),
        working_directory: b"/root".to_vec(),
        terminal: b"pts/3".to_vec(),
        arguments: vec![b"vim".to_vec(), b"/etc/nginx/nginx.conf".to_vec()],
        arguments_cut: false,
        arguments_withheld: false,
    }
}

pub(crate) fn subject() -> v1::Subject {
    v1::Subject {
        auid: 1000,
        user: "alice".into(),
        session: Some(12),
    }
}

pub(crate) fn rule() -> v1::RuleRef {
    v1::RuleRef {
        policy: "baseline".into(),
        revision: 3,
        rule: "nginx".into(),
    }
}

pub(crate) fn hold() -> v1::Hold {
    v1::Hold {
        name: format!("holds/{HOLD}"),
        host: "db1".into(),
        subject: Some(subject()),
        process: Some(process()),
        operation: v1::Operation::Write.into(),
        object: path(b"/etc/nginx/nginx.conf"),
        rule: Some(rule()),
        message: "a second person looks at nginx".into(),
        permission: "baseline/nginx-config".into(),
        state: v1::hold::State::Pending.into(),
        create_time: Some(from_now(-8)),
        expire_time: Some(from_now(258)),
        ..Default::default()
    }
}

/// Everything that a guarded person chooses, chosen badly.
pub(crate) fn hostile_hold() -> v1::Hold {
    let process = v1::Process {
        comm: HOSTILE.to_vec(),
        executable: HOSTILE.to_vec(),
        working_directory: HOSTILE.to_vec(),
        terminal: HOSTILE.to_vec(),
        arguments: vec![HOSTILE.to_vec(); 3],
        ..process()
    };
    v1::Hold {
        host: HOSTILE_TEXT.into(),
        process: Some(process),
        object: path(HOSTILE),
        message: HOSTILE_TEXT.into(),
        permission: HOSTILE_TEXT.into(),
        answered_by: HOSTILE_TEXT.into(),
        answer_reason: HOSTILE_TEXT.into(),
        ..hold()
    }
}

pub(crate) fn host(id: &str) -> v1::Host {
    v1::Host {
        name: format!("hosts/{id}"),
        online: true,
        agent_version: "0.1.0".into(),
        kernel_release: "6.12.9".into(),
        boot_id: "8f1d".into(),
        hooks: vec!["file_open".into()],
        desired_generation: 7,
        enforcement: Some(enforcement(id, v1::EnforcementPhase::Enforced)),
        last_seen_time: Some(from_now(-3)),
        events_acknowledged: 42,
        events_lost: 1,
        events_missing: 0,
        hooks_gone: vec![],
        problems: vec![],
        labels: vec!["env=prod".into()],
        floor: vec!["floor.base sha256:0123456789abcdef".into()],
        membership: None,
        delivery: Some(v1::HostDelivery {
            enforced_generation: 7,
            protocol: 1,
            ..Default::default()
        }),
    }
}

pub(crate) fn explanation() -> v1::Explanation {
    v1::Explanation {
        time: Some(from_now(-8)),
        verdict: v1::Verdict::Held.into(),
        reason: "hold-pending".into(),
        operation: v1::Operation::Write.into(),
        object: path(b"/etc/nginx/nginx.conf"),
        process: Some(process()),
        rule: Some(rule()),
        message: "a second person looks at nginx".into(),
        permission: "baseline/nginx-config".into(),
        hold: format!("holds/{HOLD}"),
        hold_expire_time: Some(from_now(258)),
        advice: "leave the program as it is and ask an operator to run".into(),
        command: format!("stayhand hold approve {HOLD} --reason '…'"),
        ..Default::default()
    }
}

pub(crate) fn status() -> v1::AgentStatus {
    v1::AgentStatus {
        version: env!("CARGO_PKG_VERSION").into(),
        enforced: true,
        hooks: vec!["file_open".into(), "bprm_check_security".into()],
        kernel_release: "6.12.9".into(),
        generation: 7,
        control_connected: true,
        control_seen_time: Some(from_now(-2)),
        ..Default::default()
    }
}

/// A host that joined over the network.
pub(crate) fn member() -> v1::HostMembership {
    v1::HostMembership {
        join_time: Some(from_now(-86_400)),
        certificate_expire_time: Some(from_now(43_200)),
        recoveries: 1,
        ..Default::default()
    }
}

pub(crate) fn join_token(id: &str) -> v1::JoinToken {
    v1::JoinToken {
        name: format!("joinTokens/{id}"),
        created_by: "olaf".into(),
        create_time: Some(from_now(-1)),
        expire_time: Some(from_now(900)),
        uses_left: 1,
        ..Default::default()
    }
}
