//! Nothing is skipped, a stop is final until somebody resumes it, and nothing that hosts say ends a phase before its time.

use proptest::prelude::*;

use super::*;
use crate::{policy::HostSelector, seeded};

const START: UnixMs = UnixMs(1_000_000_000);
const MINUTE: DurationMs = DurationMs::from_secs(60);

fn selector() -> HostSelector {
    "env=canary".parse().unwrap()
}

fn labels(text: &str) -> HostLabels {
    [text.parse().unwrap()].into_iter().collect()
}

fn rollout(monitor_for: Option<DurationMs>) -> Rollout {
    let plan = Plan::new(monitor_for, selector(), HOUR, Factor::default()).unwrap();
    Rollout {
        policy: "prod".parse().unwrap(),
        revision: Revision(5),
        before: Revision(3),
        state: State::Running(plan.first()),
        plan,
        by: bob(),
        create_time: START,
        period: BASELINE,
        since: START,
        watched_since: None,
        generation: Generation(1),
    }
}

fn bob() -> UserName {
    "bob".parse().unwrap()
}

fn host(name: &str, progress: Progress, counted: u64, baseline: u64) -> Seen {
    Seen {
        host: name.parse().unwrap(),
        progress,
        counted,
        baseline,
    }
}

fn enforces(counted: u64, baseline: u64) -> Vec<Seen> {
    vec![host("c1", Progress::Enforced, counted, baseline)]
}

fn refuses() -> Vec<Seen> {
    let reason = "too many entries".to_owned();
    vec![
        host("c1", Progress::Enforced, 0, 0),
        host("c2", Progress::Refused { reason }, 0, 0),
    ]
}

/// Its time begins now.
fn watched(rollout: Rollout) -> Rollout {
    let step = rollout.look(&enforces(0, 0), None, START).unwrap();
    assert!(!step.moves && step.record.is_none());
    step.rollout
}

fn stop_reason(rollout: &Rollout) -> &str {
    match &rollout.state {
        State::Stopped { reason, .. } => reason,
        other => panic!("it is {other:?}"),
    }
}

#[test]
fn a_plan_without_labels_or_with_no_length_is_refused() {
    let plan = |selector, length| Plan::new(None, selector, length, Factor::default());
    assert_eq!(
        plan(HostSelector::default(), HOUR),
        Err(PlanError::NoLabels)
    );
    let many: Vec<_> = (0..=crate::limits::CANARY_LABELS_MAX)
        .map(|value| format!("env=v{value}"))
        .collect();
    let many = many.join(",").parse().unwrap();
    assert_eq!(plan(many, HOUR), Err(PlanError::TooManyLabels));
    for length in [DurationMs(0), DurationMs(999), DurationMs(PHASE_MAX.0 + 1)] {
        assert_eq!(plan(selector(), length), Err(PlanError::Length));
    }
    let no_watching = Plan::new(Some(DurationMs(0)), selector(), HOUR, Factor::default());
    assert_eq!(no_watching, Err(PlanError::Length));
    for text in ["0x", "101x", "x", "", "-1x", "3y", "3.5x"] {
        assert_eq!(text.parse::<Factor>(), Err(PlanError::Factor), "{text}");
    }
    assert_eq!("3x".parse(), Ok(Factor::default()));
}

#[test]
fn a_few_denials_where_there_were_none_are_no_jump_and_ten_are() {
    let none = Baseline {
        counted: 0,
        period: BASELINE,
    };
    for counted in [2, JUMP_MIN - 1] {
        assert!(counted <= limit(none, MINUTE, Factor::default()));
    }
    assert!(JUMP_MIN > limit(none, MINUTE, Factor::default()));
    // 240 in a day are 10 in an hour, also for a shorter time.
    let some = Baseline {
        counted: 240,
        period: BASELINE,
    };
    assert_eq!(limit(some, MINUTE, Factor::default()), 30);
    assert_eq!(limit(some, DurationMs(2 * HOUR.0), Factor::default()), 60);
    let most = Baseline {
        counted: u64::MAX,
        period: DurationMs(0),
    };
    assert_eq!(
        limit(most, DurationMs(u64::MAX), Factor::default()),
        u64::MAX
    );
}

