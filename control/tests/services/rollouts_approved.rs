//! A roll-out is no way round the people that a change of a policy takes, and holds of both revisions find theirs.

use stayhand_control::config::Changes;
use stayhand_guardrail::{hold::Hold, id::Revision};
use stayhand_proto::v1::{
    ApproveProposalRequest, change_rollout_request::Change, policy_proposal, policy_rollout::State,
};
use tonic::Code;

use crate::{
    agent::{HostStream, hello},
    holds::{FIRST, MINUTE, SECOND, get, hold, report},
    rollouts::{change, changed, plan, roll_out},
    world::{PROD, World, failed},
};

/// Bob, Carol and root are operators; Bob or Carol has to approve what somebody else proposes.
async fn staged() -> World {
    World::with(|config| {
        config.operators.users.push("bob".parse().unwrap());
        let stages = "stages = [{ any = [\"user:bob\", \"user:carol\"] }]";
        config.policies = toml::from_str::<Changes>(stages).unwrap();
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_approved_is_the_whole_roll_out_and_only_a_stop_needs_nobody() {
    let world = staged().await;
    world.login("root", false);
    let proposed = roll_out(&world, PROD, plan(Some(60), 3_600)).await.unwrap();
    let proposal = proposed.proposal.unwrap();
    assert_eq!(proposal.rollout, Some(plan(Some(60), 3_600)));
    failed(
        change(&world, Change::Advance).await,
        Code::PermissionDenied,
        "ROLLOUT_APPROVED",
        "policies.stages",
    );
    world.login("bob", false);
    let request = ApproveProposalRequest {
        name: proposal.name,
        reason: "read it".into(),
    };
    let mut policies = world.policies().await;
    let approved = policies.approve_proposal(request).await.unwrap();
    assert_eq!(
        approved.into_inner().state(),
        policy_proposal::State::Applied
    );
    for asked in [Change::Advance, Change::Resume] {
        failed(
            change(&world, asked).await,
            Code::PermissionDenied,
            "ROLLOUT_APPROVED",
            "nobody shortens it",
        );
    }
    let stopped = change(&world, Change::Stop).await.unwrap();
    assert_eq!(
        (stopped.state(), stopped.stopped_in()),
        (State::Stopped, State::Monitor)
    );
    failed(
        change(&world, Change::Resume).await,
        Code::PermissionDenied,
        "ROLLOUT_APPROVED",
        "after a stop",
    );
    // The same document again is another proposal, for the same people.
    let again = roll_out(&world, PROD, plan(None, 3_600)).await.unwrap();
    assert!(again.proposal.is_some() && !again.changed);
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_of_either_revision_take_the_approval_of_their_own() {
    const STAGES: &str = "  approvals:
    - { name: change, stages: [{ any: [\"user:bob\"] }] }
  rules:
";
    let world = World::with(|config| config.operators.users.push("bob".parse().unwrap())).await;
    world.apply(PROD).await.unwrap();
    let staged = changed()
        .replace("  rules:\n", STAGES)
        .replace("timeout: 1m", "timeout: 1m, approval: change");
    roll_out(&world, &staged, plan(None, 3_600)).await.unwrap();
    let mut stream = HostStream::open(world.host_channel().await, hello(0)).await;
    stream.state().await;
    let by_second = |mut hold: Hold| {
        hold.rule.revision = Revision(2);
        hold
    };
    report(&world, &stream, hold(FIRST, MINUTE)).await;
    report(&world, &stream, by_second(hold(SECOND, MINUTE))).await;
    let approval = async |id: u64| {
        let id = stayhand_guardrail::id::HoldId(id).to_string();
        let approval = get(&world, &id).await.unwrap().approval;
        approval.unwrap_or_default().name
    };
    assert_eq!(approval(FIRST).await, "");
    assert_eq!(approval(SECOND).await, "change");
}
