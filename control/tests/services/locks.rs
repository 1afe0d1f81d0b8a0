//! Locks: while one stands nothing that somebody gave counts for whom it covers, where it covers them, and for nobody else.

use std::time::Duration;

use stayhand_proto::{
    message::FromHost,
    v1::{
        self, CreateLockRequest, ListLocksRequest, RemoveLockRequest, lock_changed_event::Change,
        lock_service_client::LockServiceClient,
    },
};
use tonic::{Code, Status, transport::Channel};

use crate::{
    agent::{HostStream, hello},
    holds::{FIRST, MINUTE, SECOND, approve, get, hold, report},
    world::{World, create, failed, seconds},
};

async fn locks(world: &World) -> LockServiceClient<Channel> {
    LockServiceClient::new(world.channel().await)
}

pub(crate) fn on(user: &str, host: &str) -> CreateLockRequest {
    CreateLockRequest {
        user: user.into(),
        host: host.into(),
        ttl: None,
        reason: "looked at".into(),
    }
}

pub(crate) async fn lock(world: &World, request: CreateLockRequest) -> Result<v1::Lock, Status> {
    let answer = locks(world).await.create_lock(request).await;
    answer.map(tonic::Response::into_inner)
}

async fn remove(world: &World, name: &str) -> Result<v1::RemoveLockResponse, Status> {
    let request = RemoveLockRequest {
        name: name.into(),
        reason: "found again".into(),
    };
    let answer = locks(world).await.remove_lock(request).await;
    answer.map(tonic::Response::into_inner)
}

pub(crate) async fn standing(world: &World) -> Vec<v1::Lock> {
    let listed = locks(world).await.list_locks(ListLocksRequest {}).await;
    listed.unwrap().into_inner().locks
}

async fn grant(world: &World) -> Result<v1::Grant, Status> {
    let answer = world.grants().await.create_grant(create()).await;
    answer.map(tonic::Response::into_inner)
}

async fn shown(world: &World, name: &str) -> v1::Grant {
    let request = v1::GetGrantRequest { name: name.into() };
    let answer = world.grants().await.get_grant(request).await;
    answer.unwrap().into_inner()
}

