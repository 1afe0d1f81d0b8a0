//! `stayhand why` and `stayhand doctor`: the agent's own socket.

use stayhand_proto::v1;
use tonic::Status;

use crate::{
    fake::{Fake, Told},
    run::{Ran, command, finish},
    sample::{HOLD, HOSTILE, HOSTILE_TEXT, explanation, host, path, status},
};

fn why(explanations: Vec<v1::Explanation>) -> Fake {
    Fake::new(Told {
        explanations,
        ..Told::default()
    })
}

#[test]
fn the_held_person_reads_rule_message_time_left_and_the_command() {
    let ran = why(vec![explanation()]).run(&["why", "--last"]).exits(0);
    assert!(
        ran.out
            .starts_with("HELD: write /etc/nginx/nginx.conf is held until somebody approves it\n"),
        "{ran:?}"
    );
    let ran = ran
        .prints("rule        baseline/nginx (revision 3)")
        .prints("a second person looks at nginx")
        .prints("what now    leave the program as it is");
    assert!(ran.out.contains(&format!("{HOLD}, 4m1")), "{ran:?}");
    assert!(
        ran.out.ends_with(&format!(
            "\n\n      stayhand hold approve {HOLD} --reason '…'\n"
        )),
        "{ran:?}"
    );
}

#[test]
fn a_program_reads_the_same_as_data() {
    let json = why(vec![explanation()])
        .run(&["why", "--last", "-o", "json"])
        .exits(0)
        .json();
    assert_eq!(json["kind"], "ExplanationList");
    let one = &json["items"][0];
    assert_eq!(
        (&one["verdict"], &one["reason"]),
        (&"held".into(), &"hold-pending".into())
    );
    assert_eq!(one["rule"]["rule"], "nginx");
    assert_eq!(one["hold"], HOLD);
    assert_eq!(one["message"], "a second person looks at nginx");
    assert!(
        one["command"]
            .as_str()
            .unwrap()
            .starts_with("stayhand hold approve")
    );
    assert!(
        one["summary"]
            .as_str()
            .unwrap()
            .contains("is held until somebody approves it")
    );
    assert!((240..=259).contains(&one["seconds_left"].as_u64().unwrap()));
}

#[test]
fn every_outcome_has_its_own_word() {
    let cases = [
        ("rule-deny", v1::Verdict::Denied, "DENIED: "),
        ("no-grant", v1::Verdict::Denied, "DENIED: "),
        ("hold-refused", v1::Verdict::Denied, "REFUSED: "),
        ("hold-lapsed", v1::Verdict::Denied, "NOT APPROVED: "),
        ("hold-timed-out", v1::Verdict::Denied, "TIMED OUT: "),
        ("hold-cancelled", v1::Verdict::Denied, "CANCELLED: "),
        ("of-a-newer-agent", v1::Verdict::Unspecified, "DENIED: "),
    ];
    for (reason, verdict, word) in cases {
        let told = v1::Explanation {
            reason: reason.into(),
            verdict: verdict.into(),
            advice: String::new(),
            command: String::new(),
            ..explanation()
        };
        let ran = why(vec![told]).run(&["why"]).exits(0);
        assert!(ran.out.starts_with(word), "{reason}: {ran:?}");
        assert!(ran.out.contains("what now"), "{reason}: {ran:?}");
        assert!(!ran.out.contains(" left"), "{reason}: {ran:?}");
    }
}

#[test]
fn a_sensitive_rule_is_told_and_another_one_adds_no_line() {
    let told = v1::Explanation {
        sensitivity: v1::Sensitivity::High.into(),
        ..explanation()
    };
    let fake = why(vec![told]);
    fake.run(&["why"]).exits(0).prints("  sensitivity  high\n");
    let json = fake.run(&["why", "-o", "json"]).exits(0).json();
    assert_eq!(json["items"][0]["sensitivity"], "high");
    let without = why(vec![explanation()]).run(&["why"]).exits(0);
    assert!(!without.out.contains("sensitivity"), "{without:?}");
}

#[test]
fn whoever_was_held_until_a_stage_had_its_time_hears_that_nobody_refused() {
    let told = v1::Explanation {
        reason: "hold-lapsed".into(),
        verdict: v1::Verdict::Denied.into(),
        answer_reason: "stage 1 of prod-change: nobody approved in 15m".into(),
        ..explanation()
    };
    let fake = why(vec![told]);
    fake.run(&["why"])
        .exits(0)
        .prints("nobody refused it")
        .prints("nobody; stage 1 of prod-change: nobody approved in 15m");
    let json = fake.run(&["why", "-o", "json"]).exits(0).json();
    let one = &json["items"][0];
    assert_eq!(one["reason"], "hold-lapsed", "{json}");
    assert!(one.get("answered_by").is_none(), "{json}");
}

