//! A stage's own time: what is not complete by then is refused by nobody, once, and stays so.

use std::time::{Duration, SystemTime};

use stayhand_guardrail::{host::Answer, id::HoldId};
use stayhand_proto::v1::{self, hold::State};
use tonic::Code;

use crate::{
    agent::{HostStream, hello},
    holds::{FIRST, MINUTE, approve, get, hold, refuse, report},
    world::{PROD, World, failed},
};

/// How long a stage has here; all holds have a minute.
const STAGE_MS: u64 = 1_000;
/// Holds of which each is approved a little later in its stage's time than the one before.
const RACES: u64 = 12;
/// How much later; the first ones are before its end and the last ones after it.
const RACE_STEP_MS: u64 = 50;

fn ms(at: Option<prost_types::Timestamp>) -> u64 {
    let at = at.unwrap();
    u64::try_from(at.seconds).unwrap() * 1_000 + u64::try_from(at.nanos).unwrap() / 1_000_000
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap().as_millis()).unwrap()
}

/// Bob and Carol are operators; Bob has a second, and then Carol has one.
async fn world() -> (World, HostStream) {
    let stages = "  approvals:
    - { name: change, stages: [{ any: \"user:bob\", timeout: 1s }, { any: \"user:carol\", timeout: 1s }] }
  rules:
";
    let policy = PROD
        .replace("  rules:\n", stages)
        .replace("timeout: 1m", "timeout: 1m, approval: change");
    let world = World::with(|config| config.operators.users.push("bob".parse().unwrap())).await;
    world.apply(&policy).await.unwrap();
    let mut stream = HostStream::open(world.host_channel().await, hello(0)).await;
    stream.state().await;
    (world, stream)
}

/// The hold once it waits no more, within so many seconds.
async fn over(world: &World, name: &str, seconds: u64) -> v1::Hold {
    for _ in 0..seconds * 40 {
        let seen = get(world, name).await.unwrap();
        if seen.state() != State::Pending {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{name} goes on waiting");
}

async fn changes(world: &World) -> Vec<v1::HoldChangedEvent> {
    world.unpinned();
    let all = world.all_events().await.into_iter();
    let changes = all.filter_map(|event| match event.kind {
        Some(v1::event::Kind::HoldChanged(changed)) => Some(changed),
        _ => None,
    });
    changes.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_approves_in_its_stages_time_is_refused_on_the_host_by_nobody() {
    let (world, mut stream) = world().await;
    report(&world, &stream, hold(FIRST, MINUTE)).await;
    let lapsed = over(&world, "aaaa", 5).await;
    let why = "stage 1 of change: nobody approved in 1s";
    assert_eq!(
        (
            lapsed.state(),
            lapsed.lapse_reason.as_str(),
            lapsed.answered_by.as_str()
        ),
        (State::Lapsed, why, "")
    );
    let state = stream.state_with(|state| !state.answers.is_empty()).await;
    let [answer] = state.answers.as_slice() else {
        panic!("{:?}", state.answers)
    };
    assert_eq!(
        (
            answer.hold,
            answer.answer,
            &answer.by,
            answer.reason.as_str()
        ),
        (HoldId(FIRST), Answer::Refused, &None, why)
    );
    world.login("bob", false);
    failed(
        approve(&world, "aaaa").await,
        Code::FailedPrecondition,
        "HOLD_OVER",
        why,
    );
    failed(
        refuse(&world, "aaaa").await,
        Code::FailedPrecondition,
        "HOLD_OVER",
        "has to be started again",
    );
    let changes = changes(&world).await;
    let [change] = changes.as_slice() else {
        panic!("{changes:?}")
    };
    assert_eq!(
        (change.to(), change.by.as_str(), change.reason.as_str()),
        (State::Lapsed, "", why)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_stage_has_its_time_from_when_the_one_before_is_complete() {
    let (world, stream) = world().await;
    report(&world, &stream, hold(FIRST, MINUTE)).await;
    tokio::time::sleep(Duration::from_millis(STAGE_MS / 2)).await;
    world.login("bob", false);
    let first = approve(&world, "aaaa").await.unwrap().approval.unwrap();
    let began = ms(first.stage_start_time);
    let lapsed = over(&world, "aaaa", 5).await;
    assert_eq!(
        lapsed.lapse_reason,
        "stage 2 of change: nobody approved in 1s"
    );
    let end = ms(lapsed.end_time);
    assert!(end >= began + STAGE_MS, "over after {} ms", end - began);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_forgets_no_stages_time_and_refuses_at_once_what_is_over() {
    let (mut world, stream) = world().await;
    report(&world, &stream, hold(FIRST, MINUTE)).await;
    drop(stream);
    world.stop().await;
    tokio::time::sleep(Duration::from_millis(2 * STAGE_MS)).await;
    world.start().await;
    world.login("bob", false);
    // Whether the clock of the control plane or this approval was the first to look.
    failed(
        approve(&world, "aaaa").await,
        Code::FailedPrecondition,
        "HOLD_OVER",
        "stage 1 of change: nobody approved in 1s",
    );
    assert_eq!(get(&world, "aaaa").await.unwrap().state(), State::Lapsed);
    let mut stream = HostStream::open(world.host_channel().await, hello(0)).await;
    let answers = stream
        .state_with(|state| !state.answers.is_empty())
        .await
        .answers;
    assert_eq!((answers.len(), &answers[0].by), (1, &None));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_approval_and_the_end_of_the_stages_time_exactly_one_wins() {
    let world = World::with(|config| config.operators.users.push("bob".parse().unwrap())).await;
    let stages = "  approvals:\n    - { name: change, stages: [{ any: \"user:bob\", timeout: 1s }] }\n  rules:\n";
    let policy = PROD
        .replace("  rules:\n", stages)
        .replace("timeout: 1m", "timeout: 1m, approval: change");
    world.apply(&policy).await.unwrap();
    let mut stream = HostStream::open(world.host_channel().await, hello(0)).await;
    stream.state().await;
    world.login("bob", false);
    let mut approved = vec![];
    for race in 0..RACES {
        let id = FIRST + race;
        let name = format!("{id:016x}");
        report(&world, &stream, hold(id, MINUTE)).await;
        let began = get(&world, &name).await.unwrap().approval.unwrap();
        let began = ms(began.stage_start_time);
        let at = began + STAGE_MS - RACES / 2 * RACE_STEP_MS + race * RACE_STEP_MS;
        tokio::time::sleep(Duration::from_millis(at.saturating_sub(unix_ms()))).await;
        let given = approve(&world, &name).await;
        let seen = get(&world, &name).await.unwrap();
        match given {
            Ok(_) => assert_eq!(
                (seen.state(), seen.lapse_reason.as_str()),
                (State::Approved, "")
            ),
            Err(_) => assert_eq!(
                (seen.state(), seen.answered_by.as_str()),
                (State::Lapsed, "")
            ),
        }
        approved.push(seen.state() == State::Approved);
    }
    assert!(
        approved.last() == Some(&false),
        "approved after its stage's time"
    );
    let all = approved.len();
    let state = stream.state_with(|state| state.answers.len() == all).await;
    for (answer, approved) in state.answers.iter().zip(&approved) {
        assert_eq!(
            (answer.answer == Answer::Approved, answer.by.is_some()),
            (*approved, *approved),
            "{answer:?}"
        );
    }
    assert_eq!(changes(&world).await.len(), all, "each ended once");
}
