//! Who counts, once, in which order; and that no order of answers changes how many are needed.

use proptest::prelude::*;

use super::*;
use crate::time::UnixMs;

const START: UnixMs = UnixMs(1_000_000);

fn stage(quorum: Quorum, of: &[&str]) -> Stage {
    Stage {
        quorum,
        of: of.iter().map(|one| one.parse().unwrap()).collect(),
        escalation: None,
        timeout: None,
    }
}

fn progress(stages: Vec<Stage>) -> Progress {
    let name = "prod-change".parse().unwrap();
    Progress::new(Plan { name, stages }, START)
}

fn person(name: &str, groups: &[&str]) -> Reviewer {
    Reviewer {
        groups: groups.iter().map(|one| one.parse().unwrap()).collect(),
        ..Reviewer::named(name.parse().unwrap())
    }
}

fn approve(progress: &mut Progress, who: &Reviewer, at: UnixMs) -> Result<bool, NotCounted> {
    let held = "alice".parse().unwrap();
    progress.approve(who, Some(&held), "looks right", at)
}

#[test]
fn whoever_is_not_named_does_not_count_and_hears_who_does() {
    let mut one = progress(vec![stage(Quorum::Any, &["group:sre", "user:carol"])]);
    let error = approve(&mut one, &person("bob", &["dba"]), START).unwrap_err();
    assert!(
        error.to_string().contains("any of group:sre, user:carol"),
        "{error}"
    );
    assert!(one.reviews.is_empty());
    assert!(approve(&mut one, &person("carol", &[]), START).unwrap());
}

#[test]
fn stages_come_one_after_the_other_and_a_person_counts_once() {
    let stages = vec![
        stage(Quorum::Any, &["group:sre"]),
        stage(Quorum::Count(2), &["group:dba", "group:sre"]),
    ];
    let mut one = progress(stages);
    let dba = person("dan", &["dba"]);
    assert!(matches!(
        approve(&mut one, &dba, START),
        Err(NotCounted::NotNamed { .. })
    ));
    let sre = person("bob", &["sre"]);
    assert!(!approve(&mut one, &sre, START).unwrap());
    let error = approve(&mut one, &sre, START).unwrap_err();
    assert!(error.to_string().contains("in stage 1"), "{error}");
    assert!(!approve(&mut one, &dba, START).unwrap());
    assert_eq!(one.missing(), 1);
    assert!(approve(&mut one, &person("eve", &["sre"]), START).unwrap());
    assert_eq!(
        approve(&mut one, &person("fay", &["sre"]), START),
        Err(NotCounted::Over)
    );
}

#[test]
fn all_means_a_person_of_its_own_for_each() {
    let of = ["group:sre", "group:dba"];
    let both = person("bob", &["sre", "dba"]);
    let mut one = progress(vec![stage(Quorum::All, &of)]);
    assert!(!approve(&mut one, &both, START).unwrap());
    // Whichever of the two the first one is needed for.
    assert!(approve(&mut one.clone(), &person("dan", &["dba"]), START).unwrap());
    assert!(approve(&mut one.clone(), &person("sue", &["sre"]), START).unwrap());
    let mut alike = progress(vec![stage(Quorum::All, &of)]);
    assert!(!approve(&mut alike, &person("dan", &["dba"]), START).unwrap());
    assert!(!approve(&mut alike, &person("dave", &["dba"]), START).unwrap());
    assert_eq!(alike.missing(), 1);
}

#[test]
fn an_escalation_counts_from_when_the_stage_began() {
    let mut waits = stage(Quorum::Any, &["group:sre"]);
    waits.escalation = Some(Escalation {
        after: DurationMs::from_secs(600),
        to: vec![Approver::Manager, "on-call:ops".parse().unwrap()],
    });
    let mut boss = person("mia", &[]);
    boss.manages = vec!["alice".parse().unwrap()];
    let mut ops = person("olaf", &[]);
    ops.on_call = vec!["ops".parse().unwrap()];
    let late = UnixMs(START.0 + 600_000);
    for who in [&boss, &ops] {
        let mut one = progress(vec![waits.clone()]);
        assert!(matches!(
            approve(&mut one, who, UnixMs(late.0 - 1)),
            Err(NotCounted::NotNamed { .. })
        ));
        assert!(approve(&mut one, who, late).unwrap());
    }
    let mut two = progress(vec![stage(Quorum::Any, &["user:bob"]), waits]);
    approve(&mut two, &person("bob", &[]), late).unwrap();
    assert!(
        approve(&mut two, &boss, late).is_err(),
        "the second stage has only begun"
    );
}

#[test]
fn a_manager_is_that_of_the_one_who_is_held() {
    let mut boss = person("mia", &[]);
    boss.manages = vec!["someone-else".parse().unwrap()];
    let mut one = progress(vec![stage(Quorum::Any, &["manager"])]);
    assert!(approve(&mut one, &boss, START).is_err());
    boss.manages.push("alice".parse().unwrap());
    let mut nameless = one.clone();
    assert!(nameless.approve(&boss, None, "ok", START).is_err());
    assert!(approve(&mut one, &boss, START).unwrap());
}

