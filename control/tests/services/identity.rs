//! Who may act is decided by the kernel's pin and the configuration, never by a uid or a message.

use stayhand_proto::{
    message::Identity,
    v1::{ListGrantsRequest, SyncRequest, host_sync_service_client::HostSyncServiceClient},
};
use tonic::Code;

use crate::world::{PROD, World, create, failed};

#[tokio::test(flavor = "multi_thread")]
async fn a_guarded_subject_is_no_operator_even_as_root() {
    let world = World::with_policy().await;
    world.login("alice", true);
    let refused = world.grants().await.create_grant(create()).await;
    let says =
        "`alice` is guarded on this host and cannot act as operator here; ask another approver";
    failed(refused, Code::PermissionDenied, "GUARDED", says);
    world.login("root", true);
    let refused = world
        .grants()
        .await
        .list_grants(ListGrantsRequest::default())
        .await;
    failed(
        refused,
        Code::PermissionDenied,
        "GUARDED",
        "`root` is guarded",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_of_a_policy_that_no_agent_enforces_yet_is_no_operator() {
    let world = World::with(|config| config.operators.users.push("alice".parse().unwrap())).await;
    world.login("alice", false);
    world
        .grants()
        .await
        .list_grants(ListGrantsRequest::default())
        .await
        .expect("nothing guards alice yet");
    world.apply(PROD).await.unwrap();
    let refused = world
        .grants()
        .await
        .list_grants(ListGrantsRequest::default())
        .await;
    failed(
        refused,
        Code::PermissionDenied,
        "GUARDED",
        "`alice` is guarded",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_under_another_name_is_no_operator() {
    let world = World::new().await;
    let policy = PROD.replace("users: [alice]", "users: [carol2]");
    world.apply(&policy).await.unwrap();
    world.login("carol", false);
    let refused = world
        .grants()
        .await
        .list_grants(ListGrantsRequest::default())
        .await;
    failed(
        refused,
        Code::PermissionDenied,
        "GUARDED",
        "`carol` is guarded",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn identity_is_looked_at_again_for_every_call_of_a_connection() {
    let world = World::with_policy().await;
    let mut grants = world.grants().await;
    grants
        .list_grants(ListGrantsRequest::default())
        .await
        .unwrap();
    world.login("alice", true);
    failed(
        grants.list_grants(ListGrantsRequest::default()).await,
        Code::PermissionDenied,
        "GUARDED",
        "alice",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_is_no_operator_is_refused_by_name() {
    let world = World::new().await;
    world.login("bob", false);
    let refused = world.grants().await.create_grant(create()).await;
    failed(
        refused,
        Code::PermissionDenied,
        "NOT_AN_OPERATOR",
        "`bob` is no operator",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_uid_without_a_name_is_refused() {
    let world = World::new().await;
    let subject = stayhand_guardrail::subject::Subject {
        auid: 4_711,
        user: None,
        session: None,
    };
    world.agent.says(Identity {
        subject: Some(subject),
        guarded: false,
    });
    let refused = world
        .grants()
        .await
        .list_grants(ListGrantsRequest::default())
        .await;
    failed(refused, Code::PermissionDenied, "NAMELESS", "uid 4711");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_agent_operators_are_refused_with_a_remedy() {
    let world = World::new().await;
    world.kill_agent().await;
    let refused = world
        .grants()
        .await
        .list_grants(ListGrantsRequest::default())
        .await;
    let failure = failed(
        refused,
        Code::Unavailable,
        "IDENTITY_UNAVAILABLE",
        "agent.sock",
    );
    assert!(
        failure.remedy.contains("start stayhand-agent"),
        "{failure:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guarded_process_is_no_agent() {
    let world = World::with_policy().await;
    world.login("alice", true);
    let mut client = HostSyncServiceClient::new(world.host_channel().await);
    let refused = client
        .sync(tokio_stream::iter(Vec::<SyncRequest>::new()))
        .await;
    failed(refused, Code::PermissionDenied, "NOT_AN_AGENT", "alice");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_socket_has_no_host_service_and_the_other_way_round() {
    let world = World::new().await;
    let mut hosts = HostSyncServiceClient::new(world.channel().await);
    let nothing = hosts
        .sync(tokio_stream::iter(Vec::<SyncRequest>::new()))
        .await;
    assert_eq!(nothing.unwrap_err().code(), Code::Unimplemented);
    let mut grants = stayhand_proto::v1::grant_service_client::GrantServiceClient::new(
        world.host_channel().await,
    );
    let nothing = grants.list_grants(ListGrantsRequest::default()).await;
    assert_eq!(nothing.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_an_operator_group_and_unpinned_root_are_operators() {
    let world = World::new().await;
    for identify in [World::unpinned as fn(&World), |world| {
        world.login("carol", false);
    }] {
        identify(&world);
        world
            .grants()
            .await
            .list_grants(ListGrantsRequest::default())
            .await
            .unwrap();
    }
}
