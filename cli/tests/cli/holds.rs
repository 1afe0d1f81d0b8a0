//! `stayhand hold`: what waits, answers, outcomes.

use stayhand_proto::v1;

use crate::{
    fake::{Fake, Told},
    run::Ran,
    sample::{HOLD, hold, hostile_hold, process},
};

fn one(hold: v1::Hold) -> Fake {
    Fake::new(Told {
        holds: vec![hold],
        ..Told::default()
    })
}

fn looks(states: &[(v1::hold::State, bool)]) -> Fake {
    let look = |(state, released): &(v1::hold::State, bool)| v1::Hold {
        state: (*state).into(),
        released: *released,
        ..hold()
    };
    Fake::new(Told {
        holds: vec![hold()],
        hold_looks: states.iter().map(look).collect(),
        ..Told::default()
    })
}

#[test]
fn a_row_says_who_what_where_why_since_when_and_how_long_is_left() {
    let ran = one(hold()).run(&["hold", "ls"]).exits(0);
    let row = ran.out.lines().nth(1).unwrap();
    for part in [
        HOLD,
        "pending",
        "alice as root",
        "write /etc/nginx/nginx.conf",
        "db1",
        "baseline/nginx: a second person looks at nginx",
        "s ago)",
        "4m1",
    ] {
        assert!(row.contains(part), "no `{part}` in {row}");
    }
    assert!(row.contains("CET (") || row.contains("CEST ("), "{row}");
}

#[test]
fn json_has_the_seconds_left_and_the_process() {
    let json = one(hold())
        .run(&["hold", "show", "3f2a", "-o", "json"])
        .exits(0)
        .json();
    assert_eq!(json["kind"], "Hold");
    assert_eq!(json["id"], HOLD);
    assert_eq!(
        json["rule"],
        serde_json::json!({"policy": "baseline", "revision": 3, "rule": "nginx"})
    );
    assert_eq!(json["process"]["arguments"][1], "/etc/nginx/nginx.conf");
    assert!(
        (240..=259).contains(&json["seconds_left"].as_u64().unwrap()),
        "{json}"
    );
}

#[test]
fn approving_resolves_the_beginning_waits_for_the_call_and_prints_the_outcome() {
    use v1::hold::State::Approved;
    let fake = looks(&[(Approved, false), (Approved, true)]);
    fake.run(&["hold", "approve", "3f2a", "--reason", "INC-17"])
        .exits(0)
        .prints("approved, went on");
    let asked = fake.asked();
    assert_eq!(asked[0], "get holds/3f2a");
    assert_eq!(asked[1], format!("approve holds/{HOLD}: INC-17"));
}

#[test]
fn an_approval_that_came_too_late_is_a_conflict() {
    use v1::hold::State::{Approved, TimedOut, Void};
    for state in [TimedOut, Void] {
        let fake = looks(&[(Approved, false), (state, false)]);
        fake.run(&["hold", "approve", HOLD, "--reason", "INC-17"])
            .exits(4)
            .says("the approval came too late");
    }
}

#[test]
fn an_approval_that_no_host_confirms_in_time_is_said_to_stand() {
    let fake = looks(&vec![(v1::hold::State::Approved, false); 50]);
    fake.run(&[
        "hold",
        "approve",
        HOLD,
        "--reason",
        "INC-17",
        "--timeout",
        "2s",
    ])
    .exits(6)
    .says("approved, but host `db1` has not said within 2s that the call went on")
    .says("hint: the approval stands");
}

#[test]
fn refusing_prints_who_and_why() {
    one(hold())
        .run(&["hold", "refuse", HOLD, "--reason", "not now"])
        .exits(0)
        .prints("refused")
        .prints("bob: not now");
}

#[test]
fn an_answer_needs_a_reason_and_an_id() {
    let fake = one(hold());
    fake.run(&["hold", "approve", HOLD])
        .exits(2)
        .says("--reason");
    fake.run(&["hold", "refuse", HOLD, "--reason", " "])
        .exits(2)
        .says("a reason cannot be empty");
    fake.run(&["hold", "approve", "no/such", "--reason", "x"])
        .exits(2)
        .says("stayhand hold ls");
    assert!(fake.asked().is_empty());
}

#[test]
fn unknown_and_ambiguous_ids_are_told_apart() {
    let fake = Fake::new(Told {
        holds: vec![
            hold(),
            v1::Hold {
                name: "holds/3f2affffffffffff".into(),
                ..hold()
            },
        ],
        ..Told::default()
    });
    fake.run(&["hold", "approve", "dead", "--reason", "x"])
        .exits(3)
        .says("hint: `stayhand hold ls`");
    fake.run(&["hold", "approve", "3f2a", "--reason", "x"])
        .exits(4)
        .says("give more of the id");
    assert!(!fake.asked().iter().any(|call| call.starts_with("approve")));
    fake.run(&["hold", "show", "3f2af"])
        .exits(0)
        .prints("3f2affffffffffff");
}

