//! Roll-outs: hosts have what the phase says, what hosts do stops it, and nothing that they say ends it early.

use std::time::Duration;

use stayhand_guardrail::{
    action::{Object, Operation, ProcessInfo},
    event::{DecisionEvent, Event, EventKind, RuleRef},
    host::{Ack, HostState, Phase},
    id::{EventSeq, Generation, Revision},
    reason::{Reason, Verdict},
    subject::Subject,
    time::UnixMs,
};
use stayhand_proto::{
    message::Hello,
    v1::{
        self, ApplyPolicyRequest, ChangeRolloutRequest, GetPolicyRequest, ListPolicyStatusRequest,
        change_rollout_request::Change, event::Kind, policy_changed_event::Change as Recorded,
        policy_rollout::State,
    },
};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{
    agent::{EventStream, HostStream, hello},
    world::{PROD, World, create, failed, seconds},
};

/// Longer than it takes to look at roll-outs a few times.
const SEVERAL_LOOKS: Duration = Duration::from_millis(2_500);
const HOUR: i64 = 3_600;
/// Short, and longer than what a test does meanwhile.
const PHASE_S: u32 = 4;

/// Another revision of [`PROD`].
pub(crate) fn changed() -> String {
    PROD.replace("10.20", "10.21")
}

pub(crate) fn plan(monitor: Option<i64>, canary: i64) -> v1::RolloutPlan {
    v1::RolloutPlan {
        monitor_for: monitor.and_then(seconds),
        canary: vec!["env=canary".into()],
        canary_for: seconds(canary),
        stop_at: 3,
    }
}

pub(crate) async fn roll_out(
    world: &World,
    source: &str,
    plan: v1::RolloutPlan,
) -> Result<v1::ApplyPolicyResponse, Status> {
    let request = ApplyPolicyRequest {
        source: source.into(),
        rollout: Some(plan),
        ..Default::default()
    };
    let mut policies = world.policies().await;
    let applied = policies.apply_policy(request).await;
    applied.map(tonic::Response::into_inner)
}

pub(crate) async fn change(world: &World, change: Change) -> Result<v1::PolicyRollout, Status> {
    change_in(world, change, "canary").await
}

async fn change_in(
    world: &World,
    change: Change,
    phase: &str,
) -> Result<v1::PolicyRollout, Status> {
    let request = ChangeRolloutRequest {
        name: "policies/prod".into(),
        change: change.into(),
        reason: "because".into(),
        phase: phase.into(),
    };
    let mut policies = world.policies().await;
    let changed = policies.change_rollout(request).await;
    changed.map(tonic::Response::into_inner)
}

async fn status(world: &World) -> v1::PolicyStatus {
    let request = ListPolicyStatusRequest {
        name: "policies/prod".into(),
        ..Default::default()
    };
    let mut policies = world.policies().await;
    let listed = policies.list_policy_status(request).await.unwrap();
    listed.into_inner().policies.remove(0)
}

async fn state(world: &World) -> State {
    status(world).await.rollout.unwrap().state()
}

