//! Holds: who may not answer, what cannot be answered any more, and the way of an answer to the host.

use std::time::{Duration, SystemTime};

use stayhand_guardrail::{
    action::{Object, Operation, ProcessInfo},
    event::RuleRef,
    hold::{Approval, Cancel, Decided, Hold, HoldState},
    host::Answer,
    id::{HoldId, Revision},
    subject::Subject,
    time::{DurationMs, UnixMs},
};
use stayhand_proto::{
    message::{FromHost, Hello},
    v1::{
        self, ApproveHoldRequest, GetHoldRequest, ListHoldsRequest, RefuseHoldRequest,
        WatchHoldsRequest, event::Kind, hold::State,
    },
};
use tonic::{Code, Status};

use crate::{
    agent::{HostStream, hello},
    world::{World, failed},
};

pub(crate) fn now() -> UnixMs {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    UnixMs(u64::try_from(since.as_millis()).unwrap())
}

/// Alice's hold, as her host reports it.
pub(crate) fn hold(id: u64, left: DurationMs) -> Hold {
    Hold {
        id: HoldId(id),
        host: "what-a-message-says".parse().unwrap(),
        subject: Subject {
            auid: 1000,
            user: Some("alice".parse().unwrap()),
            session: Some(7),
        },
        process: ProcessInfo {
            pid: 4_242,
            args: vec![b"vi".to_vec(), b"\x1b[2J\n\xff".to_vec()],
            ..Default::default()
        },
        operation: Operation::Write,
        object: Object::Path {
            bytes: b"/etc/nginx/nginx.conf".to_vec(),
        },
        rule: RuleRef {
            policy: "prod".parse().unwrap(),
            revision: Revision(1),
            rule: "nginx".parse().unwrap(),
        },
        message: Some("ask carol".into()),
        sensitivity: None,
        permission: Some("prod/nginx".parse().unwrap()),
        approval: Approval::Operators,
        create_time: now(),
        expire_time: now().plus(left),
        state: HoldState::Pending,
    }
}

pub(crate) const MINUTE: DurationMs = DurationMs::from_secs(60);
pub(crate) const FIRST: u64 = 0xaaaa_0000_0000_0001;
pub(crate) const SECOND: u64 = 0xaaaa_0000_0000_0002;