#[test]
fn watching_prints_each_change_and_says_when_it_was_cut_off() {
    let fake = one(hold());
    fake.run(&["hold", "watch"])
        .exits(6)
        .prints(HOLD)
        .says("start again");
    let lines = fake.run(&["hold", "watch", "-o", "jsonl"]).exits(6);
    assert_eq!(lines.json()["id"], HOLD);
}

/// One hold of each sensitivity, the newest change first: id, and how sensitive its rule is.
fn sensitive() -> Fake {
    let one = |(id, sensitivity): &(&str, i32)| v1::Hold {
        name: format!("holds/{id}"),
        sensitivity: *sensitivity,
        ..hold()
    };
    let all = [
        ("1000000000000000", 0),
        ("2000000000000000", 3),
        ("3000000000000000", 1),
        ("4000000000000000", 4),
        ("5000000000000000", 3),
    ];
    Fake::new(Told {
        holds: all.iter().map(one).collect(),
        ..Told::default()
    })
}

fn ids(ran: &Ran) -> String {
    let first = ran.out.lines().filter_map(|line| line.chars().next());
    first.collect()
}

#[test]
fn a_hold_that_says_nothing_of_its_sensitivity_is_in_no_list_of_sensitive_ones() {
    let fake = sensitive();
    for (least, wanted) in [
        ("low", "4253"),
        ("medium", "425"),
        ("high", "425"),
        ("critical", "4"),
    ] {
        let asked = ["hold", "ls", "--sensitivity", least, "-o", "name"];
        assert_eq!(ids(&fake.run(&asked).exits(0)), wanted, "{least}");
        let asked = ["hold", "watch", "--sensitivity", least, "-o", "name"];
        let mut watched: Vec<char> = ids(&fake.run(&asked).exits(6)).chars().collect();
        watched.sort_unstable();
        let mut wanted: Vec<char> = wanted.chars().collect();
        wanted.sort_unstable();
        assert_eq!(watched, wanted, "{least}");
    }
    one(hold())
        .run(&["hold", "ls", "--sensitivity", "high"])
        .exits(0)
        .says("nothing waits of sensitivity `high` or more");
    fake.run(&["hold", "ls", "--sensitivity", "urgent"])
        .exits(2)
        .says("[possible values: low, medium, high, critical]");
}

#[test]
fn what_most_depends_on_comes_first_unless_the_past_is_listed() {
    let fake = sensitive();
    let waits = fake.run(&["hold", "ls", "-o", "name"]).exits(0);
    assert_eq!(ids(&waits), "42531", "the newest change first among equals");
    let past = fake.run(&["hold", "ls", "--all", "-o", "name"]).exits(0);
    assert_eq!(ids(&past), "12345");
}

#[test]
fn the_sensitivity_of_a_hold_is_told_and_one_that_nobody_knows_reads_as_the_most() {
    for (wire, word) in [(1, "low"), (4, "critical"), (99, "critical")] {
        let fake = one(v1::Hold {
            sensitivity: wire,
            ..hold()
        });
        fake.run(&["hold", "ls"])
            .exits(0)
            .prints(&format!("pending   {word}"));
        let shown = fake.run(&["hold", "show", "3f2a"]).exits(0);
        shown.prints(&format!("sensitivity  {word}"));
        let json = fake
            .run(&["hold", "show", "3f2a", "-o", "json"])
            .exits(0)
            .json();
        assert_eq!(json["sensitivity"], word);
    }
    let json = one(hold())
        .run(&["hold", "show", "3f2a", "-o", "json"])
        .exits(0)
        .json();
    assert!(json.get("sensitivity").is_none(), "{json}");
}

#[test]
fn a_hostile_hold_is_harmless_in_every_format_and_loses_no_byte() {
    let fake = one(hostile_hold());
    for format in ["table", "json", "jsonl", "yaml", "name"] {
        fake.run(&["hold", "ls", "-o", format])
            .exits(0)
            .stays_harmless();
        fake.run(&["hold", "show", HOLD, "-o", format])
            .exits(0)
            .stays_harmless();
        fake.run(&["hold", "watch", "-o", format])
            .exits(6)
            .stays_harmless();
    }
    let table = fake.run(&["hold", "ls"]).exits(0);
    assert_eq!(
        table.out.lines().count(),
        2,
        "a line break makes no row: {table:?}"
    );
    let json = fake.run(&["hold", "show", HOLD, "-o", "json"]).json();
    assert_eq!(json["object"], "/etc/x\\x1b[2J\\x07\\u{202e}\\n\\xff");
}