#[test]
fn a_jump_on_one_host_or_on_all_together_stops_it() {
    let now = START.plus(MINUTE);
    let step = watched(rollout(None))
        .look(&enforces(10, 0), None, now)
        .unwrap();
    assert!(step.moves);
    assert!(stop_reason(&step.rollout).contains("10 times on c1, more than 9"));
    let record = step.record.unwrap();
    assert_eq!(
        (record.change, record.by),
        (PolicyChange::RollOutStopped, None)
    );
    // A quiet host does not vanish among busy ones.
    let hosts = [
        host("busy", Progress::Enforced, 100, 24_000),
        host("quiet", Progress::Enforced, 10, 0),
    ];
    let step = watched(rollout(None)).look(&hosts, None, now).unwrap();
    assert!(stop_reason(&step.rollout).contains("on quiet"));
    // None of them alone, all together.
    let hosts: Vec<Seen> = ["a", "b", "c"]
        .map(|name| host(name, Progress::Enforced, 5, 0))
        .into();
    let step = watched(rollout(None)).look(&hosts, None, now).unwrap();
    assert!(stop_reason(&step.rollout).contains("15 times on all hosts"));
}

#[test]
fn a_host_that_refuses_stops_it_and_nobody_advances_past_it() {
    let running = watched(rollout(None));
    let refused = running.clone().advance(&refuses(), &bob(), "hurry", START);
    assert!(
        matches!(refused, Err(Illegal::Refused { .. })),
        "{refused:?}"
    );
    let late = START.plus(DurationMs(9 * HOUR.0));
    let step = running.look(&refuses(), None, late).unwrap();
    assert_eq!(
        stop_reason(&step.rollout),
        "host c2 refuses it: too many entries"
    );
}

#[test]
fn without_a_host_that_enforces_it_the_phase_does_not_end_and_says_why() {
    let late = START.plus(DurationMs(9 * HOUR.0));
    let new = rollout(None);
    assert_eq!(new.waits(&[], None, late), Some(Wait::NoHost));
    assert_eq!(new.clone().look(&[], None, late), None);
    let on_its_way = [host("c1", Progress::OnItsWay, 0, 0)];
    assert_eq!(new.waits(&on_its_way, None, late), Some(Wait::NotEnforced));
    assert_eq!(new.clone().look(&on_its_way, None, late), None);
    // Its time begins when the first one enforces it.
    let begun = new.look(&enforces(0, 0), None, late).unwrap().rollout;
    let end = late.plus(HOUR);
    assert_eq!(
        begun.waits(&enforces(0, 0), None, late),
        Some(Wait::Until(end))
    );
    assert_eq!(begun.clone().look(&on_its_way, None, end), None);
    let kept = begun.clone().look(&enforces(0, 0), Some("a grant"), end);
    assert_eq!(kept, None);
    let done = begun.look(&enforces(0, 0), None, end).unwrap();
    assert_eq!(done.rollout.state, State::Done { at: end });
}

#[test]
fn hosts_have_what_the_phase_says_and_after_a_stop_the_revision_before() {
    let (canary, other) = (labels("env=canary"), labels("env=prod"));
    let on = |rollout: &Rollout| {
        [&canary, &other].map(|labels| rollout.revision_on(labels).map(|revision| revision.0))
    };
    let monitor = watched(rollout(Some(HOUR)));
    assert_eq!(on(&monitor), [Some(3), Some(3)]);
    let end = START.plus(HOUR);
    let step = monitor.look(&enforces(0, 0), None, end).unwrap();
    assert_eq!(step.record.unwrap().change, PolicyChange::RollOutAdvanced);
    let canary_phase = step.rollout;
    assert_eq!(on(&canary_phase), [Some(5), Some(3)]);
    assert_eq!(canary_phase.watched_since, None);
    let stopped = canary_phase
        .clone()
        .stop(&bob(), "no", end)
        .unwrap()
        .rollout;
    assert_eq!(on(&stopped), [Some(3), Some(3)]);
    let done = canary_phase.advance(&enforces(0, 0), &bob(), "sure", end);
    assert_eq!(on(&done.unwrap().rollout), [Some(5), Some(5)]);
    let new = Rollout {
        before: Revision(0),
        ..rollout(None)
    };
    assert_eq!(on(&new), [Some(5), None]);
}

