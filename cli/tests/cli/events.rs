//! `stayhand events tail`: one OCSF document per line, or lines for people.

use stayhand_proto::v1::{self, event::Kind};

use crate::{
    fake::{Fake, Told},
    sample::{GRANT, HOLD, HOSTILE, HOSTILE_TEXT, from_now, path, process, rule, subject},
};

const EPOCH: &str = "5b0e6f1c-6a0a-4f0e-9c53-0d1f5d3f7a10";

fn event(position: u64, kind: Kind) -> v1::TailEventsResponse {
    v1::TailEventsResponse {
        position,
        event: Some(v1::Event {
            host: "db1".into(),
            boot_id: EPOCH.into(),
            epoch: EPOCH.into(),
            sequence: position,
            time: Some(from_now(-5)),
            kind: Some(kind),
        }),
    }
}

fn denied(object: &[u8]) -> Kind {
    Kind::Decision(v1::DecisionEvent {
        verdict: v1::Verdict::Denied.into(),
        reason: "rule-deny".into(),
        operation: v1::Operation::Write.into(),
        object: path(object),
        subject: Some(subject()),
        process: Some(process()),
        generation: 7,
        rule: Some(rule()),
        message: "no".into(),
        ..Default::default()
    })
}

fn granted(reason: &str) -> Kind {
    Kind::GrantChanged(v1::GrantChangedEvent {
        grant: format!("grants/{GRANT}"),
        change: v1::grant_changed_event::Change::Created.into(),
        user: "alice".into(),
        permissions: vec!["baseline/prod-db".into()],
        by: "bob".into(),
        reason: reason.into(),
        expire_time: Some(from_now(900)),
        profile: String::new(),
    })
}

fn approved() -> Kind {
    Kind::HoldChanged(v1::HoldChangedEvent {
        hold: format!("holds/{HOLD}"),
        from: v1::hold::State::Pending.into(),
        to: v1::hold::State::Approved.into(),
        by: "bob".into(),
        reason: "INC-17".into(),
        released: false,
    })
}

fn fake(events: Vec<v1::TailEventsResponse>) -> Fake {
    Fake::new(Told {
        events,
        ..Told::default()
    })
}

#[test]
fn each_event_is_one_ocsf_document_on_one_line() {
    let fake = fake(vec![
        event(1, denied(b"/etc/x")),
        event(2, approved()),
        event(3, granted("INC-17")),
    ]);
    let ran = fake.run(&["events", "tail"]).exits(0);
    assert_eq!(ran.out.lines().count(), 3, "{ran:?}");
    for line in ran.out.lines() {
        let ocsf: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(ocsf["metadata"]["version"], "1.8.0", "{ocsf}");
        assert!(ocsf["class_uid"].is_u64(), "{ocsf}");
    }
    let names = fake.run(&["events", "tail", "-o", "name"]).exits(0);
    assert!(
        names.out.starts_with("db1-") && names.out.ends_with("-3\n"),
        "{names:?}"
    );
}

#[test]
fn people_read_lines() {
    let fake = fake(vec![
        event(1, denied(b"/etc/x")),
        event(2, approved()),
        event(3, granted("INC-17")),
    ]);
    fake.run(&["events", "tail", "-o", "table"])
        .exits(0)
        .prints("DENIED     alice write /etc/x · baseline/nginx · rule-deny\n")
        .prints(&format!("HOLD       {HOLD} approved · by bob: INC-17\n"))
        .prints(&format!(
            "GRANT      {GRANT} created: alice baseline/prod-db · by bob: INC-17\n"
        ));
}

#[test]
fn a_sensitive_rule_shows_in_the_line_and_in_the_severity_of_the_document() {
    let Kind::Decision(decision) = denied(b"/etc/x") else {
        panic!("no decision")
    };
    let of = |sensitivity| {
        Kind::Decision(v1::DecisionEvent {
            sensitivity,
            ..decision.clone()
        })
    };
    for (wire, word, severity) in [(1, "low", 3), (3, "high", 4), (4, "critical", 5)] {
        let fake = fake(vec![event(1, of(wire))]);
        fake.run(&["events", "tail", "-o", "table"])
            .exits(0)
            .prints(&format!(
                "baseline/nginx · rule-deny · sensitivity {word}\n"
            ));
        let ocsf = fake.run(&["events", "tail"]).exits(0).json();
        assert_eq!(ocsf["severity_id"], severity, "{word}");
        assert_eq!(ocsf["firewall_rule"]["sensitivity"], word);
    }
}

#[test]
fn where_a_tail_starts_reaches_the_control_plane() {
    let fake = fake(vec![]);
    fake.run(&["events", "tail"]).exits(0);
    fake.run(&["events", "tail", "--last", "3", "--host", "db1"])
        .exits(0);
    fake.run(&["events", "tail", "--all"]).exits(0);
    fake.run(&["events", "tail", "--after", "17"]).exits(0);
    let asked = fake.asked();
    assert!(asked[0].contains("after: 0, last: 10"), "{asked:?}");
    assert!(asked[1].contains("last: 3, host: \"db1\""), "{asked:?}");
    assert!(asked[2].contains("after: 0, last: 0"), "{asked:?}");
    assert!(asked[3].contains("after: 17, last: 0"), "{asked:?}");
}

#[test]
fn a_following_tail_goes_on_where_it_was_cut_off() {
    use std::io::{BufRead as _, BufReader};
    let fake = fake(vec![event(1, denied(b"/etc/x")), event(2, approved())]);
    let mut command = fake.command(&["events", "tail", "--all", "-f", "-o", "name"]);
    let mut child = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let printed: Vec<String> = lines.take(2).map(Result::unwrap).collect();
    // The second stream asks for what comes after the last printed one.
    let mut again = Vec::new();
    for _ in 0..100 {
        again = fake.asked();
        if again.len() > 1 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(printed.len(), 2);
    assert!(again[1].contains("after: 2, last: 0"), "{again:?}");
}

#[test]
fn a_following_tail_that_never_reached_anybody_fails_at_once() {
    crate::run::alone(&["events", "tail", "-f", "--server", "unix:///no/such.sock"]).exits(6);
}

#[test]
fn an_event_that_cannot_be_read_is_said_and_not_passed_over() {
    let mut unreadable = event(2, approved());
    unreadable.event.as_mut().unwrap().epoch = "nonsense".into();
    let ran = fake(vec![
        event(1, denied(b"/etc/x")),
        unreadable,
        event(3, approved()),
    ])
    .run(&["events", "tail"])
    .exits(0)
    .says("warning: the event at position 2 cannot be read");
    assert_eq!(ran.out.lines().count(), 2);
}

#[test]
fn a_hostile_event_is_harmless_and_stays_one_line() {
    let fake = fake(vec![
        event(1, denied(HOSTILE)),
        event(2, granted(HOSTILE_TEXT)),
    ]);
    for format in ["table", "jsonl", "json", "name", "yaml"] {
        let ran = fake
            .run(&["events", "tail", "-o", format])
            .exits(0)
            .stays_harmless();
        if format != "yaml" {
            assert_eq!(ran.out.lines().count(), 2, "{ran:?}");
        }
    }
}