#[test]
fn approvers_read_back_and_other_texts_name_none() {
    for text in ["user:bob", "group:senior-sre", "on-call:ops", "manager"] {
        assert_eq!(text.parse::<Approver>().unwrap().to_string(), text);
    }
    for text in [
        "bob",
        "user:",
        "group:a b",
        "managers",
        "on-call:Ops",
        "oncall:x",
        "",
    ] {
        assert!(text.parse::<Approver>().is_err(), "{text}");
    }
}

#[test]
fn a_stage_has_its_time_from_when_it_begins() {
    let timed = |quorum, of: &[&str]| Stage {
        timeout: Some(DurationMs::from_secs(900)),
        ..stage(quorum, of)
    };
    let two = [
        timed(Quorum::Any, &["group:sre"]),
        timed(Quorum::Count(2), &["group:dba"]),
    ];
    let mut one = progress(two.into());
    let minute = |minutes: u64| UnixMs(START.0 + minutes * 60_000);
    assert_eq!(one.lapse(UnixMs(minute(15).0 - 1)), None);
    let said = |one: &Progress, at| one.lapse(at).unwrap().to_string();
    assert_eq!(
        said(&one, minute(15)),
        "stage 1 of prod-change: nobody approved in 15m"
    );
    approve(&mut one, &person("bob", &["sre"]), minute(14)).unwrap();
    assert_eq!(one.deadline(), Some(minute(29)));
    approve(&mut one, &person("dan", &["dba"]), minute(20)).unwrap();
    let late = approve(&mut one, &person("dave", &["dba"]), minute(29));
    assert!(matches!(late, Err(NotCounted::Lapsed(_))), "{late:?}");
    assert_eq!(
        said(&one, minute(29)),
        "stage 2 of prod-change: 1 of 2 approved in 15m"
    );
    assert!(approve(&mut one, &person("dave", &["dba"]), minute(28)).unwrap());
    assert_eq!(
        (one.deadline(), one.lapse(minute(99))),
        (None, None),
        "nothing waits"
    );
}

const GROUPS: [&str; 4] = ["a", "b", "c", "d"];

proptest! {
    /// Whoever approves when, and wherever the clock goes: what counted, counted within its stage's time, which began with
    /// the stage.
    #[test]
    fn nothing_counts_after_a_stages_time(
        stages in prop::collection::vec((1u32..3, prop::option::of(1u64..40)), 1..5),
        asked in prop::collection::vec((0usize..8, 0u64..100), 0..16),
    ) {
        let plan = stages.iter().map(|(count, timeout)| Stage {
            timeout: timeout.map(DurationMs::from_secs),
            ..stage(Quorum::Count(*count), &["group:a"])
        });
        let mut one = progress(plan.collect());
        let mut since = START;
        for (who, seconds) in asked {
            let at = START.plus(DurationMs::from_secs(seconds));
            let waiting = usize::try_from(one.stage).unwrap();
            let timeout = stages.get(waiting).and_then(|(_, timeout)| *timeout);
            let is_over = timeout.is_some_and(|seconds| at.since(since).0 >= seconds * 1_000);
            prop_assert_eq!(one.lapse(at).is_some(), is_over);
            let before = one.clone();
            match approve(&mut one, &person(&format!("p{who}"), &["a"]), at) {
                Ok(_) => prop_assert!(!is_over),
                Err(NotCounted::Lapsed(lapse)) => {
                    prop_assert!(is_over);
                    prop_assert_eq!(lapse.at, since.plus(lapse.timeout));
                    prop_assert_eq!(&one, &before);
                }
                Err(_) => prop_assert!(!is_over && one == before),
            }
            if usize::try_from(one.stage).unwrap() != waiting {
                since = at;
            }
        }
    }

    /// Against every way of dealing people out to approvers.
    #[test]
    fn all_is_met_exactly_where_everybody_can_be_dealt_out(
        named in prop::collection::vec(0usize..4, 1..4),
        people in prop::collection::vec(prop::collection::vec(any::<bool>(), 4), 1..6),
    ) {
        let of: Vec<String> = named.iter().map(|one| format!("group:{}", GROUPS[*one])).collect();
        let of: Vec<&str> = of.iter().map(String::as_str).collect();
        let mut one = progress(vec![stage(Quorum::All, &of)]);
        let mut counted: Vec<&Vec<bool>> = Vec::new();
        for (index, member) in people.iter().enumerate() {
            let groups: Vec<&str> = (0..4).filter(|at| member[*at]).map(|at| GROUPS[at]).collect();
            match approve(&mut one, &person(&format!("p{index}"), &groups), START) {
                Ok(complete) => {
                    counted.push(member);
                    prop_assert_eq!(complete, dealt(&named, &counted));
                }
                Err(NotCounted::Over) => prop_assert!(dealt(&named, &counted)),
                Err(_) => prop_assert!(named.iter().all(|at| !member[*at])),
            }
        }
    }
}

/// By trying: somebody for the first, and the others for the rest.
fn dealt(named: &[usize], people: &[&Vec<bool>]) -> bool {
    let Some((first, rest)) = named.split_first() else {
        return true;
    };
    (0..people.len()).any(|at| {
        let mut others = people.to_vec();
        others.remove(at)[*first] && dealt(rest, &others)
    })
}
