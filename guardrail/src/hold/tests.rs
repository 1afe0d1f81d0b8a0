//! Every transition of a hold, as a table and as properties.

use super::*;
use crate::{
    approval::{Plan, Quorum, Reviewer, Stage},
    host::Answer,
    reason::Verdict,
    time::DurationMs,
};

const OPENED: UnixMs = UnixMs(1_000_000);
const DEADLINE: UnixMs = UnixMs(1_060_000);

fn name(text: &str) -> UserName {
    text.parse().unwrap()
}

fn pending() -> Hold {
    Hold {
        id: HoldId(0x0123_4567_89ab_cdef),
        host: "web-1".parse().unwrap(),
        subject: Subject {
            auid: 1001,
            user: Some(name("alice")),
            session: Some(3),
        },
        process: ProcessInfo {
            pid: 42,
            ..ProcessInfo::default()
        },
        operation: Operation::Exec,
        object: Object::Path {
            bytes: b"/opt/demo/deploy".to_vec(),
        },
        rule: RuleRef {
            policy: "demo".parse().unwrap(),
            revision: crate::id::Revision(1),
            rule: "deploy".parse().unwrap(),
        },
        message: None,
        sensitivity: None,
        permission: None,
        approval: Approval::default(),
        create_time: OPENED,
        expire_time: DEADLINE,
        state: HoldState::Pending,
    }
}

fn facts() -> Vec<(&'static str, Fact)> {
    let (by, reason) = (name("bob"), "looks right".to_owned());
    vec![
        (
            "approve",
            Fact::Approve {
                by: Reviewer::named(by.clone()),
                reason: reason.clone(),
            },
        ),
        ("refuse", Fact::Refuse { by, reason }),
        ("stage over", Fact::StageOver),
        (
            "lapsed",
            Fact::Lapsed {
                why: "stage 1 of prod-change: nobody approved in 15m".to_owned(),
            },
        ),
        ("deadline", Fact::Deadline),
        ("process gone", Fact::ProcessGone),
        ("fatal signal", Fact::FatalSignal),
        ("consumed", Fact::Consumed),
        ("never restarted", Fact::NeverRestarted),
    ]
}

fn fact(name: &str) -> Fact {
    facts()
        .into_iter()
        .find(|(known, _)| *known == name)
        .unwrap()
        .1
}

fn after(names: &[&str], now: UnixMs) -> Hold {
    names.iter().fold(pending(), |hold, name| {
        hold.step(fact(name), now).unwrap().hold
    })
}

fn short(effect: &Effect) -> String {
    match effect {
        Effect::Record(record) if record.released => "record released".to_owned(),
        Effect::Record(record) => format!("record {}", record.to),
        Effect::Answer(answer) => format!("answer {:?}", answer.answer).to_lowercase(),
        Effect::DropAnswer(_) => "drop answer".to_owned(),
    }
}

fn outcome(step: Result<Step, Illegal>) -> String {
    match step {
        Ok(step) => {
            let released = if step.hold.state.is_released() {
                ", released"
            } else {
                ""
            };
            let effects: Vec<String> = step.effects.iter().map(short).collect();
            format!(
                "{}{released} [{}]",
                step.hold.state.phase(),
                effects.join(", ")
            )
        }
        Err(Illegal::AlreadyDecided { phase, by, .. }) => {
            format!("refused: already {phase} by {by}")
        }
        Err(Illegal::Lapsed { .. }) => "refused: a stage has had its time".to_owned(),
        Err(Illegal::NoStageOver { .. }) => "refused: no stage is over".to_owned(),
        Err(Illegal::Over { phase, .. }) => format!("refused: over, {phase}"),
        Err(Illegal::PastDeadline { .. }) => "refused: past its deadline".to_owned(),
        Err(Illegal::NotYet { .. }) => "refused: its deadline has not come".to_owned(),
        Err(Illegal::NotApproved { .. }) => "refused: nobody approved".to_owned(),
        Err(Illegal::NotCounted { .. }) => "refused: does not count".to_owned(),
        Err(Illegal::UnknownRule { .. }) => "refused: rule unknown".to_owned(),
        Err(Illegal::Reason) => "refused: no reason".to_owned(),
    }
}