async fn changes(world: &World) -> Vec<Change> {
    let events = world.all_events().await;
    let changed = events.into_iter().filter_map(|event| match event.kind {
        Some(v1::event::Kind::LockChanged(changed)) => Some(changed.change()),
        _ => None,
    });
    changed.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_on_nobody_or_without_a_reason_is_refused_and_so_is_whoever_may_not() {
    let world = World::with_policy().await;
    let refused = async |request, code, reason, says| {
        failed(lock(&world, request).await, code, reason, says);
    };
    let invalid = Code::InvalidArgument;
    refused(on("", ""), invalid, "INVALID_FIELD", "one of them").await;
    let silent = CreateLockRequest {
        reason: " ".into(),
        ..on("alice", "")
    };
    refused(silent, invalid, "INVALID_FIELD", "say why").await;
    let long = CreateLockRequest {
        ttl: seconds(400 * 86_400),
        ..on("alice", "")
    };
    refused(long, invalid, "INVALID_FIELD", "stands for up to").await;
    refused(
        on("nobody-of-that-name", ""),
        Code::NotFound,
        "UNKNOWN_USER",
        "not known",
    )
    .await;
    world.login("bob", false);
    refused(
        on("alice", ""),
        Code::PermissionDenied,
        "NOT_AN_OPERATOR",
        "bob",
    )
    .await;
    world.unpinned();
    assert!(standing(&world).await.is_empty());
    assert!(changes(&world).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_locked_does_not_take_the_lock_off() {
    let world = World::with_policy().await;
    world.login("carol", false);
    let made = lock(&world, on("carol", "")).await.unwrap();
    failed(
        remove(&world, &made.name).await,
        Code::PermissionDenied,
        "OWN_LOCK",
        "`carol` is the one who is locked",
    );
    assert_eq!(standing(&world).await, [made]);
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_of_whoever_is_locked_do_not_count_until_the_last_lock_is_gone() {
    let world = World::with_policy().await;
    let mut stream = HostStream::open(world.host_channel().await, hello(0)).await;
    stream.state().await;
    let given = grant(&world).await.unwrap();
    stream.state_with(|state| state.leases.len() == 1).await;
    let first = lock(&world, on("alice", "")).await.unwrap();
    stream.state_with(|state| state.leases.is_empty()).await;
    let second = lock(&world, on("", &format!("hosts/{}", world.host_name())))
        .await
        .unwrap();
    let state = stream.state_with(|_| true).await;
    assert!(state.leases.is_empty());
    assert_eq!(shown(&world, &given.name).await.locks.len(), 2);
    remove(&world, &first.name).await.unwrap();
    let state = stream.state_with(|_| true).await;
    assert!(state.leases.is_empty(), "the other lock still stands");
    remove(&world, &second.name).await.unwrap();
    stream.state_with(|state| state.leases.len() == 1).await;
    let after = shown(&world, &given.name).await;
    assert_eq!((after.state, after.locks.len()), (given.state, 0));
    assert_eq!(
        changes(&world).await,
        [
            Change::Created,
            Change::Created,
            Change::Removed,
            Change::Removed
        ]
    );
    failed(
        remove(&world, &first.name).await,
        Code::NotFound,
        "UNKNOWN_LOCK",
        "does not stand",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_on_somebody_else_or_elsewhere_takes_nothing() {
    let world = World::with_policy().await;
    let mut stream = HostStream::open(world.host_channel().await, hello(0)).await;
    stream.state().await;
    let given = grant(&world).await.unwrap();
    stream.state_with(|state| state.leases.len() == 1).await;
    // He has nothing anywhere.
    lock(&world, on("bob", "")).await.unwrap();
    lock(&world, on("alice", "hosts/elsewhere")).await.unwrap();
    assert!(stream.no_state_for(Duration::from_millis(300)).await);
    // It says so all the same: it is for every host, and there is one on which it would not count.
    assert_eq!(shown(&world, &given.name).await.locks.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_refused_and_so_is_what_comes_later_and_nothing_new_is_given() {
    let world = World::with_policy().await;
    let mut stream = HostStream::open(world.host_channel().await, hello(0)).await;
    stream.state().await;
    report(&world, &stream, hold(FIRST, MINUTE)).await;
    let made = lock(&world, on("alice", "")).await.unwrap();
    let state = stream.state_with(|state| !state.answers.is_empty()).await;
    assert_eq!(state.answers.len(), 1);
    let refused = get(&world, "aaaa000000000001").await.unwrap();
    assert_eq!(refused.state(), v1::hold::State::Refused);
    assert!(
        format!("{refused:?}").contains("locked: looked at"),
        "{refused:?}"
    );
    // One that was on its way.
    let late = FromHost::Hold(Box::new(hold(SECOND, MINUTE)));
    stream.say(late).await;
    stream.state_with(|state| state.answers.len() == 2).await;
    assert_eq!(
        get(&world, "aaaa000000000002").await.unwrap().state(),
        v1::hold::State::Refused
    );
    failed(
        approve(&world, "aaaa000000000002").await,
        Code::FailedPrecondition,
        "LOCKED",
        "looked at",
    );
    failed(
        grant(&world).await,
        Code::FailedPrecondition,
        "LOCKED",
        "user alice is locked",
    );
    remove(&world, &made.name).await.unwrap();
    grant(&world).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_with_the_longest_reason_refuses_what_waits() {
    let world = World::with_policy().await;
    let mut stream = HostStream::open(world.host_channel().await, hello(0)).await;
    stream.state().await;
    report(&world, &stream, hold(FIRST, MINUTE)).await;
    let long = CreateLockRequest {
        reason: "ö".repeat(500),
        ..on("alice", "")
    };
    lock(&world, long).await.unwrap();
    assert_eq!(
        get(&world, "aaaa000000000001").await.unwrap().state(),
        v1::hold::State::Refused
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_no_directory_knows_can_be_locked_while_they_wait_for_something() {
    let world = World::with_policy().await;
    let mut stream = HostStream::open(world.host_channel().await, hello(0)).await;
    stream.state().await;
    failed(
        lock(&world, on("mallory", "")).await,
        Code::NotFound,
        "UNKNOWN_USER",
        "not known",
    );
    let mut held = hold(FIRST, MINUTE);
    held.subject.user = Some("mallory".parse().unwrap());
    report(&world, &stream, held).await;
    lock(&world, on("mallory", "")).await.unwrap();
    assert_eq!(
        get(&world, "aaaa000000000001").await.unwrap().state(),
        v1::hold::State::Refused
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_that_its_host_has_not_carried_out_waits_for_the_lock_to_go() {
    let world = World::with_policy().await;
    let mut stream = HostStream::open(world.host_channel().await, hello(0)).await;
    stream.state().await;
    report(&world, &stream, hold(FIRST, MINUTE)).await;
    approve(&world, "aaaa000000000001").await.unwrap();
    stream.state_with(|state| !state.answers.is_empty()).await;
    let made = lock(&world, on("alice", "")).await.unwrap();
    stream.state_with(|state| state.answers.is_empty()).await;
    remove(&world, &made.name).await.unwrap();
    stream.state_with(|state| !state.answers.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_ends_by_itself_with_a_record_and_is_there_after_a_restart_until_then() {
    let mut world = World::with_policy().await;
    let mut stream = HostStream::open(world.host_channel().await, hello(0)).await;
    stream.state().await;
    grant(&world).await.unwrap();
    stream.state_with(|state| state.leases.len() == 1).await;
    let short = CreateLockRequest {
        ttl: seconds(3),
        ..on("alice", "")
    };
    lock(&world, short).await.unwrap();
    stream.state_with(|state| state.leases.is_empty()).await;
    drop(stream);
    world.stop().await;
    world.start().await;
    assert_eq!(standing(&world).await.len(), 1);
    let mut stream = HostStream::open(world.host_channel().await, hello(0)).await;
    stream.state_with(|state| state.leases.len() == 1).await;
    assert!(standing(&world).await.is_empty());
    assert_eq!(changes(&world).await, [Change::Created, Change::Ended]);
}
