//! Grants: what cannot be granted is refused before anything is written; each change has its record.

use std::time::Duration;

use stayhand_proto::v1::{
    CreateGrantRequest, EnforcementPhase, GetGrantRequest, Grant, ListGrantsRequest,
    RevokeGrantRequest, WatchGrantRequest, event::Kind, grant::State, grant_changed_event::Change,
};
use tonic::{Code, Status};

use crate::{
    agent::{HostStream, hello},
    world::{World, create, failed, other_policy, seconds},
};

async fn refused(world: &World, request: CreateGrantRequest, code: Code, reason: &str, says: &str) {
    failed(
        world.grants().await.create_grant(request).await,
        code,
        reason,
        says,
    );
    let all = ListGrantsRequest {
        show_ended: true,
        ..Default::default()
    };
    assert!(
        world
            .grants()
            .await
            .list_grants(all)
            .await
            .unwrap()
            .into_inner()
            .grants
            .is_empty(),
        "{says}"
    );
}

async fn revoke(world: &World, name: &str) -> Result<Grant, Status> {
    let request = RevokeGrantRequest {
        name: name.into(),
        reason: "done".into(),
        etag: String::new(),
    };
    world
        .grants()
        .await
        .revoke_grant(request)
        .await
        .map(tonic::Response::into_inner)
}

