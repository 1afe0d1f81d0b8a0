//! Who may approve a hold: those whom the policy named when it was opened, one after the other, each once.

use std::time::Duration;

use stayhand_guardrail::{hold::Hold, id::Revision, time::DurationMs};
use stayhand_proto::v1::{self, hold::State};
use tonic::Code;

use crate::{
    agent::{HostStream, hello},
    holds::{FIRST, MINUTE, SECOND, approve, get, hold, refuse, report},
    world::{PROD, World, failed},
};

const THIRD: u64 = 0xaaaa_0000_0000_0003;
const STAGES: &str = "  approvals:
    - name: change
      stages:
        - { any: [\"user:bob\", \"group:dba\"], escalate: { after: 30s, to: [\"user:root\"] } }
        - { any: [\"on-call:ops\"], escalate: { after: 1s, to: [manager] } }
  rules:
";

fn staged() -> String {
    PROD.replace("  rules:\n", STAGES)
        .replace("timeout: 1m", "timeout: 1m, approval: change")
}

/// Bob, Carol and root are operators; Carol is on call, root is Alice's manager.
async fn world() -> (World, HostStream, tempfile::TempDir) {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("people.toml");
    let people = "[on-call]\nops = [\"carol\"]\n[managers]\nalice = \"root\"\n";
    std::fs::write(&file, people).unwrap();
    let world = World::with(|config| {
        config.operators.users.push("bob".parse().unwrap());
        config.people.file = Some(file);
    })
    .await;
    world.apply(&staged()).await.unwrap();
    let mut stream = HostStream::open(world.host_channel().await, hello(0)).await;
    stream.state().await;
    report(&world, &stream, hold(FIRST, MINUTE)).await;
    (world, stream, place)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_the_stage_does_not_name_approves_nothing() {
    let (world, _stream, _people) = world().await;
    for user in ["carol", "root"] {
        world.login(user, false);
        failed(
            approve(&world, "aaaa").await,
            Code::PermissionDenied,
            "NOT_AN_APPROVER",
            "any of user:bob, group:dba",
        );
    }
    let seen = get(&world, "aaaa").await.unwrap();
    assert_eq!(seen.state(), State::Pending);
    assert!(seen.approval.unwrap().reviews.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_hears_nothing_before_the_last_stage_and_each_review_is_recorded() {
    let (world, mut stream, _people) = world().await;
    world.login("bob", false);
    let first = approve(&world, "aaaa").await.unwrap();
    assert_eq!(first.state(), State::Pending);
    let approval = first.approval.unwrap();
    assert_eq!((approval.stage, approval.reviews.len()), (1, 1));
    failed(
        approve(&world, "aaaa").await,
        Code::PermissionDenied,
        "NOT_AN_APPROVER",
        "has approved already, in stage 1",
    );
    assert!(stream.no_state_for(Duration::from_millis(300)).await);
    world.login("carol", false);
    let last = approve(&world, "aaaa").await.unwrap();
    assert_eq!(
        (last.state(), last.answered_by.as_str()),
        (State::Approved, "carol")
    );
    let answers = stream.state().await.answers;
    assert_eq!(answers.len(), 1);
    world.unpinned();
    let changes: Vec<v1::HoldChangedEvent> = world
        .all_events()
        .await
        .into_iter()
        .filter_map(|event| match event.kind {
            Some(v1::event::Kind::HoldChanged(changed)) => Some(changed),
            _ => None,
        })
        .collect();
    let said: Vec<(&str, State)> = changes
        .iter()
        .map(|changed| (changed.by.as_str(), changed.to()))
        .collect();
    assert_eq!(said, [("bob", State::Pending), ("carol", State::Approved)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_counts_once_the_stage_took_too_long() {
    let (world, _stream, _people) = world().await;
    world.login("bob", false);
    approve(&world, "aaaa").await.unwrap();
    world.login("root", false);
    failed(
        approve(&world, "aaaa").await,
        Code::PermissionDenied,
        "NOT_AN_APPROVER",
        "after 1s also manager",
    );
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let last = approve(&world, "aaaa").await.unwrap();
    assert_eq!(last.state(), State::Approved);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_directory_nobody_is_on_call_and_it_says_why() {
    let (world, _stream, people) = world().await;
    std::fs::write(people.path().join("people.toml"), "[on-call").unwrap();
    world.login("bob", false);
    // Whoever counts without it does.
    approve(&world, "aaaa").await.unwrap();
    world.login("carol", false);
    failed(
        approve(&world, "aaaa").await,
        Code::Unavailable,
        "PEOPLE_UNKNOWN",
        "people.toml",
    );
    let refused = refuse(&world, "aaaa").await.unwrap();
    assert_eq!(refused.state(), State::Refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_revision_changes_nothing_about_who_may_approve_what_is_held() {
    let (mut world, stream, _people) = world().await;
    world.apply(PROD).await.unwrap();
    world.login("root", false);
    failed(
        approve(&world, "aaaa").await,
        Code::PermissionDenied,
        "NOT_AN_APPROVER",
        "user:bob",
    );
    world.login("bob", false);
    approve(&world, "aaaa").await.unwrap();
    // And neither does a restart.
    drop(stream);
    world.stop().await;
    world.start().await;
    let seen = get(&world, "aaaa").await.unwrap();
    assert_eq!(seen.approval.unwrap().reviews[0].by, "bob");
    world.login("carol", false);
    let last = approve(&world, "aaaa").await.unwrap();
    assert_eq!(last.state(), State::Approved);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_says_of_who_may_approve_counts_nothing() {
    let (world, stream, _people) = world().await;
    let mut lies: Hold = hold(THIRD, DurationMs::from_secs(60));
    lies.create_time.0 -= 3_600_000;
    report(&world, &stream, lies).await;
    world.login("root", false);
    failed(
        approve(&world, "aaaa000000000003").await,
        Code::PermissionDenied,
        "NOT_AN_APPROVER",
        "after 30s also user:root",
    );
    let mut lies: Hold = hold(SECOND, DurationMs::from_secs(60));
    lies.rule.revision = Revision(99);
    report(&world, &stream, lies).await;
    world.login("bob", false);
    failed(
        approve(&world, "aaaa000000000002").await,
        Code::FailedPrecondition,
        "UNKNOWN_RULE",
        "refuse it",
    );
    refuse(&world, "aaaa000000000002").await.unwrap();
}