#[test]
fn transition_table() {
    let states = [
        ("pending", pending(), OPENED),
        ("pending, past deadline", pending(), DEADLINE),
        ("approved", after(&["approve"], OPENED), OPENED),
        (
            "approved, past deadline",
            after(&["approve"], OPENED),
            DEADLINE,
        ),
        (
            "approved, released",
            after(&["approve", "consumed"], OPENED),
            DEADLINE,
        ),
        ("refused", after(&["refuse"], OPENED), DEADLINE),
        ("lapsed", after(&["lapsed"], OPENED), DEADLINE),
        ("timed-out", after(&["deadline"], DEADLINE), DEADLINE),
        ("cancelled", after(&["process gone"], OPENED), DEADLINE),
        ("void", after(&["never restarted"], OPENED), DEADLINE),
    ];
    let mut table = format!("{:<23} | {:<15} | outcome\n", "state", "fact");
    for (state, hold, now) in &states {
        for (name, fact) in facts() {
            let line = format!(
                "{state:<23} | {name:<15} | {}\n",
                outcome(hold.clone().step(fact, *now))
            );
            table.push_str(&line);
        }
    }
    insta::with_settings!({ snapshot_path => ".", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("transitions", table);
    });
}

#[test]
fn a_second_decision_names_who_already_decided() {
    let error = after(&["refuse"], OPENED)
        .step(fact("approve"), OPENED)
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("already refused by bob") && text.contains("looks right"),
        "{text}"
    );
}

#[test]
fn an_answer_needs_a_reason() {
    let silent = Fact::Approve {
        by: Reviewer::named(name("bob")),
        reason: " ".to_owned(),
    };
    assert_eq!(pending().step(silent, OPENED).unwrap_err(), Illegal::Reason);
}

#[test]
fn an_answer_is_recorded_before_it_is_sent() {
    let step = pending().step(fact("approve"), OPENED).unwrap();
    let [Effect::Record(record), Effect::Answer(answer)] = step.effects.as_slice() else {
        panic!("{:?}", step.effects)
    };
    assert_eq!(
        (record.from, record.to),
        (HoldPhase::Pending, HoldPhase::Approved)
    );
    assert_eq!(
        (answer.hold, answer.answer),
        (pending().id, Answer::Approved)
    );
    assert_eq!(record.by, Some(name("bob")));
}

#[test]
fn nothing_happens_to_a_hold_that_is_over() {
    for (last, now) in [
        ("refuse", OPENED),
        ("lapsed", OPENED),
        ("deadline", DEADLINE),
        ("process gone", OPENED),
        ("never restarted", OPENED),
    ] {
        let over = after(&[last], now);
        assert!(over.state.is_over());
        assert_eq!(over.left(OPENED).0, 0);
        for (_, fact) in facts() {
            assert!(over.clone().step(fact, DEADLINE).is_err());
        }
    }
}

#[test]
fn time_left_counts_down_to_nothing() {
    assert_eq!(pending().left(OPENED).to_string(), "1m");
    assert_eq!(pending().left(DEADLINE).0, 0);
    assert_eq!(Verdict::from_code(0), Verdict::Denied);
}

fn of(user: &str, groups: &[&str]) -> Fact {
    Fact::Approve {
        by: Reviewer {
            groups: groups.iter().map(|one| one.parse().unwrap()).collect(),
            ..Reviewer::named(name(user))
        },
        reason: "looks right".to_owned(),
    }
}

fn staged() -> Hold {
    let stage = |group: &str| Stage {
        quorum: Quorum::Any,
        of: vec![format!("group:{group}").parse().unwrap()],
        escalation: None,
        timeout: None,
    };
    let plan = Plan {
        name: "prod-change".parse().unwrap(),
        stages: vec![stage("sre"), stage("dba")],
    };
    Hold {
        approval: Approval::Plan(Progress::new(plan, OPENED)),
        ..pending()
    }
}

#[test]
fn nothing_goes_to_the_host_before_the_last_stage() {
    let first = staged().step(of("bob", &["sre"]), OPENED).unwrap();
    assert_eq!(first.hold.state, HoldState::Pending);
    let [Effect::Record(record)] = first.effects.as_slice() else {
        panic!("{:?}", first.effects)
    };
    assert_eq!(
        (record.from, record.to, record.by.clone()),
        (HoldPhase::Pending, HoldPhase::Pending, Some(name("bob")))
    );
    let twice = first.hold.clone().step(of("bob", &["sre", "dba"]), OPENED);
    assert!(matches!(twice, Err(Illegal::NotCounted { .. })));
    let last = first.hold.step(of("dan", &["dba"]), OPENED).unwrap();
    assert_eq!(last.hold.state.phase(), HoldPhase::Approved);
    assert!(
        last.effects
            .iter()
            .any(|effect| matches!(effect, Effect::Answer(_)))
    );
}

