//! `stayhand policy replay`: what drafts would have done to events of the control plane, and to lines of a file.

use std::fs;

use stayhand_proto::v1::{self, event::Kind};

use crate::{
    fake::{Fake, Told},
    run::{Ran, alone},
    sample::{HOSTILE, from_now, host, path, process, rule, subject},
};

const EPOCH: &str = "5b0e6f1c-6a0a-4f0e-9c53-0d1f5d3f7a10";
const DAY: i64 = 86_400;
const MINUTE: i64 = 60;

const DRAFT: &str = "\
apiVersion: stayhand/v1
kind: Policy
metadata: { name: draft }
spec:
  subjects: { groups: [dev] }
  hosts: { env: prod }
  rules:
    - { id: no-netcat, effect: deny, exec: { path: /usr/bin/nc } }
    - { id: scale, effect: hold, exec: { path: /usr/bin/kubectl, anyArg: [scale] } }
";

fn event(position: u64, seconds: i64, kind: Kind) -> v1::TailEventsResponse {
    v1::TailEventsResponse {
        position,
        event: Some(v1::Event {
            host: "db1".into(),
            boot_id: EPOCH.into(),
            epoch: EPOCH.into(),
            sequence: position,
            time: Some(from_now(seconds)),
            kind: Some(kind),
        }),
    }
}

/// Alice's, that an alert let through.
fn ran(words: &[&[u8]]) -> v1::DecisionEvent {
    v1::DecisionEvent {
        verdict: v1::Verdict::Allowed.into(),
        reason: "rule-alert".into(),
        operation: v1::Operation::Exec.into(),
        object: path(words[0]),
        subject: Some(subject()),
        process: Some(v1::Process {
            arguments: words.iter().map(|word| word.to_vec()).collect(),
            ..process()
        }),
        rule: Some(rule()),
        ..Default::default()
    }
}

fn events() -> Vec<v1::TailEventsResponse> {
    let redacted = v1::DecisionEvent {
        arguments_redacted: 1,
        ..ran(&[b"/usr/bin/kubectl", b"--token=*****"])
    };
    let lost = v1::LostEvent {
        event_class: "C".into(),
        count: 3,
        stage: "ring".into(),
        since_time: Some(from_now(-70)),
    };
    let nc = || Kind::Decision(ran(&[b"/usr/bin/nc", b"-h"]));
    vec![
        event(1, -10 * DAY, nc()),
        event(2, -60 * MINUTE, nc()),
        event(3, -50 * MINUTE, nc()),
        event(4, -40 * MINUTE, Kind::Decision(redacted)),
        event(
            5,
            -30 * MINUTE,
            Kind::Decision(ran(&[b"/usr/bin/kubectl", b"get"])),
        ),
        event(6, -20 * MINUTE, Kind::Lost(lost)),
    ]
}

/// Runs it with a draft beside the fake's socket.
fn replayed(fake: &Fake, draft: &str, options: &[&str]) -> Ran {
    let file = fake.directory().join("draft.yaml");
    fs::write(&file, draft).unwrap();
    let file = file.to_str().unwrap().to_owned();
    let words = [&["policy", "replay", &file], options].concat();
    fake.run(&words).stays_harmless()
}

fn fake(events: Vec<v1::TailEventsResponse>) -> Fake {
    Fake::new(Told {
        events,
        hosts: vec![host("db1")],
        ..Told::default()
    })
}

const ALICE: [&str; 2] = ["--groups", "alice=dev"];

#[test]
fn what_went_through_and_would_be_stopped_is_said_and_exits_1() {
    replayed(&fake(events()), DRAFT, &ALICE)
        .exits(1)
        .prints("deny      draft/no-netcat   2\n")
        .prints("allow     (no rule)         1\n")
        .prints(
            "went through, and would be stopped\n  exec /usr/bin/nc -h: allowed (baseline/nginx, rule-alert) -> deny (draft/no-netcat)\n    2 times, ",
        )
        .prints("; by alice; on db1\n")
        .says("draft.yaml:8:")
        .says("not judged, 1 time: its arguments were redacted")
        .says("hosts lost 3 decisions")
        .says("4 recorded decisions from ")
        .says("3 judged, 1 not, 2 would be stopped")
        .says("2 recorded decisions that went through would be stopped");
}

#[test]
fn what_nothing_stops_exits_0_unless_everything_has_to_be_judged() {
    let draft = DRAFT.replace("no-netcat, effect: deny", "no-netcat, effect: alert");
    let fake = fake(events());
    replayed(&fake, &draft, &ALICE)
        .exits(0)
        .says("0 would be stopped");
    replayed(&fake, &draft, &[&ALICE[..], &["--require-judged"]].concat())
        .exits(1)
        .says("1 recorded decision cannot be judged");
}