pub(crate) async fn report(world: &World, stream: &HostStream, hold: Hold) {
    let id = hold.id;
    let wanted = v1::hold::State::from(hold.state.phase());
    stream.say(FromHost::Hold(Box::new(hold))).await;
    for _ in 0..200 {
        if get(world, &id.to_string())
            .await
            .is_ok_and(|seen| seen.state() == wanted)
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("hold {id} never was {wanted:?}");
}

pub(crate) async fn get(world: &World, name: &str) -> Result<v1::Hold, Status> {
    let request = GetHoldRequest { name: name.into() };
    world
        .holds()
        .await
        .get_hold(request)
        .await
        .map(tonic::Response::into_inner)
}

pub(crate) async fn approve(world: &World, name: &str) -> Result<v1::Hold, Status> {
    let request = ApproveHoldRequest {
        name: name.into(),
        reason: "looks right".into(),
    };
    world
        .holds()
        .await
        .approve_hold(request)
        .await
        .map(tonic::Response::into_inner)
}

pub(crate) async fn refuse(world: &World, name: &str) -> Result<v1::Hold, Status> {
    let request = RefuseHoldRequest {
        name: name.into(),
        reason: "not today".into(),
    };
    world
        .holds()
        .await
        .refuse_hold(request)
        .await
        .map(tonic::Response::into_inner)
}

pub(crate) async fn world() -> (World, HostStream) {
    let world = World::with_policy().await;
    let mut stream = HostStream::open(world.host_channel().await, hello(0)).await;
    stream.state().await;
    (world, stream)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guarded_subject_cannot_answer() {
    let (world, stream) = world().await;
    report(&world, &stream, hold(FIRST, MINUTE)).await;
    world.login("alice", true);
    failed(
        approve(&world, "aaaa").await,
        Code::PermissionDenied,
        "GUARDED",
        "`alice` is guarded on this host",
    );
    world.unpinned();
    assert_eq!(get(&world, "aaaa").await.unwrap().state(), State::Pending);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_who_is_held_cannot_answer_the_own_hold() {
    let world = World::with(|config| config.operators.users.push("bob".parse().unwrap())).await;
    let stream = HostStream::open(world.host_channel().await, hello(0)).await;
    let own = Hold {
        subject: Subject {
            auid: 1001,
            user: None,
            session: None,
        },
        ..hold(FIRST, MINUTE)
    };
    report(&world, &stream, own).await;
    world.login("bob", false);
    failed(
        approve(&world, "aaaa").await,
        Code::PermissionDenied,
        "OWN_HOLD",
        "`bob` is the one who is held",
    );
    failed(
        refuse(&world, "aaaa").await,
        Code::PermissionDenied,
        "OWN_HOLD",
        "ask another approver",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_unknown_and_ambiguous_holds_are_told_apart() {
    let (world, stream) = world().await;
    report(&world, &stream, hold(FIRST, MINUTE)).await;
    report(&world, &stream, hold(SECOND, MINUTE)).await;
    failed(
        approve(&world, "aaaa").await,
        Code::InvalidArgument,
        "AMBIGUOUS_ID",
        "aaaa000000000001, aaaa000000000002",
    );
    failed(
        approve(&world, "bbbb").await,
        Code::NotFound,
        "UNKNOWN_ID",
        "no id starts with `bbbb`",
    );
    failed(
        approve(&world, "a").await,
        Code::InvalidArgument,
        "INVALID_ID",
        "at least 4",
    );
    failed(
        approve(&world, "\u{1b}[31m").await,
        Code::InvalidArgument,
        "INVALID_ID",
        "\\x1b",
    );
    let silent = ApproveHoldRequest {
        name: format!("holds/{FIRST:016x}"),
        reason: " ".into(),
    };
    failed(
        world.holds().await.approve_hold(silent).await,
        Code::InvalidArgument,
        "INVALID_FIELD",
        "reason",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_answer_names_the_first() {
    let (world, stream) = world().await;
    report(&world, &stream, hold(FIRST, MINUTE)).await;
    world.login("carol", false);
    approve(&world, "aaaa").await.unwrap();
    world.unpinned();
    failed(
        refuse(&world, "aaaa").await,
        Code::FailedPrecondition,
        "HOLD_ANSWERED",
        "already approved by carol",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_past_its_deadline_cannot_be_answered_and_times_out_by_itself() {
    let (world, stream) = world().await;
    report(&world, &stream, hold(FIRST, DurationMs(1))).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    failed(
        approve(&world, "aaaa").await,
        Code::FailedPrecondition,
        "HOLD_OVER",
        "timed out at",
    );
    for _ in 0..200 {
        if get(&world, "aaaa").await.unwrap().state() == State::TimedOut {
            failed(
                approve(&world, "aaaa").await,
                Code::FailedPrecondition,
                "HOLD_OVER",
                "it timed out",
            );
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it never timed out");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_on_a_hold_whose_process_is_gone_is_refused() {
    let (world, stream) = world().await;
    report(&world, &stream, hold(FIRST, MINUTE)).await;
    let gone = HoldState::Cancelled {
        cause: Cancel::ProcessGone,
        at: now(),
    };
    report(
        &world,
        &stream,
        Hold {
            state: gone,
            ..hold(FIRST, MINUTE)
        },
    )
    .await;
    failed(
        approve(&world, "aaaa").await,
        Code::FailedPrecondition,
        "HOLD_OVER",
        "its process went away",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_of_an_earlier_boot_are_cancelled() {
    let (world, stream) = world().await;
    report(&world, &stream, hold(FIRST, MINUTE)).await;
    drop(stream);
    let rebooted = Hello {
        boot_id: uuid::Uuid::from_u128(2),
        ..hello(0)
    };
    let mut stream = HostStream::open(world.host_channel().await, rebooted).await;
    stream.state().await;
    let seen = get(&world, "aaaa").await.unwrap();
    assert_eq!(
        (seen.state(), seen.cancel_cause()),
        (State::Cancelled, v1::hold::CancelCause::ProcessGone)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_stays_in_the_state_until_the_host_is_through_with_it() {
    for (answer, answered) in [
        (Answer::Approved, State::Approved),
        (Answer::Refused, State::Refused),
    ] {
        let (world, mut stream) = world().await;
        report(&world, &stream, hold(FIRST, MINUTE)).await;
        world.login("carol", false);
        let seen = match answer {
            Answer::Approved => approve(&world, "aaaa").await.unwrap(),
            Answer::Refused => refuse(&world, "aaaa").await.unwrap(),
        };
        assert_eq!(
            (seen.state(), seen.answered_by.as_str()),
            (answered, "carol")
        );
        let state = stream.state_with(|state| !state.answers.is_empty()).await;
        assert_eq!(
            (state.answers[0].hold, state.answers[0].answer),
            (HoldId(FIRST), answer)
        );
        // The stream breaks before the host has carried it out: the answer comes again.
        drop(stream);
        let mut stream = HostStream::open(world.host_channel().await, hello(0)).await;
        assert_eq!(stream.state().await.answers.len(), 1);
        let done = |decided| match answer {
            Answer::Approved => HoldState::Approved {
                decided,
                released: Some(now()),
            },
            Answer::Refused => HoldState::Refused { decided },
        };
        let decided = Decided {
            by: "carol".parse().unwrap(),
            reason: "x".into(),
            at: now(),
        };
        report(
            &world,
            &stream,
            Hold {
                state: done(decided),
                ..hold(FIRST, MINUTE)
            },
        )
        .await;
        // What comes after says that the report was taken in.
        report(&world, &stream, hold(SECOND, MINUTE)).await;
        drop(stream);
        let mut stream = HostStream::open(world.host_channel().await, hello(0)).await;
        assert!(stream.state().await.answers.is_empty());
        assert_eq!(
            get(&world, &format!("{FIRST:016x}"))
                .await
                .unwrap()
                .released,
            answer == Answer::Approved
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_came_too_late_for_the_kernel_is_shown_as_timed_out() {
    let (world, mut stream) = world().await;
    report(&world, &stream, hold(FIRST, MINUTE)).await;
    approve(&world, "aaaa").await.unwrap();
    stream.state_with(|state| !state.answers.is_empty()).await;
    // The kernel's clock is the truth, even where the control plane's has not come so far.
    report(
        &world,
        &stream,
        Hold {
            state: HoldState::TimedOut { at: now() },
            ..hold(FIRST, MINUTE)
        },
    )
    .await;
    let records: Vec<(i32, i32)> = world
        .all_events()
        .await
        .into_iter()
        .filter_map(|event| match event.kind {
            Some(Kind::HoldChanged(changed)) => Some((changed.from, changed.to)),
            _ => None,
        })
        .collect();
    let (pending, approved, late) = (
        State::Pending.into(),
        State::Approved.into(),
        State::TimedOut.into(),
    );
    assert_eq!(records, [(pending, approved), (approved, late)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_shows_what_is_pending_and_then_each_change() {
    let (world, stream) = world().await;
    report(&world, &stream, hold(FIRST, MINUTE)).await;
    let mut watch = world
        .holds()
        .await
        .watch_holds(WatchHoldsRequest {})
        .await
        .unwrap()
        .into_inner();
    let mut next = async || watch.message().await.unwrap().unwrap();
    assert_eq!(next().await.name, format!("holds/{FIRST:016x}"));
    report(&world, &stream, hold(SECOND, MINUTE)).await;
    assert_eq!(next().await.name, format!("holds/{SECOND:016x}"));
    refuse(&world, &format!("{SECOND:016x}")).await.unwrap();
    let refused = next().await;
    assert_eq!(
        (refused.state(), refused.answer_reason.as_str()),
        (State::Refused, "not today")
    );
    let listed = world
        .holds()
        .await
        .list_holds(ListHoldsRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(listed.holds.len(), 1, "what is over is not listed");
}