#[test]
fn last_and_pid_reach_the_agent() {
    let fake = why(vec![explanation(), explanation(), explanation()]);
    let json = fake
        .run(&["why", "--last", "2", "-o", "json"])
        .exits(0)
        .json();
    assert_eq!(json["items"].as_array().unwrap().len(), 2);
    fake.run(&["why", "--pid", "4321"]).exits(0);
    let asked = fake.asked();
    assert_eq!(asked[0], "why WhyRequest { last: 2, pid: 0 }");
    assert_eq!(asked[1], "why WhyRequest { last: 1, pid: 4321 }");
    fake.run(&["why", "--last", "0"]).exits(2);
    fake.run(&["why", "--pid", "0"]).exits(2);
}

#[test]
fn nothing_stopped_is_an_answer() {
    let fake = why(vec![]);
    let ran = fake
        .run(&["why"])
        .exits(0)
        .says("nothing that you did was stopped");
    assert_eq!(ran.out, "");
    assert_eq!(
        fake.run(&["why", "-o", "json"]).json()["items"],
        serde_json::json!([])
    );
}

#[test]
fn a_hostile_explanation_stays_harmless() {
    let mut process = crate::sample::process();
    process.comm = HOSTILE.to_vec();
    let hostile = v1::Explanation {
        object: path(HOSTILE),
        process: Some(process),
        message: HOSTILE_TEXT.into(),
        advice: HOSTILE_TEXT.into(),
        command: HOSTILE_TEXT.into(),
        reason: HOSTILE_TEXT.into(),
        ..explanation()
    };
    for format in ["table", "json", "jsonl", "yaml", "name"] {
        why(vec![hostile.clone()])
            .run(&["why", "-o", format])
            .exits(0)
            .stays_harmless();
    }
}

#[test]
fn an_agent_that_is_not_there_is_said_with_what_still_holds() {
    let mut command = command(&["why"]);
    command.env("STAYHAND_AGENT_SOCKET", "/no/such.sock");
    finish(command)
        .exits(6)
        .says("error: the agent of this host is not reachable: there is no socket `/no/such.sock`")
        .says("stays enforced without the agent");
}

fn doctor(status: v1::AgentStatus, identity: Option<v1::IdentifyProcessResponse>) -> Fake {
    Fake::new(Told {
        status,
        identity,
        hosts: vec![host("db1")],
        ..Told::default()
    })
}

#[test]
fn a_healthy_host_is_enforced_and_the_operator_is_named() {
    let me = v1::IdentifyProcessResponse {
        pinned: true,
        subject: Some(v1::Subject {
            auid: 1001,
            user: "bob".into(),
            session: None,
        }),
        guarded: false,
    };
    let fake = doctor(status(), Some(me));
    let ran = fake
        .run(&["doctor"])
        .exits(0)
        .prints("this host: ENFORCED")
        .prints("pinned to bob, not guarded");
    assert!(
        !ran.out.contains("FAIL") && !ran.out.contains("look"),
        "{ran:?}"
    );
    let json = fake.run(&["doctor", "-o", "json"]).exits(0).json();
    assert_eq!(json["enforced"], true);
    assert_eq!(fake.run(&["doctor", "-o", "name"]).exits(0).out, "");
}

#[test]
fn not_enforced_is_loud_and_not_zero() {
    let ill = v1::AgentStatus {
        enforced: false,
        problems: vec!["hook file_open does not attach".into()],
        ..status()
    };
    let fake = doctor(ill, None);
    fake.run(&["doctor"])
        .exits(1)
        .prints("this host: NOT ENFORCED")
        .prints("hook file_open does not attach")
        .prints("-> ")
        .says("error: this host is NOT ENFORCED");
    let without_hooks = v1::AgentStatus {
        hooks: vec![],
        ..status()
    };
    doctor(without_hooks, None)
        .run(&["doctor"])
        .exits(1)
        .prints("NOT ENFORCED");
}

/// Which of the two is this machine's to say (a unit test has the table); the exit code goes with the word.
#[track_caller]
fn not_enforced_or_not_known(ran: Ran) -> Ran {
    let word = if ran.code == 1 {
        "this host: NOT ENFORCED"
    } else {
        "this host: NOT KNOWN"
    };
    assert!([1, 6].contains(&ran.code), "{ran:#?}");
    ran.prints(word)
}

#[test]
fn an_agent_that_does_not_answer_is_not_taken_for_enforced() {
    let mut command = command(&["doctor"]);
    command
        .env("STAYHAND_AGENT_SOCKET", "/no/such.sock")
        .env("STAYHAND_SERVER", "unix:///no/control.sock");
    let ran = not_enforced_or_not_known(finish(command)).prints("systemctl status stayhand-agent");
    assert!(ran.out.contains("/no/control.sock"), "{ran:?}");
}

#[test]
fn a_guarded_person_learns_that_they_are_no_operator() {
    let fake = Fake::new(Told {
        fails: Some(Status::permission_denied("alice is guarded on this host")),
        ..Told::default()
    });
    not_enforced_or_not_known(fake.run(&["doctor"]))
        .prints("not an operator")
        .prints("alice is guarded on this host");
}