#[test]
fn since_user_host_and_labels_choose_what_is_judged() {
    let fake = fake(events());
    let count = |options: &[&str]| {
        let json = [&ALICE[..], &["-o", "json"], options].concat();
        replayed(&fake, DRAFT, &json).json()["decisions"].clone()
    };
    assert_eq!(count(&[]), 4);
    assert_eq!(count(&["--since", "30d"]), 5);
    assert_eq!(count(&["--since", "45m"]), 2);
    assert_eq!(count(&["--user", "bob"]), 0);
    assert_eq!(count(&["--host", "db1"]), 4);
    let asked = fake.asked();
    assert!(
        asked
            .last()
            .unwrap()
            .contains("after: 0, last: 0, host: \"db1\""),
        "{asked:?}"
    );
    replayed(&fake, DRAFT, &[&ALICE[..], &["--on", "env=test"]].concat()).exits(0);
    replayed(&fake, DRAFT, &["--groups", "alice="]).exits(0);
    replayed(&fake, DRAFT, &[])
        .exits(0)
        .says("the groups of alice are not known; say it with --groups alice=GROUP,GROUP");
}

#[test]
fn lines_that_events_tail_printed_say_the_same_without_a_control_plane() {
    let fake = fake(events());
    let lines = fake.run(&["events", "tail", "--all"]).exits(0).out;
    let file = fake.directory().join("events.jsonl");
    fs::write(&file, lines).unwrap();
    let draft = fake.directory().join("draft.yaml");
    fs::write(&draft, DRAFT).unwrap();
    let [file, draft] = [file, draft].map(|path| path.to_str().unwrap().to_owned());
    let offline = |options: &[&str]| {
        let words = ["policy", "replay", &draft, "--events", &file, "-o", "json"];
        alone(&[&words, &ALICE[..], options].concat()).json()
    };
    let stored = replayed(
        &fake,
        DRAFT,
        &[&ALICE[..], &["-o", "json", "--since", "30d"]].concat(),
    );
    assert_eq!(offline(&["--on", "env=prod"]), stored.exits(1).json());
    let unknown = offline(&[]);
    assert_eq!(unknown["stopped"], 0);
    assert_eq!(
        unknown["unjudged"][0]["why"],
        "the labels of db1 are not known"
    );
    assert_eq!(
        offline(&["--on", "env=prod", "--since", "7d"])["decisions"],
        4
    );
}

#[test]
fn a_line_that_is_no_event_is_an_error_with_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let draft = directory.path().join("draft.yaml");
    fs::write(&draft, DRAFT).unwrap();
    let events = directory.path().join("e.jsonl");
    let good = fake(events_of_other_kinds())
        .run(&["events", "tail"])
        .exits(0)
        .out;
    let [draft, file] = [&draft, &events].map(|path| path.to_str().unwrap().to_owned());
    for bad in [
        &b"{\"class_uid\": \"\x1b[2J\"}\n"[..],
        b"\n",
        b"\xff\n",
        b"null",
        &vec![b' '; (1 << 20) + 1],
    ] {
        fs::write(&events, [good.as_bytes(), bad].concat()).unwrap();
        alone(&["policy", "replay", &draft, "--events", &file])
            .exits(1)
            .stays_harmless()
            .says("e.jsonl:2: ");
    }
    alone(&["policy", "replay", &draft, "--events", "/no/such"]).exits(3);
    alone(&["policy", "replay", "-", "--events", "-"])
        .exits(1)
        .says("only one of");
    fs::write(&events, good).unwrap();
    alone(&["policy", "replay", &draft, "--events", &file])
        .exits(0)
        .says("no recorded decision");
}

fn events_of_other_kinds() -> Vec<v1::TailEventsResponse> {
    let changed = v1::PolicyChangedEvent {
        policy: "p".into(),
        revision: 1,
        by: "bob".into(),
        ..Default::default()
    };
    vec![event(1, -5, Kind::PolicyChanged(changed))]
}

#[test]
fn an_annotation_stands_at_the_rule_that_would_stop_it_and_hostile_names_are_harmless() {
    let hostile = Kind::Decision(ran(&[HOSTILE, b"##[error]x\x1b[2J", b"\n::error::y"]));
    let fake = fake(vec![event(1, -5, hostile)]);
    let draft = DRAFT.replace("/usr/bin/nc ", "/** ");
    let options = [&ALICE[..], &["--annotations", "github"]].concat();
    let ran = replayed(&fake, &draft, &options)
        .exits(1)
        .says("::error file=")
        .says(",line=8,col=7::rule `no-netcat` would have stopped 1 recorded decision");
    for line in ran.out.lines().chain(ran.err.lines()) {
        assert!(!line.contains("##["), "{line}");
        assert!(!line.trim_start().starts_with("::error::y"), "{line}");
    }
    for format in ["json", "yaml", "name"] {
        replayed(&fake, &draft, &[&ALICE[..], &["-o", format]].concat()).exits(1);
    }
}

#[test]
fn what_cannot_be_read_or_enforced_is_not_replayed() {
    let fake = fake(events());
    replayed(&fake, &DRAFT.replace("deny", "dney"), &[])
        .exits(1)
        .says("did you mean `deny`?")
        .says("not every policy can be read");
    replayed(&fake, DRAFT, &["--groups", "alice"]).exits(2);
    replayed(&fake, DRAFT, &["--groups", "alice=a b"]).exits(2);
    assert_eq!(fake.asked(), Vec::<String>::new());
}
