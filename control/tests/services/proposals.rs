//! Changes of policies that take two people: nobody alone makes one count, and what counts is what was read.

use stayhand_control::config::Changes;
use stayhand_proto::v1::{
    self, ApproveProposalRequest, GetProposalRequest, ListProposalsRequest, RefuseProposalRequest,
    policy_proposal::State,
};
use tonic::{Code, Status};

use crate::world::{PROD, World, failed, other_policy};

/// Bob, Carol and root are operators; Bob or Carol has to approve what somebody else proposes.
async fn world() -> World {
    World::with(|config| {
        config.operators.users.push("bob".parse().unwrap());
        let stages = "stages = [{ any = [\"user:bob\", \"user:carol\"] }]";
        config.policies = toml::from_str::<Changes>(stages).unwrap();
    })
    .await
}

pub(crate) async fn propose(world: &World, source: &str) -> v1::PolicyProposal {
    let applied = world.apply(source).await.unwrap();
    assert!(!applied.changed);
    applied.proposal.unwrap()
}

pub(crate) async fn approve(world: &World, name: &str) -> Result<v1::PolicyProposal, Status> {
    let request = ApproveProposalRequest {
        name: name.into(),
        reason: "read it".into(),
    };
    let mut policies = world.policies().await;
    let answer = policies.approve_proposal(request).await;
    answer.map(tonic::Response::into_inner)
}

async fn refuse(world: &World, name: &str) -> Result<v1::PolicyProposal, Status> {
    let request = RefuseProposalRequest {
        name: name.into(),
        reason: "not now".into(),
    };
    let mut policies = world.policies().await;
    let answer = policies.refuse_proposal(request).await;
    answer.map(tonic::Response::into_inner)
}

async fn waiting(world: &World, show_ended: bool) -> Vec<v1::PolicyProposal> {
    let request = ListProposalsRequest {
        show_ended,
        ..Default::default()
    };
    let mut policies = world.policies().await;
    let listed = policies.list_proposals(request).await.unwrap();
    listed.into_inner().proposals
}

async fn revision(world: &World) -> Option<u64> {
    let request = v1::GetPolicyRequest {
        name: "policies/prod".into(),
        revision: 0,
    };
    let mut policies = world.policies().await;
    let found = policies.get_policy(request).await.ok();
    found.map(|found| found.into_inner().revision)
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_alone_makes_a_change_count() {
    let world = world().await;
    world.login("bob", false);
    let proposal = propose(&world, PROD).await;
    assert_eq!(revision(&world).await, None);
    failed(
        approve(&world, &proposal.name).await,
        Code::PermissionDenied,
        "OWN_PROPOSAL",
        "`bob` proposed",
    );
    world.login("root", false);
    failed(
        approve(&world, &proposal.name).await,
        Code::PermissionDenied,
        "NOT_AN_APPROVER",
        "any of user:bob, user:carol",
    );
    world.login("dora", false);
    failed(
        approve(&world, &proposal.name).await,
        Code::PermissionDenied,
        "NOT_AN_OPERATOR",
        "dora",
    );
    world.login("carol", false);
    assert_eq!(revision(&world).await, None);
    let applied = approve(&world, &proposal.name).await.unwrap();
    assert_eq!(applied.state(), State::Applied);
    assert_eq!(revision(&world).await, Some(1));
    failed(
        approve(&world, &proposal.name).await,
        Code::FailedPrecondition,
        "PROPOSAL_OVER",
        "is applied",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_approved_is_what_was_read_and_replaces_only_what_it_was_written_for() {
    let world = world().await;
    world.login("root", false);
    let first = propose(&world, PROD).await;
    let second = propose(&world, &PROD.replace("ask carol", "ask bob")).await;
    let mut policies = world.policies().await;
    let request = GetProposalRequest {
        name: first.name.clone(),
    };
    let read = policies.get_proposal(request).await.unwrap().into_inner();
    assert_eq!((read.source.as_str(), read.base_revision), (PROD, 0));
    world.login("bob", false);
    let applied = approve(&world, &second.name).await.unwrap();
    assert_eq!((applied.state(), applied.revision), (State::Applied, 1));
    let outdated = approve(&world, &first.name).await.unwrap();
    assert_eq!(outdated.state(), State::Outdated);
    assert_eq!(revision(&world).await, Some(1));
    assert!(waiting(&world, false).await.is_empty());
    let all = waiting(&world, true).await;
    let states: Vec<State> = all.iter().map(v1::PolicyProposal::state).collect();
    assert_eq!(states, [State::Applied, State::Outdated]);
    assert!(all.iter().all(|one| one.source.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_proposal_is_over_and_each_step_is_recorded() {
    let mut world = world().await;
    world.login("root", false);
    let proposal = propose(&world, PROD).await;
    world.stop().await;
    world.start().await;
    world.login("bob", false);
    let refused = refuse(&world, &proposal.name).await.unwrap();
    assert_eq!(
        (refused.state(), refused.refused_by.as_str()),
        (State::Refused, "bob")
    );
    failed(
        approve(&world, &proposal.name).await,
        Code::FailedPrecondition,
        "PROPOSAL_OVER",
        "is refused",
    );
    failed(
        approve(&world, "proposals/99").await,
        Code::NotFound,
        "UNKNOWN_PROPOSAL",
        "`99` does not exist",
    );
    failed(
        approve(&world, "proposals/\u{1b}[2J").await,
        Code::InvalidArgument,
        "INVALID_FIELD",
        "use its number",
    );
    let other = propose(&world, &other_policy()).await;
    world.login("carol", false);
    approve(&world, &other.name).await.unwrap();
    world.unpinned();
    let events = world.all_events().await;
    let said: Vec<String> = events
        .into_iter()
        .filter_map(|event| match event.kind {
            Some(v1::event::Kind::PolicyChanged(changed)) => Some(format!(
                "{} {:?} by {}, {}",
                changed.policy,
                changed.change(),
                changed.by,
                changed.proposal
            )),
            _ => None,
        })
        .collect();
    assert_eq!(
        said,
        [
            "policies/prod Proposed by root, proposals/1",
            "policies/prod Refused by bob, proposals/1",
            "policies/other Proposed by bob, proposals/2",
            "policies/other Approved by carol, proposals/2",
            "policies/other Applied by bob, proposals/2",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_proposes_nothing_and_what_is_malformed_never_waits() {
    let world = world().await;
    world.login("root", false);
    let mut policies = world.policies().await;
    let request = v1::ApplyPolicyRequest {
        source: PROD.into(),
        validate_only: true,
        ..Default::default()
    };
    let dry = policies.apply_policy(request).await.unwrap().into_inner();
    assert!(dry.changed && dry.proposal.is_none());
    failed(
        world.apply("nonsense").await,
        Code::InvalidArgument,
        "INVALID_POLICY",
        "error",
    );
    assert!(waiting(&world, true).await.is_empty());
}
