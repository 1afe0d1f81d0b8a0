//! `stayhand policy apply --roll-out`, `roll-out`, `status`: what is asked, what is said, and by which exit code.

use std::fs;

use stayhand_proto::v1::{self, policy_rollout::State};

use crate::{
    fake::{Fake, Told},
    sample::{HOSTILE_TEXT, from_now},
};

const OLD: &str = "\
apiVersion: stayhand/v1
kind: Policy
metadata: { name: prod }
spec:
  subjects: { users: [alice] }
  rules:
    - { id: nc, effect: deny, exec: { path: /usr/bin/nc }, message: no }
";

fn new() -> String {
    OLD.replace("/usr/bin/nc", "/usr/bin/ncat")
}

fn rollout(state: State) -> v1::PolicyRollout {
    let is_stopped = state == State::Stopped;
    let said = |text: &str| {
        if is_stopped {
            text.to_owned()
        } else {
            String::new()
        }
    };
    v1::PolicyRollout {
        policy: "policies/prod".into(),
        revision: 5,
        before_revision: 3,
        plan: Some(v1::RolloutPlan {
            monitor_for: None,
            canary: vec!["env=canary".into()],
            canary_for: Some(prost_types::Duration {
                seconds: 7_200,
                nanos: 0,
            }),
            stop_at: 3,
        }),
        begun_by: "bob".into(),
        create_time: Some(from_now(-60)),
        phase_time: Some(from_now(-60)),
        state: state.into(),
        stopped_in: if is_stopped {
            State::Canary
        } else {
            State::Unspecified
        }
        .into(),
        stop_reason: said("restricted 40 times on db1, more than 9"),
        ..Default::default()
    }
}

fn behind(host: &str, reason: &str, expected: bool) -> v1::HostBehind {
    v1::HostBehind {
        host: host.into(),
        revision: 3,
        reason: reason.into(),
        expected,
    }
}

fn status(state: State, behind: Vec<v1::HostBehind>) -> v1::PolicyStatus {
    v1::PolicyStatus {
        policy: "policies/prod".into(),
        revision: 5,
        rollout: Some(rollout(state)),
        waits_for: String::new(),
        phase_end_time: Some(from_now(600)),
        counted: 4,
        limit: 9,
        hosts: 3,
        enforced: 1,
        behind,
        more: 0,
        removed: false,
    }
}

fn fake(status: v1::PolicyStatus) -> Fake {
    let policy = |revision, source: String, rollout| v1::Policy {
        name: "policies/prod".into(),
        revision,
        source,
        rollout,
        ..Default::default()
    };
    let rollout = status.rollout.clone();
    Fake::new(Told {
        policies: vec![policy(5, new(), rollout), policy(3, OLD.into(), None)],
        statuses: vec![status],
        ..Told::default()
    })
}

fn file(source: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p.yaml");
    fs::write(&path, source).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (directory, path)
}

#[test]
fn what_is_no_roll_out_is_refused_before_anything_is_asked() {
    let (_directory, path) = file(OLD);
    let fake = fake(status(State::Canary, vec![]));
    for arguments in [
        vec!["--roll-out"],
        vec!["--canary", "env=canary"],
        vec!["--canary-for", "1h"],
        vec!["--stop-at", "3x"],
        vec!["--monitor", "1h"],
        vec!["--roll-out", "--canary", "env"],
        vec!["--roll-out", "--canary", "env=canary", "--stop-at", "0x"],
        vec![
            "--roll-out",
            "--canary",
            "env=canary",
            "--canary-for",
            "soon",
        ],
        vec![
            "--roll-out",
            "--canary",
            "env=canary",
            "--monitor",
            "1h",
            "--wait",
        ],
    ] {
        let all = [vec!["policy", "apply", &path], arguments].concat();
        fake.run(&all).exits(2);
    }
    let short = [
        "--roll-out",
        "--canary",
        "env=canary",
        "--canary-for",
        "1ms",
    ];
    fake.run(&[["policy", "apply", &path].as_slice(), &short].concat())
        .exits(1)
        .says("takes from 1s");
    for arguments in [
        vec!["--reason", "x"],
        vec!["--stop"],
        vec!["--stop", "--resume", "--reason", "x"],
        vec!["--stop", "--reason", " "],
    ] {
        let all = [vec!["policy", "roll-out", "prod"], arguments].concat();
        fake.run(&all).exits(2);
    }
    assert!(fake.asked().is_empty());
}