fn approval(reviews: &[(&str, u32)]) -> v1::Approval {
    let stage = |of: &str| v1::approval::Stage {
        quorum: v1::approval::Quorum::Any.into(),
        of: vec![of.into()],
        ..Default::default()
    };
    let review = |(by, stage): &(&str, u32)| v1::approval::Review {
        by: (*by).into(),
        stage: *stage,
        counts_as: vec![0],
        reason: "looks \u{1b}[2J right".into(),
        time: hold().create_time,
    };
    v1::Approval {
        name: "prod-change".into(),
        stages: vec![stage("group:sre"), stage("group:dba")],
        stage: u32::try_from(reviews.len()).unwrap(),
        stage_start_time: hold().create_time,
        reviews: reviews.iter().map(review).collect(),
        is_unknown: false,
    }
}

#[test]
fn an_approval_that_is_not_the_last_says_what_is_still_needed() {
    let with = |reviews: &[(&str, u32)]| v1::Hold {
        approval: Some(approval(reviews)),
        ..hold()
    };
    let fake = Fake::new(Told {
        holds: vec![with(&[])],
        hold_looks: vec![with(&[("bob", 0)])],
        ..Told::default()
    });
    let ran = fake
        .run(&["hold", "approve", "3f2a", "--reason", "INC-17"])
        .exits(0)
        .prints("prod-change: group:sre, then group:dba")
        .prints("approved by bob in stage 1: looks \\x1b[2J right")
        .prints("waits for stage 2 of 2, 1 more: group:dba")
        .says("your approval counts, and more is needed: stage 2 of 2, 1 more: group:dba");
    assert!(!ran.out.contains("went on"), "{ran:?}");
}

#[test]
fn a_hold_whose_rule_nobody_knows_says_that_nobody_may_approve() {
    let unknown = v1::Hold {
        approval: Some(v1::Approval {
            is_unknown: true,
            ..Default::default()
        }),
        ..hold()
    };
    one(unknown)
        .run(&["hold", "show", "3f2a"])
        .exits(0)
        .prints("nobody may: its rule is in no policy revision");
    let json = one(v1::Hold {
        approval: Some(approval(&[])),
        ..hold()
    })
    .run(&["hold", "show", "3f2a", "-o", "json"])
    .exits(0)
    .json();
    assert_eq!(json["approval"]["stage"], 1);
    assert_eq!(json["approval"]["missing"], 1);
    assert_eq!(json["approval"]["stages"][1], "group:dba");
}

#[test]
fn arguments_that_are_withheld_are_said_to_be_and_a_process_cannot_say_so() {
    const NOTE: &[u8] = b"[withheld: needs arguments.read]";
    let process = |arguments_withheld| v1::Process {
        arguments: vec![NOTE.to_vec()],
        arguments_cut: true,
        arguments_withheld,
        ..crate::sample::process()
    };
    let show = |withheld, format: &str| {
        let held = v1::Hold {
            process: Some(process(withheld)),
            ..hold()
        };
        one(held)
            .run(&["hold", "show", "3f2a", "-o", format])
            .exits(0)
    };
    let said = "arguments   withheld: no rule permits you `arguments.read`";
    let shown = show(true, "table").out;
    assert!(
        shown.contains(said) && !shown.contains("command "),
        "{shown}"
    );
    assert_eq!(
        show(true, "json").json()["process"]["arguments_withheld"],
        true
    );
    let chosen = show(false, "table").out;
    assert!(
        !chosen.contains(said) && chosen.contains("command "),
        "{chosen}"
    );
    assert!(
        show(false, "json").json()["process"]
            .get("arguments_withheld")
            .is_none()
    );
}

#[test]
fn a_page_of_holds_with_all_the_arguments_that_processes_can_have_is_shown() {
    // As many as a control plane puts on one page, each with what a message may say of arguments: 8 MiB together.
    let wordy = |number: u32| v1::Hold {
        name: format!("holds/{number:016x}"),
        process: Some(v1::Process {
            arguments: vec![vec![b'x'; 128 << 10]],
            ..process()
        }),
        ..hold()
    };
    let fake = Fake::new(Told {
        holds: (0..64).map(wordy).collect(),
        ..Told::default()
    });
    let ran = fake.run(&["hold", "ls"]).exits(0);
    assert_eq!(ran.out.lines().count(), 65);
}
