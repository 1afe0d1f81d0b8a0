//! `stayhand policy learn`: a proposal that is a policy, whatever was recorded.

use std::fs;

use stayhand_proto::v1::{self, event::Kind};

use crate::{
    fake::{Fake, Told},
    run::alone,
    sample::{HOSTILE, from_now, path, process, rule, subject},
};

const EPOCH: &str = "5b0e6f1c-6a0a-4f0e-9c53-0d1f5d3f7a10";

fn event(position: u64, decision: v1::DecisionEvent) -> v1::TailEventsResponse {
    v1::TailEventsResponse {
        position,
        event: Some(v1::Event {
            host: "db1".into(),
            boot_id: EPOCH.into(),
            epoch: EPOCH.into(),
            sequence: position,
            time: Some(from_now(-60)),
            kind: Some(Kind::Decision(decision)),
        }),
    }
}

/// What a default in monitor mode would have stopped.
fn watched(operation: v1::Operation, object: &[u8]) -> v1::DecisionEvent {
    v1::DecisionEvent {
        verdict: v1::Verdict::Allowed.into(),
        reason: "would-have".into(),
        operation: operation.into(),
        object: path(object),
        subject: Some(subject()),
        process: Some(process()),
        rule: Some(v1::RuleRef {
            rule: "default-exec".into(),
            ..rule()
        }),
        monitor: true,
        ..Default::default()
    }
}

fn fake(decisions: Vec<v1::DecisionEvent>) -> Fake {
    let events = (1..).zip(decisions);
    Fake::new(Told {
        events: events.map(|(position, one)| event(position, one)).collect(),
        ..Told::default()
    })
}

fn day() -> Vec<v1::DecisionEvent> {
    use v1::Operation::{Exec, MapExec, Ptrace, Write};
    let by_rule = v1::DecisionEvent {
        rule: Some(rule()),
        ..watched(Exec, b"/usr/bin/nc")
    };
    let mut all = vec![
        by_rule,
        watched(Exec, b"/usr/bin/psql"),
        watched(Exec, b"/usr/bin/psql"),
        watched(MapExec, b"/usr/lib/x/libpq.so"),
        watched(Ptrace, b"/x"),
        watched(Exec, HOSTILE),
        watched(Exec, b"/srv/##[error]x"),
    ];
    all.extend((0..10).map(|name| watched(Write, format!("/srv/data/{name}").as_bytes())));
    all.extend((0..10).map(|name| watched(Write, format!("/etc/x/{name}").as_bytes())));
    all
}

#[test]
fn a_proposal_checks_clean_and_allows_what_it_was_learned_from() {
    let fake = fake(day());
    let ran = fake
        .run(&["policy", "learn", "--name", "draft"])
        .exits(0)
        .stays_harmless()
        .prints("metadata: { name: draft }\n")
        .prints("    # 2 times, last ")
        .prints("exec: { path: /usr/bin/psql } }\n")
        .prints("file: { ops: [write, read], path: /srv/data/* } }\n")
        .prints("# not taken together, 10 names: /etc/x is sensitive")
        .says("left out, 1 time: a rule on it would allow it on whatever object")
        .says("left out, 1 time: a rule and no default would have stopped it")
        .says("left out, 1 time: no rule can name it")
        .says("not taken together, 10 names: /etc/x is sensitive");
    assert!(!ran.out.contains("##["), "{ran:?}");
    let file = fake.directory().join("draft.yaml");
    fs::write(&file, &ran.out).unwrap();
    let file = file.to_str().unwrap();
    let checked = alone(&["policy", "check", file]).exits(0);
    assert_eq!(checked.err, "");
    let replayed = fake
        .run(&["policy", "replay", file, "-o", "json"])
        .exits(1)
        .json();
    // What was left out is what the draft would stop.
    let mut stopped: Vec<&str> = replayed["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["action"].as_str().unwrap())
        .collect();
    stopped.sort_unstable();
    assert_eq!(stopped.len(), 2, "{replayed}");
    assert!(stopped[1].starts_with("exec /usr/bin/nc"), "{stopped:?}");
    assert!(stopped[0].starts_with("exec /etc/x\\x1b[2J"), "{stopped:?}");
    assert_eq!(replayed["outcomes"]["allow"], 25);
}

#[test]
fn lines_of_a_file_say_the_same_as_the_control_plane() {
    let fake = fake(day());
    let stored = fake.run(&["policy", "learn"]).exits(0).out;
    let lines = fake.run(&["events", "tail", "--all"]).exits(0).out;
    let file = fake.directory().join("e.jsonl");
    fs::write(&file, lines).unwrap();
    let offline = alone(&["policy", "learn", "--events", file.to_str().unwrap()]);
    assert_eq!(offline.exits(0).out, stored);
}

#[test]
fn who_where_and_how_much_can_be_chosen() {
    let fake = fake(day());
    let rules = |options: &[&str]| {
        let ran = fake.run(&[&["policy", "learn"], options].concat()).exits(0);
        ran.out.matches("effect: allow").count()
    };
    assert_eq!(rules(&[]), 14);
    assert_eq!(rules(&["--names-min", "11"]), 23);
    assert_eq!(rules(&["--from", "baseline"]), 14);
    for nobody in [
        ["--user", "bob"],
        ["--host", "web1"],
        ["--since", "10s"],
        ["--from", "other"],
    ] {
        fake.run(&[&["policy", "learn"][..], &nobody].concat())
            .exits(1)
            .says("nothing was recorded that can be learned from")
            .says("mode: monitor");
    }
    fake.run(&["policy", "learn", "--names-min", "1"]).exits(2);
    fake.run(&["policy", "learn", "--subcommands"])
        .exits(0)
        .prints("subcommand: [/etc/nginx/nginx.conf]");
}
