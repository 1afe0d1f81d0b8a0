//! Removing a policy: it counts nowhere, its revisions stay, and what somebody was promised stays with him.

use stayhand_control::config::Changes;
use stayhand_guardrail::{host::Answer, time::DurationMs};
use stayhand_proto::v1::{
    self, change_rollout_request::Change as Step, policy_changed_event::Change,
    policy_proposal::State,
};
use tonic::{Code, Status};

use crate::{
    agent::{HostStream, hello},
    holds,
    outsider::{self, Outsider},
    rollouts::{change, plan, roll_out},
    world::{PROD, World, create, failed, other_policy},
};

async fn remove(world: &World, name: &str, etag: &str) -> Result<v1::RemovePolicyResponse, Status> {
    let request = v1::RemovePolicyRequest {
        name: format!("policies/{name}"),
        reason: "its service is gone".into(),
        validate_only: false,
        etag: etag.into(),
    };
    let mut policies = world.policies().await;
    let removed = policies.remove_policy(request).await;
    removed.map(tonic::Response::into_inner)
}

async fn shown(world: &World, revision: u64) -> v1::Policy {
    let request = v1::GetPolicyRequest {
        name: "policies/prod".into(),
        revision,
    };
    let mut policies = world.policies().await;
    policies.get_policy(request).await.unwrap().into_inner()
}

async fn listed(world: &World) -> Vec<String> {
    let mut policies = world.policies().await;
    let request = v1::ListPoliciesRequest::default();
    let listed = policies.list_policies(request).await.unwrap().into_inner();
    listed.policies.into_iter().map(|one| one.name).collect()
}