/// Waits until the roll-out is there.
async fn reaches(world: &World, wanted: State) {
    for _ in 0..100 {
        if state(world).await == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it never was {wanted:?}: {:?}", status(world).await);
}

/// What revision 1 is, applied and on a host with this label.
async fn host(world: &World, label: &str) -> HostStream {
    let greeting = Hello {
        labels: [label.parse().unwrap()].into_iter().collect(),
        ..hello(0)
    };
    HostStream::open(world.host_channel().await, greeting).await
}

async fn world(label: &str) -> (World, HostStream) {
    let world = World::with_policy().await;
    let mut stream = host(&world, label).await;
    let first = stream.state().await;
    enforces(&stream, first.generation).await;
    (world, stream)
}

async fn enforces(stream: &HostStream, generation: Generation) {
    let phase = Phase::Enforced;
    stream.say(Ack::new(generation, phase).into()).await;
}

fn revisions(state: &HostState) -> Vec<u64> {
    state.policies.iter().map(|one| one.revision.0).collect()
}

fn denial(seq: u64, revision: u64) -> v1::Event {
    let decision = DecisionEvent {
        verdict: Verdict::Denied,
        reason: Reason::NoGrant,
        operation: Operation::Connect,
        object: Object::Path {
            bytes: b"/x".to_vec(),
        },
        object_cut: false,
        subject: Subject {
            auid: 1000,
            user: Some("alice".parse().unwrap()),
            session: Some(7),
        },
        process: ProcessInfo::default(),
        args_redacted: 0,
        generation: Generation(1),
        rule: Some(RuleRef {
            policy: "prod".parse().unwrap(),
            revision: Revision(revision),
            rule: "db".parse().unwrap(),
        }),
        message: None,
        sensitivity: None,
        permission: None,
        grant: None,
        hold: None,
        monitor: false,
    };
    let event = Event {
        host: "what-a-message-says".parse().unwrap(),
        boot_id: Uuid::from_u128(1),
        epoch: Uuid::from_u128(0xe),
        seq: EventSeq(seq),
        // Whatever a host says when it was.
        time: UnixMs(7),
        kind: EventKind::Decision(Box::new(decision)),
    };
    event.into()
}

async fn denies(world: &World, numbers: std::ops::RangeInclusive<u64>, revision: u64) {
    let mut events = EventStream::open(world.host_channel().await).await;
    let batch = numbers.map(|seq| denial(seq, revision)).collect();
    events.publish(batch).await.unwrap();
}

/// Changes of the policy as they were recorded, with who did each.
async fn recorded(world: &World) -> Vec<(Recorded, String)> {
    let all = world.all_events().await.into_iter();
    all.filter_map(|event| match event.kind {
        Some(Kind::PolicyChanged(changed)) => Some((changed.change(), changed.by)),
        _ => None,
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_roll_out_can_be_is_refused_and_changes_nothing() {
    let world = World::with_policy().await;
    let nowhere = v1::RolloutPlan {
        canary: vec![],
        ..plan(None, HOUR)
    };
    failed(
        roll_out(&world, &changed(), nowhere).await,
        Code::InvalidArgument,
        "INVALID_FIELD",
        "labels",
    );
    failed(
        roll_out(&world, &changed(), plan(None, 0)).await,
        Code::InvalidArgument,
        "INVALID_FIELD",
        "takes from 1s",
    );
    failed(
        change(&world, Change::Stop).await,
        Code::NotFound,
        "UNKNOWN_ROLLOUT",
        "`prod`",
    );
    assert_eq!(status(&world).await.revision, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_one_runs_nothing_else_is_applied_and_no_stopped_document_comes_back_unseen() {
    let world = World::with_policy().await;
    roll_out(&world, &changed(), plan(None, HOUR))
        .await
        .unwrap();
    assert!(!world.apply(&changed()).await.unwrap().changed);
    for source in [PROD.to_owned(), PROD.replace("10.20", "10.22")] {
        let failure = failed(
            world.apply(&source).await,
            Code::FailedPrecondition,
            "ROLLOUT_RUNS",
            "revision 2 of policy `prod`",
        );
        assert!(failure.message.contains("--stop"), "{failure:?}");
    }
    // Somebody else was faster, or the same call comes twice.
    for (phase, code, reason) in [
        ("monitor", Code::Aborted, "VERSION_CHANGED"),
        ("", Code::InvalidArgument, "INVALID_FIELD"),
        ("all", Code::InvalidArgument, "INVALID_FIELD"),
    ] {
        let refused = change_in(&world, Change::Advance, phase).await;
        failed(refused, code, reason, "");
        assert_eq!(state(&world).await, State::Canary);
    }
    change(&world, Change::Stop).await.unwrap();
    failed(
        world.apply(&changed()).await,
        Code::FailedPrecondition,
        "ROLLOUT_STOPPED",
        "because",
    );
    failed(
        change(&world, Change::Advance).await,
        Code::FailedPrecondition,
        "ROLLOUT_OVER",
        "is stopped",
    );
    // Another document replaces it for good.
    let other = PROD.replace("10.20", "10.22");
    assert!(world.apply(&other).await.unwrap().changed);
    failed(
        change(&world, Change::Resume).await,
        Code::NotFound,
        "UNKNOWN_ROLLOUT",
        "`prod`",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_canary_host_it_waits_and_says_so_then_every_host_has_it() {
    let (world, mut stream) = world("env=prod").await;
    roll_out(&world, &changed(), plan(None, 1)).await.unwrap();
    let still = stream.state().await;
    assert_eq!(revisions(&still), [1]);
    enforces(&stream, still.generation).await;
    tokio::time::sleep(SEVERAL_LOOKS).await;
    let seen = status(&world).await;
    assert_eq!(seen.rollout.unwrap().state(), State::Canary);
    assert!(seen.waits_for.contains("labels"), "{}", seen.waits_for);
    assert_eq!((seen.hosts, seen.enforced), (1, 0));
    assert_eq!(seen.behind[0].reason, "has revision 1: not in the canary");
    assert!(seen.behind[0].expected);
    // The same host, with another label.
    let greeting = Hello {
        labels: ["env=canary".parse().unwrap()].into_iter().collect(),
        ..hello(still.generation.0)
    };
    let mut stream = HostStream::open(world.host_channel().await, greeting).await;
    let state = stream.state_with(|state| revisions(state) == [2]).await;
    let seen = status(&world).await;
    assert!(
        seen.waits_for.contains("in its kernel"),
        "{}",
        seen.waits_for
    );
    enforces(&stream, state.generation).await;
    reaches(&world, State::Done).await;
    let done = stream.state().await;
    assert_eq!(revisions(&done), [2]);
    enforces(&stream, done.generation).await;
    let words = recorded(&world).await;
    let words: Vec<_> = words
        .iter()
        .map(|(word, by)| (*word, by.as_str()))
        .collect();
    assert_eq!(
        words,
        [
            (Recorded::Applied, "root"),
            (Recorded::RollOut, "root"),
            (Recorded::RolledOut, "")
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jump_of_denials_stops_it_and_the_canary_hosts_are_back_at_the_revision_before() {
    let (world, mut stream) = world("env=canary").await;
    roll_out(&world, &changed(), plan(None, HOUR))
        .await
        .unwrap();
    let state = stream.state().await;
    assert_eq!(revisions(&state), [2]);
    enforces(&stream, state.generation).await;
    // Nine times, twice sent; and what another revision did does not count.
    denies(&world, 1..=9, 2).await;
    denies(&world, 1..=9, 2).await;
    denies(&world, 10..=60, 1).await;
    denies(&world, 61..=99, 77).await;
    assert!(stream.no_state_for(SEVERAL_LOOKS).await);
    let seen = status(&world).await;
    assert_eq!((seen.counted, seen.limit, seen.enforced), (9, 9, 1));
    denies(&world, 100..=100, 2).await;
    let back = stream.state().await;
    assert_eq!(revisions(&back), [1]);
    let rollout = status(&world).await.rollout.unwrap();
    assert_eq!(rollout.state(), State::Stopped);
    assert_eq!(rollout.stopped_by, "");
    assert!(rollout.stop_reason.contains("10 times"), "{rollout:?}");
    let last = recorded(&world).await.pop().unwrap();
    assert_eq!(last.0, Recorded::RollOutStopped);
    // It stays in the history, and no host is said to have it.
    let request = GetPolicyRequest {
        name: "policies/prod".into(),
        revision: 0,
    };
    let mut policies = world.policies().await;
    let newest = policies.get_policy(request).await.unwrap().into_inner();
    assert_eq!((newest.revision, newest.enforcement.len()), (2, 0));
    // What was counted before it is resumed does not stop it again.
    change(&world, Change::Resume).await.unwrap();
    assert_eq!(revisions(&stream.state().await), [2]);
    assert!(stream.no_state_for(SEVERAL_LOOKS).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_revision_before_restricted_raises_the_limit_and_only_until_it_begins() {
    let (world, mut stream) = world("env=canary").await;
    denies(&world, 1..=20, 1).await;
    roll_out(&world, &changed(), plan(None, HOUR))
        .await
        .unwrap();
    let generation = stream_state(&mut stream, 2).await;
    enforces(&stream, generation).await;
    denies(&world, 21..=200, 1).await;
    denies(&world, 201..=250, 2).await;
    let seen = status(&world).await;
    assert_eq!((seen.counted, seen.limit), (50, 60));
    denies(&world, 251..=261, 2).await;
    reaches(&world, State::Stopped).await;
}

async fn stream_state(stream: &mut HostStream, revision: u64) -> Generation {
    let state = stream
        .state_with(|state| revisions(state) == [revision])
        .await;
    state.generation
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_host_that_refuses_stops_it() {
    let (world, mut stream) = world("env=canary").await;
    roll_out(&world, &changed(), plan(None, 1)).await.unwrap();
    let generation = stream_state(&mut stream, 2).await;
    let phase = Phase::Rejected {
        reasons: vec!["no room".into()],
    };
    stream.say(Ack::new(generation, phase).into()).await;
    stream_state(&mut stream, 1).await;
    let rollout = status(&world).await.rollout.unwrap();
    assert_eq!(rollout.state(), State::Stopped);
    assert!(rollout.stop_reason.contains("no room"), "{rollout:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_the_middle_changes_nothing() {
    let (mut world, mut stream) = world("env=canary").await;
    roll_out(&world, &changed(), plan(None, HOUR))
        .await
        .unwrap();
    let generation = stream_state(&mut stream, 2).await;
    enforces(&stream, generation).await;
    denies(&world, 1..=9, 2).await;
    drop(stream);
    world.stop().await;
    world.start().await;
    assert_eq!(state(&world).await, State::Canary);
    let mut stream = host(&world, "env=canary").await;
    let again = stream_state(&mut stream, 2).await;
    enforces(&stream, again).await;
    failed(
        world.apply(PROD).await,
        Code::FailedPrecondition,
        "ROLLOUT_RUNS",
        "revision 2",
    );
    denies(&world, 10..=10, 2).await;
    stream_state(&mut stream, 1).await;
    world.stop().await;
    world.start().await;
    assert_eq!(state(&world).await, State::Stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_monitor_phase_hosts_enforce_what_was_before_and_watch_the_new_one() {
    let (world, stream) = world("env=prod").await;
    drop(stream);
    // An agent from before there was anything to watch.
    let old = Hello {
        watches_shadows: false,
        ..hello(0)
    };
    let mut stream = HostStream::open(world.host_channel().await, old).await;
    roll_out(&world, &changed(), plan(Some(1), HOUR))
        .await
        .unwrap();
    let state = stream.state_with(|state| state.generation.0 > 2).await;
    assert_eq!((revisions(&state), state.shadows.len()), (vec![1], 0));
    enforces(&stream, state.generation).await;
    tokio::time::sleep(SEVERAL_LOOKS).await;
    let seen = status(&world).await;
    assert_eq!(seen.rollout.unwrap().state(), State::Monitor);
    assert!(
        seen.behind[0].reason.contains("too old"),
        "{:?}",
        seen.behind
    );
    // The same host after its agent was replaced.
    let mut stream = HostStream::open(world.host_channel().await, hello(state.generation.0)).await;
    let state = stream.state().await;
    assert_eq!(revisions(&state), [1]);
    let watched = &state.shadows[0];
    assert_eq!(
        (watched.revision, &watched.source),
        (Revision(2), &changed())
    );
    enforces(&stream, state.generation).await;
    reaches(&world, State::Canary).await;
    let state = stream.state().await;
    assert_eq!((revisions(&state), state.shadows.len()), (vec![1], 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_that_live_grants_carry_stays_in_both_revisions_until_they_end() {
    let (world, mut stream) = world("env=canary").await;
    let without = PROD
        .replace(
            "    nginx: { file: { ops: [write, create], path: /etc/nginx/** } }\n",
            "    other: { file: { ops: [write, create], path: /etc/nginx/** } }\n",
        )
        .replace("permission: nginx", "permission: other");
    roll_out(&world, &without, plan(None, 1)).await.unwrap();
    // Both revisions count: the one before has it, the new one has another.
    let grant = |permission: &str| v1::CreateGrantRequest {
        permissions: vec![permission.into()],
        ..create()
    };
    let mut grants = world.grants().await;
    grants.create_grant(grant("other")).await.unwrap();
    let carries = grants.create_grant(grant("nginx")).await.unwrap();
    // In two revisions, and no two permissions.
    grants.create_grant(grant("db")).await.unwrap();
    let state = stream.state_with(|state| state.leases.len() == 3).await;
    enforces(&stream, state.generation).await;
    tokio::time::sleep(SEVERAL_LOOKS).await;
    let seen = status(&world).await;
    assert_eq!(seen.rollout.unwrap().state(), State::Canary);
    assert!(seen.waits_for.contains("prod/nginx"), "{}", seen.waits_for);
    failed(
        change(&world, Change::Advance).await,
        Code::FailedPrecondition,
        "PERMISSION_IN_USE",
        "prod/nginx",
    );
    let revoke = v1::RevokeGrantRequest {
        name: carries.into_inner().name,
        reason: "done".into(),
        ..Default::default()
    };
    grants.revoke_grant(revoke).await.unwrap();
    reaches(&world, State::Done).await;
}

/// It may be the revision that silenced it.
#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_is_not_heard_of_any_more_lets_no_other_host_have_it() {
    let (world, mut stream) = world("env=canary").await;
    roll_out(&world, &changed(), plan(None, PHASE_S.into()))
        .await
        .unwrap();
    let state_of = stream.state_with(|state| revisions(state) == [2]).await;
    enforces(&stream, state_of.generation).await;
    drop(stream);
    tokio::time::sleep(Duration::from_secs(PHASE_S.into()) + SEVERAL_LOOKS).await;
    let seen = status(&world).await;
    assert_eq!(seen.rollout.as_ref().unwrap().state(), State::Canary);
    assert!(
        seen.waits_for.contains("no host of this phase"),
        "{}",
        seen.waits_for
    );
    let mut back = host(&world, "env=canary").await;
    let again = back.state().await;
    enforces(&back, again.generation).await;
    reaches(&world, State::Done).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_ends_it_and_every_host_has_one_new_revision() {
    let (world, mut stream) = world("env=canary").await;
    roll_out(&world, &changed(), plan(None, HOUR))
        .await
        .unwrap();
    stream_state(&mut stream, 2).await;
    let request = |validate_only| ApplyPolicyRequest {
        source: PROD.into(),
        stop_reason: "rolled back".into(),
        validate_only,
        ..Default::default()
    };
    let mut policies = world.policies().await;
    policies.apply_policy(request(true)).await.unwrap();
    assert_eq!(state(&world).await, State::Canary);
    policies.apply_policy(request(false)).await.unwrap();
    stream_state(&mut stream, 3).await;
    assert!(status(&world).await.rollout.is_none());
    let request = GetPolicyRequest {
        name: "policies/prod".into(),
        revision: 2,
    };
    let second = policies.get_policy(request).await.unwrap().into_inner();
    let rollout = second.rollout.unwrap();
    assert_eq!(
        (rollout.stop_reason.as_str(), rollout.replaced_by),
        ("rolled back", 3)
    );
}