#[test]
fn the_plan_goes_with_the_document_and_a_rollback_says_what_it_stops() {
    let (_directory, path) = file(OLD);
    let fake = fake(status(State::Canary, vec![]));
    fake.run(&[
        "policy",
        "apply",
        &path,
        "--roll-out",
        "--monitor",
        "1h",
        "--canary",
        "env=canary,region=eu",
        "--stop-at",
        "5x",
    ])
    .exits(0)
    .prints("is being rolled out");
    let asked = fake.asked().pop().unwrap();
    assert!(
        asked.contains("watched 3600 s, on env=canary region=eu 7200 s, 5x"),
        "{asked}"
    );
    // To what most hosts have, not to the number before.
    fake.run(&["policy", "rollback", "prod"]).exits(0);
    let asked = fake.asked().pop().unwrap();
    assert!(
        asked.contains("stopping: rolled back to revision 3 in place of 5"),
        "{asked}"
    );
}

#[test]
fn a_change_is_asked_for_with_its_reason_and_what_came_of_it_is_shown() {
    let fake = fake(status(State::Stopped, vec![]));
    fake.run(&[
        "policy",
        "roll-out",
        "prod",
        "--stop",
        "--reason",
        "breaks it",
    ])
    .exits(0)
    .prints("stopped by itself: restricted 40 times on db1, more than 9; hosts have revision 3");
    assert_eq!(fake.asked(), ["CHANGE_STOP policies/prod: breaks it"]);
}

#[test]
fn the_status_names_each_host_that_is_behind_and_why() {
    let not_yet = behind("web1", "has revision 3: not in the canary", true);
    let offline = behind("web2", "offline since yesterday", false);
    let healthy = fake(status(State::Canary, vec![not_yet.clone()]));
    healthy
        .run(&["policy", "status", "--exit-code"])
        .exits(0)
        .prints("policy prod revision 5: enforced on 1 of 3 hosts")
        .prints(
            "canary (first on env=canary for 2h, stopped at 3x); the other hosts have revision 3",
        )
        .prints("restricted 4 times, stops above 9")
        .prints("web1: has revision 3: not in the canary");
    let amiss = fake(status(State::Canary, vec![not_yet, offline]));
    amiss.run(&["policy", "status", "prod"]).exits(0);
    assert_eq!(amiss.asked(), ["status policies/prod"]);
    amiss
        .run(&["policy", "status", "--exit-code"])
        .exits(1)
        .says("1 policy is not as it should be");
    fake(status(State::Stopped, vec![]))
        .run(&["policy", "status", "--exit-code"])
        .exits(1);
    let ran = amiss.run(&["policy", "status", "-o", "json"]).exits(0);
    let document: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(document["kind"], "PolicyStatusList");
    assert_eq!(document["items"][0]["behind"][1]["host"], "web2");
    assert_eq!(document["items"][0]["rollout"]["state"], "canary");
}

#[test]
fn what_hosts_wrote_does_not_act_on_the_terminal() {
    let hostile = behind(HOSTILE_TEXT, HOSTILE_TEXT, false);
    let mut told = status(State::Canary, vec![hostile]);
    told.waits_for = HOSTILE_TEXT.into();
    let ran = fake(told).run(&["policy", "status"]).exits(0);
    assert!(!ran.out.contains('\u{1b}'), "{:?}", ran.out);
}

#[test]
fn a_plan_after_a_stop_compares_with_what_hosts_have() {
    let (_directory, path) = file(OLD);
    let ran = fake(status(State::Stopped, vec![]))
        .run(&["policy", "plan", &path])
        .exits(0);
    assert!(!ran.out.contains("ncat"), "{}", ran.out);
    fake(status(State::Canary, vec![]))
        .run(&["policy", "show"])
        .exits(0)
        .prints("0/0 canary");
}