#[test]
fn whoever_is_not_named_approves_nothing_and_may_refuse() {
    let error = staged().step(of("eve", &["dev"]), OPENED).unwrap_err();
    assert!(error.to_string().contains("group:sre"), "{error}");
    let refused = staged().step(fact("refuse"), OPENED).unwrap();
    assert_eq!(refused.hold.state.phase(), HoldPhase::Refused);
}

#[test]
fn a_hold_whose_rule_is_not_known_is_approved_by_nobody() {
    let hold = Hold {
        approval: Approval::Unknown,
        ..pending()
    };
    let error = hold.step(of("bob", &["sre"]), OPENED).unwrap_err();
    assert!(matches!(error, Illegal::UnknownRule { .. }), "{error}");
}

#[test]
fn an_approval_that_came_in_part_does_not_outlive_the_deadline() {
    let first = staged().step(of("bob", &["sre"]), OPENED).unwrap().hold;
    let late = first.clone().step(of("dan", &["dba"]), DEADLINE);
    assert!(matches!(late, Err(Illegal::PastDeadline { .. })));
    let over = first.step(Fact::Deadline, DEADLINE).unwrap();
    assert_eq!(over.hold.state.phase(), HoldPhase::TimedOut);
}

/// Fifteen seconds for each stage.
fn timed() -> Hold {
    let Approval::Plan(mut progress) = staged().approval else {
        panic!("it has a plan")
    };
    for stage in &mut progress.plan.stages {
        stage.timeout = Some(DurationMs::from_secs(15));
    }
    Hold {
        approval: Approval::Plan(progress),
        ..pending()
    }
}

fn later(seconds: u64) -> UnixMs {
    OPENED.plus(DurationMs::from_secs(seconds))
}

#[test]
fn a_stage_that_has_had_its_time_takes_no_answer_whether_somebody_looked_or_not() {
    for answer in [of("bob", &["sre"]), fact("refuse")] {
        let late = timed().step(answer, later(15)).unwrap_err();
        let text = late.to_string();
        assert!(
            matches!(late, Illegal::Lapsed { at, .. } if at == later(15))
                && text.contains("stage 1 of prod-change: nobody approved in 15s"),
            "{text}"
        );
    }
    assert!(
        timed()
            .step(of("bob", &["sre"]), UnixMs(later(15).0 - 1))
            .is_ok()
    );
    // Before whoever is not named hears so, too.
    let other = timed().step(of("eve", &["dev"]), later(15));
    assert!(matches!(other, Err(Illegal::Lapsed { .. })));
}

#[test]
fn a_lapsed_hold_is_refused_on_its_host_by_nobody_and_says_which_stage() {
    let first = timed().step(of("bob", &["sre"]), later(10)).unwrap().hold;
    let early = first.clone().step(Fact::StageOver, later(24)).unwrap_err();
    assert!(matches!(early, Illegal::NoStageOver { .. }), "{early}");
    assert_eq!(
        first.lapse_time(),
        Some(later(25)),
        "the second stage began with the first one's end"
    );
    let step = first.step(Fact::StageOver, later(30)).unwrap();
    let [Effect::Record(record), Effect::Answer(answer)] = step.effects.as_slice() else {
        panic!("{:?}", step.effects)
    };
    assert_eq!(
        (record.from, record.to, &record.by),
        (HoldPhase::Pending, HoldPhase::Lapsed, &None)
    );
    assert_eq!((answer.answer, &answer.by), (Answer::Refused, &None));
    let why = "stage 2 of prod-change: nobody approved in 15s";
    assert_eq!(
        (answer.reason.as_str(), record.reason.as_deref()),
        (why, Some(why))
    );
    assert_eq!(
        (step.hold.state.decided(), step.hold.state.why()),
        (None, Some(why))
    );
    assert_eq!(step.hold.lapse_time(), None);
    // A clock that is set back opens nothing again.
    let again = step.hold.step(of("dan", &["dba"]), OPENED).unwrap_err();
    assert!(again.to_string().contains(why), "{again}");
}

#[test]
fn what_the_kernel_has_refused_by_itself_is_not_refused_by_a_stage() {
    let late = timed().step(Fact::StageOver, DEADLINE);
    assert!(matches!(late, Err(Illegal::PastDeadline { .. })));
    let over = timed().step(Fact::Deadline, DEADLINE).unwrap();
    assert_eq!(over.hold.state.phase(), HoldPhase::TimedOut);
}