/// Names of the policies of the next state that the host is sent.
async fn next_state(stream: &mut HostStream) -> Vec<String> {
    let state = stream.state().await;
    let names = state.policies.iter().map(|one| one.name.to_string());
    names.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_policy_counts_on_no_host_and_its_revisions_stay() {
    let world = World::with_policy().await;
    world.apply(&other_policy()).await.unwrap();
    let mut stream = HostStream::open(world.host_channel().await, hello(0)).await;
    assert_eq!(next_state(&mut stream).await, ["other", "prod"]);
    let removed = remove(&world, "prod", "1").await.unwrap();
    assert!(removed.proposal.is_none());
    assert_eq!(next_state(&mut stream).await, ["other"]);
    assert_eq!(listed(&world).await, ["policies/other"]);
    let newest = shown(&world, 0).await;
    assert!(newest.removed && newest.source.is_empty() && newest.revision == 2);
    let before = shown(&world, 1).await;
    assert!(!before.removed && before.source == PROD);
    let events = world.all_events().await;
    let told = events.into_iter().find_map(|event| match event.kind {
        Some(v1::event::Kind::PolicyChanged(told)) if told.change() == Change::Removed => {
            Some(told)
        }
        _ => None,
    });
    let told = told.expect("no event of it");
    assert_eq!(
        (told.revision, told.reason.as_str()),
        (2, "its service is gone")
    );
    // And back again, with the next number.
    world.apply(PROD).await.unwrap();
    assert_eq!(shown(&world, 0).await.revision, 3);
    assert_eq!(next_state(&mut stream).await, ["other", "prod"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_outlives_a_restart() {
    let mut world = World::with_policy().await;
    remove(&world, "prod", "").await.unwrap();
    world.stop().await;
    world.start().await;
    assert_eq!(listed(&world).await, Vec::<String>::new());
    let mut stream = HostStream::open(world.host_channel().await, hello(0)).await;
    assert_eq!(next_state(&mut stream).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_or_not_what_was_seen_is_not_removed() {
    let world = World::with_policy().await;
    failed(
        remove(&world, "prod", "7").await,
        Code::Aborted,
        "VERSION_CHANGED",
        "at version 1",
    );
    failed(
        remove(&world, "nothing", "").await,
        Code::NotFound,
        "UNKNOWN_POLICY",
        "nothing",
    );
    remove(&world, "prod", "").await.unwrap();
    failed(
        remove(&world, "prod", "").await,
        Code::NotFound,
        "UNKNOWN_POLICY",
        "prod",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_whose_permissions_somebody_has_is_not_removed_before_the_grants() {
    let world = World::with_policy().await;
    let mut grants = world.grants().await;
    let grant = grants.create_grant(create()).await.unwrap().into_inner();
    let id = grant.name.strip_prefix("grants/").unwrap().to_owned();
    let refused = failed(
        remove(&world, "prod", "").await,
        Code::FailedPrecondition,
        "POLICY_IN_USE",
        "`prod`",
    );
    let message = &refused.message;
    assert!(
        message.contains(&id) && message.contains("of `alice`"),
        "{message}"
    );
    let request = v1::RevokeGrantRequest {
        name: grant.name,
        reason: "the policy goes".into(),
        ..Default::default()
    };
    grants.revoke_grant(request).await.unwrap();
    remove(&world, "prod", "").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_changes_take_two_people_nobody_alone_removes_a_policy() {
    let world = World::with(|config| {
        config.operators.users.push("bob".parse().unwrap());
        let stages = "stages = [{ any = [\"user:bob\", \"user:carol\"] }]";
        config.policies = toml::from_str::<Changes>(stages).unwrap();
    })
    .await;
    let approve = async |name: &str| {
        let request = v1::ApproveProposalRequest {
            name: name.into(),
            reason: "read it".into(),
        };
        let mut policies = world.policies().await;
        let approved = policies.approve_proposal(request).await;
        approved.map(tonic::Response::into_inner)
    };
    world.login("bob", false);
    let proposed = world.apply(PROD).await.unwrap().proposal.unwrap();
    world.login("carol", false);
    approve(&proposed.name).await.unwrap();
    let removal = remove(&world, "prod", "").await.unwrap().proposal.unwrap();
    assert!(removal.removes && removal.base_revision == 1);
    assert_eq!(listed(&world).await, ["policies/prod"]);
    failed(
        approve(&removal.name).await,
        Code::PermissionDenied,
        "OWN_PROPOSAL",
        "`carol` proposed",
    );
    world.login("bob", false);
    let approved = approve(&removal.name).await.unwrap();
    assert_eq!((approved.state(), approved.revision), (State::Applied, 2));
    assert_eq!(listed(&world).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_something_waits_because_of_is_not_removed_before_the_answer() {
    let world = World::with_policy().await;
    let mut stream = HostStream::open(world.host_channel().await, hello(0)).await;
    stream.state().await;
    holds::report(&world, &stream, holds::hold(7, DurationMs::from_secs(60))).await;
    failed(
        remove(&world, "prod", "").await,
        Code::FailedPrecondition,
        "POLICY_IN_USE",
        "0000000000000007",
    );
    world.login("carol", false);
    holds::refuse(&world, "holds/0000000000000007")
        .await
        .unwrap();
    let told = stream.state_with(|state| !state.answers.is_empty()).await;
    assert_eq!(told.answers[0].answer, Answer::Refused);
    // The host has not said yet that the call ended: with its rule gone it would go on.
    failed(
        remove(&world, "prod", "").await,
        Code::FailedPrecondition,
        "POLICY_IN_USE",
        "answer",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_roll_out_nothing_is_removed_and_what_was_stopped_ends_with_the_policy() {
    let world = World::with_policy().await;
    let other = PROD.replace("ports: [5432]", "ports: [5433]");
    roll_out(&world, &other, plan(None, 3_600)).await.unwrap();
    failed(
        remove(&world, "prod", "").await,
        Code::FailedPrecondition,
        "ROLLOUT_RUNS",
        "is being rolled out",
    );
    change(&world, Step::Stop).await.unwrap();
    remove(&world, "prod", "2").await.unwrap();
    let mut stream = HostStream::open(world.host_channel().await, hello(0)).await;
    assert_eq!(next_state(&mut stream).await, Vec::<String>::new());
    assert!(change(&world, Step::Resume).await.is_err());
    // Rolled out anew it is a new policy: outside of the canary hosts there is nothing before it.
    let anew = roll_out(&world, PROD, plan(None, 3_600)).await.unwrap();
    let rollout = anew.policy.unwrap().rollout.unwrap();
    assert_eq!((rollout.revision, rollout.before_revision), (4, 0));
    let mut elsewhere = HostStream::open(world.host_channel().await, hello(0)).await;
    assert_eq!(next_state(&mut elsewhere).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_never_heard_of_again_keeps_no_policy_beyond_its_holds_deadlines() {
    let world = World::with_policy().await;
    let mut stream = HostStream::open(world.host_channel().await, hello(0)).await;
    stream.state().await;
    holds::report(&world, &stream, holds::hold(7, DurationMs::from_secs(2))).await;
    world.login("carol", false);
    holds::refuse(&world, "holds/0000000000000007")
        .await
        .unwrap();
    drop(stream);
    assert!(remove(&world, "prod", "").await.is_err());
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    remove(&world, "prod", "").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_was_put_out_keeps_no_policy() {
    let world = outsider::world().await;
    world.apply(PROD).await.unwrap();
    let token = outsider::token(&world, v1::CreateJoinTokenRequest::default()).await;
    let member = Outsider::new("db1").join(&world, &token).await.unwrap();
    let mut stream = HostStream::open(member.channel(&world).await, hello(0)).await;
    stream.state().await;
    let held = holds::hold(7, DurationMs::from_secs(3_600));
    holds::report(&world, &stream, held).await;
    failed(
        remove(&world, "prod", "").await,
        Code::FailedPrecondition,
        "POLICY_IN_USE",
        "0000000000000007",
    );
    let put_out = v1::RevokeHostRequest {
        name: "hosts/db1".into(),
        reason: "stolen".into(),
    };
    world.hosts().await.revoke_host(put_out).await.unwrap();
    remove(&world, "prod", "").await.unwrap();
}