#[test]
fn what_is_stopped_stays_so_until_it_is_resumed_and_for_ever_once_it_is_replaced() {
    let stopped = watched(rollout(None))
        .stop(&bob(), "no", START)
        .unwrap()
        .rollout;
    let late = START.plus(DurationMs(9 * HOUR.0));
    assert_eq!(stopped.clone().look(&enforces(0, 0), None, late), None);
    assert!(stopped.clone().stop(&bob(), "again", late).is_err());
    assert!(stopped.clone().advance(&[], &bob(), "go", late).is_err());
    assert_eq!(
        stopped.clone().resume(&bob(), " ", late),
        Err(Illegal::Reason)
    );
    let resumed = stopped.clone().resume(&bob(), "fixed", late).unwrap();
    assert_eq!(
        (resumed.rollout.since, resumed.rollout.watched_since),
        (late, None)
    );
    let replaced = stopped.replaced(Revision(6));
    assert!(replaced.is_over());
    let error = replaced.resume(&bob(), "fixed", late).unwrap_err();
    assert!(error.to_string().contains("another revision"), "{error}");
}

#[test]
fn while_it_is_watched_what_the_revision_before_restricts_counts_too() {
    let monitor = rollout(Some(HOUR));
    assert!(monitor.counts(Revision(5)) && monitor.counts(Revision(3)));
    let canary = rollout(None);
    assert!(canary.counts(Revision(5)) && !canary.counts(Revision(3)));
    assert!(!canary.counts(Revision(4)));
}

/// Something that happens to it.
#[derive(Clone, Debug)]
enum Happens {
    Look { ms: i64, seen: Vec<(u8, u64)> },
    Stop,
    Resume,
    Advance,
}

fn happens() -> impl Strategy<Value = Happens> {
    let ms = -7_200_000i64..7_200_000;
    let seen = prop::collection::vec((0u8..4, 0u64..14), 0..4);
    prop_oneof![
        8 => (ms, seen).prop_map(|(ms, seen)| Happens::Look { ms, seen }),
        1 => Just(Happens::Stop),
        1 => Just(Happens::Resume),
        1 => Just(Happens::Advance),
    ]
}

fn seen(all: &[(u8, u64)]) -> Vec<Seen> {
    let one = |(index, (progress, counted)): (usize, &(u8, u64))| {
        let progress = match progress {
            0 => Progress::OnItsWay,
            1 | 2 => Progress::Enforced,
            _ => Progress::Refused {
                reason: "no".into(),
            },
        };
        host(&format!("c{index}"), progress, *counted, 0)
    };
    all.iter().enumerate().map(one).collect()
}

/// The state's place: each step goes to the next one, to a stop, or back to where it was stopped.
fn follows(before: &State, after: &State, by_hand: bool) -> bool {
    use Phase::{Canary, Monitor};
    match (before, after) {
        (before, after) if before == after => true,
        (State::Running(Monitor), State::Running(Canary))
        | (State::Running(Canary), State::Done { .. }) => true,
        (State::Running(one), State::Stopped { phase, .. }) => one == phase,
        (State::Stopped { phase, .. }, State::Running(one)) => by_hand && one == phase,
        _ => false,
    }
}

#[test]
fn whatever_happens_no_phase_is_skipped_and_time_that_goes_back_ends_none() {
    let strategy = (
        prop::option::of(Just(HOUR)),
        prop::collection::vec(happens(), 1..40),
    );
    seeded::over(2_000, &strategy, |(monitor, all)| {
        let (mut rollout, mut now) = (rollout(monitor), START);
        for one in all {
            let before = rollout.clone();
            let stepped = match &one {
                Happens::Look { ms, seen: all } => {
                    now = UnixMs(now.0.saturating_add_signed(*ms));
                    rollout.look(&seen(all), None, now)
                }
                Happens::Stop => rollout.stop(&bob(), "stop", now).ok(),
                Happens::Resume => rollout.resume(&bob(), "go on", now).ok(),
                Happens::Advance => rollout.advance(&enforces(0, 0), &bob(), "now", now).ok(),
            };
            rollout = stepped.map_or_else(|| before.clone(), |step| step.rollout);
            let by_hand = !matches!(one, Happens::Look { .. });
            prop_assert!(follows(&before.state, &rollout.state, by_hand));
            let Happens::Look { seen: all, .. } = &one else {
                continue;
            };
            let went_on = before.is_running()
                && before.state != rollout.state
                && !matches!(rollout.state, State::Stopped { .. });
            if went_on {
                let since = before.watched_since.unwrap();
                prop_assert!(now >= since.plus(before.length()));
                prop_assert!(!all.is_empty() && all.iter().all(|(progress, _)| *progress != 3));
                prop_assert!(all.iter().any(|(progress, _)| [1, 2].contains(progress)));
                prop_assert!(all.iter().all(|(_, counted)| *counted < JUMP_MIN));
            }
        }
        Ok(())
    });
}