/// The changes that the record tells of a grant.
async fn record(world: &World, name: &str) -> Vec<Change> {
    let events = world.all_events().await;
    let changes = events.into_iter().filter_map(|event| match event.kind {
        Some(Kind::GrantChanged(changed)) if changed.grant == name => {
            Change::try_from(changed.change).ok()
        }
        _ => None,
    });
    changes.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_name_of_somebody_is_the_same_person() {
    let world = World::with_policy().await;
    world.login("carol", false);
    let own = CreateGrantRequest {
        user: "carol2".into(),
        ..create()
    };
    let says = "ask another operator";
    refused(&world, own, Code::PermissionDenied, "OWN_GRANT", says).await;
    let hers = CreateGrantRequest {
        user: "alice2".into(),
        ..create()
    };
    let made = world.grants().await.create_grant(hers).await;
    assert_eq!(made.unwrap().into_inner().user, "alice");
}

#[tokio::test(flavor = "multi_thread")]
async fn absurd_requests_are_refused_and_leave_nothing_behind() {
    let world = World::with_policy().await;
    let bad = Code::InvalidArgument;
    let mut request = create();
    for (ttl, reason, says) in [
        (None, "INVALID_FIELD", "ttl"),
        (seconds(-5), "INVALID_FIELD", "negative"),
        (seconds(0), "INVALID_GRANT", "at least 1s"),
        (seconds(8 * 86_400), "INVALID_GRANT", "at most 7d"),
        (seconds(i64::MAX), "INVALID_GRANT", "at most 7d"),
    ] {
        request.ttl = ttl;
        refused(&world, request.clone(), bad, reason, says).await;
    }
    refused(
        &world,
        CreateGrantRequest {
            reason: "  ".into(),
            ..create()
        },
        bad,
        "INVALID_FIELD",
        "reason",
    )
    .await;
    let long = CreateGrantRequest {
        reason: "x".repeat(1_001),
        ..create()
    };
    refused(&world, long, bad, "INVALID_FIELD", "1001 bytes").await;
    let hostile = CreateGrantRequest {
        user: "alice\n\u{1b}[2J".into(),
        ..create()
    };
    refused(&world, hostile, bad, "INVALID_FIELD", "\\n").await;
    let nothing = CreateGrantRequest {
        permissions: vec![],
        ..create()
    };
    refused(
        &world,
        nothing,
        bad,
        "INVALID_GRANT",
        "at least one permission",
    )
    .await;
    let twice = CreateGrantRequest {
        permissions: vec!["db".into(), "prod/db".into()],
        ..create()
    };
    refused(&world, twice, bad, "INVALID_GRANT", "named twice").await;
    let id = CreateGrantRequest {
        request_id: "17".into(),
        ..create()
    };
    refused(&world, id, bad, "INVALID_FIELD", "request_id").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_users_hosts_and_permissions_are_not_found() {
    let world = World::with_policy().await;
    let mallory = CreateGrantRequest {
        user: "mallory".into(),
        ..create()
    };
    refused(
        &world,
        mallory,
        Code::NotFound,
        "UNKNOWN_USER",
        "user `mallory` is not known",
    )
    .await;
    let permission = CreateGrantRequest {
        permissions: vec!["dbb".into()],
        ..create()
    };
    refused(
        &world,
        permission,
        Code::NotFound,
        "UNKNOWN_PERMISSION",
        "there is prod/db, prod/nginx",
    )
    .await;
    let host = CreateGrantRequest {
        hosts: vec!["nowhere".into()],
        ..create()
    };
    refused(
        &world,
        host,
        Code::NotFound,
        "UNKNOWN_HOST",
        "host `nowhere`",
    )
    .await;
    let bob = CreateGrantRequest {
        user: "bob".into(),
        ..create()
    };
    refused(
        &world,
        bob,
        Code::FailedPrecondition,
        "NOT_A_SUBJECT",
        "`bob` is not a subject of policy `prod`",
    )
    .await;
    world.login("carol", false);
    let own = CreateGrantRequest {
        user: "carol".into(),
        ..create()
    };
    refused(
        &world,
        own,
        Code::PermissionDenied,
        "OWN_GRANT",
        "ask another operator",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_of_two_policies_has_to_be_written_out() {
    let world = World::with_policy().await;
    world.apply(&other_policy()).await.unwrap();
    let bad = Code::InvalidArgument;
    refused(
        &world,
        create(),
        bad,
        "AMBIGUOUS_PERMISSION",
        "other/db, prod/db",
    )
    .await;
    let plain = CreateGrantRequest {
        permissions: vec!["prod/db".into()],
        ..create()
    };
    let grant = world
        .grants()
        .await
        .create_grant(plain)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(grant.permissions, ["prod/db"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_revocation_names_who_revoked() {
    let world = World::with_policy().await;
    let grant = world
        .grants()
        .await
        .create_grant(create())
        .await
        .unwrap()
        .into_inner();
    world.login("carol", false);
    let stale = RevokeGrantRequest {
        name: grant.name.clone(),
        reason: "x".into(),
        etag: "9".into(),
    };
    failed(
        world.grants().await.revoke_grant(stale).await,
        Code::Aborted,
        "VERSION_CHANGED",
        "version 1",
    );
    let silent = RevokeGrantRequest {
        name: grant.name.clone(),
        ..Default::default()
    };
    failed(
        world.grants().await.revoke_grant(silent).await,
        Code::InvalidArgument,
        "INVALID_FIELD",
        "reason",
    );
    let revoked = revoke(&world, &grant.name).await.unwrap();
    assert_eq!(
        (revoked.state, revoked.revoked_by.as_str()),
        (State::Revoked.into(), "carol")
    );
    world.unpinned();
    failed(
        revoke(&world, &grant.name).await,
        Code::FailedPrecondition,
        "GRANT_OVER",
        "was revoked by carol",
    );
    assert_eq!(
        record(&world, &grant.name).await,
        [Change::Created, Change::Revoked]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_and_malformed_ids_are_told_apart() {
    let world = World::with_policy().await;
    let mut names = vec![];
    for _ in 0..3 {
        names.push(
            world
                .grants()
                .await
                .create_grant(create())
                .await
                .unwrap()
                .into_inner()
                .name,
        );
    }
    let get = async |name: &str| {
        let request = GetGrantRequest { name: name.into() };
        world
            .grants()
            .await
            .get_grant(request)
            .await
            .map(tonic::Response::into_inner)
    };
    failed(
        get("grants/00000000-0000-0000-0000-000000000000").await,
        Code::NotFound,
        "UNKNOWN_ID",
        "no id starts with",
    );
    failed(get("xyz").await, Code::InvalidArgument, "INVALID_ID", "xyz");
    failed(
        get("").await,
        Code::InvalidArgument,
        "INVALID_ID",
        "hexadecimal",
    );
    for name in &names {
        let prefix = &name["grants/".len()..][..12];
        assert_eq!(get(prefix).await.unwrap().name, *name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_is_the_same_grant_and_another_one_is_refused() {
    let world = World::with_policy().await;
    let request = CreateGrantRequest {
        request_id: "7b1f6a60-1f7c-4b7e-9c69-0f5a4a3c2d10".into(),
        ..create()
    };
    let mut grants = world.grants().await;
    let other = CreateGrantRequest {
        reason: "another".into(),
        ..request.clone()
    };
    let first = grants
        .create_grant(request.clone())
        .await
        .unwrap()
        .into_inner();
    let again = grants.create_grant(request).await.unwrap().into_inner();
    assert_eq!(
        (&first.name, &first.expire_time),
        (&again.name, &again.expire_time)
    );
    failed(
        grants.create_grant(other).await,
        Code::AlreadyExists,
        "REQUEST_ID_REUSED",
        "another grant",
    );
    assert_eq!(record(&world, &first.name).await, [Change::Created]);
}

#[tokio::test(flavor = "multi_thread")]
async fn validate_only_issues_nothing() {
    let world = World::with_policy().await;
    let request = CreateGrantRequest {
        validate_only: true,
        ..create()
    };
    let checked = world
        .grants()
        .await
        .create_grant(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(checked.permissions, ["prod/db"]);
    let all = world
        .grants()
        .await
        .list_grants(ListGrantsRequest {
            show_ended: true,
            ..Default::default()
        })
        .await;
    assert!(all.unwrap().into_inner().grants.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_ends_by_itself_with_a_record() {
    let world = World::with_policy().await;
    let mut host = HostStream::open(world.host_channel().await, hello(0)).await;
    let request = CreateGrantRequest {
        ttl: seconds(1),
        ..create()
    };
    let grant = world
        .grants()
        .await
        .create_grant(request)
        .await
        .unwrap()
        .into_inner();
    host.state_with(|state| state.leases.len() == 1).await;
    host.state_with(|state| state.leases.is_empty()).await;
    let get = GetGrantRequest {
        name: grant.name.clone(),
    };
    let ended = world
        .grants()
        .await
        .get_grant(get)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(ended.state, i32::from(State::Ended));
    assert!(ended.enforcement[0].removes);
    assert_eq!(
        record(&world, &grant.name).await,
        [Change::Created, Change::Ended]
    );
    failed(
        revoke(&world, &grant.name).await,
        Code::FailedPrecondition,
        "GRANT_OVER",
        "ended at",
    );
    let live = world
        .grants()
        .await
        .list_grants(ListGrantsRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert!(live.grants.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_page_newest_first_and_each_grant_once() {
    let world = World::with_policy().await;
    let mut made = vec![];
    for _ in 0..5 {
        made.push(
            world
                .grants()
                .await
                .create_grant(create())
                .await
                .unwrap()
                .into_inner()
                .name,
        );
    }
    made.reverse();
    let mut request = ListGrantsRequest {
        page_size: 2,
        ..Default::default()
    };
    let mut listed = vec![];
    loop {
        let page = world
            .grants()
            .await
            .list_grants(request.clone())
            .await
            .unwrap()
            .into_inner();
        assert!(page.grants.len() <= 2);
        listed.extend(page.grants.into_iter().map(|grant| grant.name));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
        let other = ListGrantsRequest {
            user: "dora".into(),
            ..request.clone()
        };
        failed(
            world.grants().await.list_grants(other).await,
            Code::InvalidArgument,
            "INVALID_FIELD",
            "page_token",
        );
    }
    assert_eq!(listed, made);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_waits_for_the_hosts_word_and_not_for_the_servers_yes() {
    use stayhand_guardrail::host::{Ack, Phase};
    use stayhand_proto::message::FromHost;

    let world = World::with_policy().await;
    let mut host = HostStream::open(world.host_channel().await, hello(0)).await;
    host.state().await;
    let grant = world
        .grants()
        .await
        .create_grant(create())
        .await
        .unwrap()
        .into_inner();
    let watch = WatchGrantRequest {
        name: grant.name.clone(),
    };
    let mut watch = world
        .grants()
        .await
        .watch_grant(watch)
        .await
        .unwrap()
        .into_inner();
    let mut phase = async || {
        watch
            .message()
            .await
            .unwrap()
            .unwrap()
            .enforcement
            .remove(0)
            .phase()
    };
    assert_eq!(phase().await, EnforcementPhase::Desired);
    let generation = host
        .state_with(|state| state.leases.len() == 1)
        .await
        .generation;
    for (said, seen) in [
        (Phase::Received, EnforcementPhase::Received),
        (
            Phase::Rejected {
                reasons: vec!["no room".into()],
            },
            EnforcementPhase::Rejected,
        ),
        (Phase::Enforced, EnforcementPhase::Enforced),
    ] {
        host.say(FromHost::from(Ack::new(generation, said))).await;
        let soon = tokio::time::timeout(Duration::from_secs(10), phase()).await;
        assert_eq!(soon.expect("the watch must wake"), seen);
    }
}
