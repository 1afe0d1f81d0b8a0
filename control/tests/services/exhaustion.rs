//! Nobody uses up what there is for all: places, streams, memory, paces and the room in the store.

use std::time::{Duration, Instant};

use prost::bytes::Bytes;
use stayhand_control::limits::{
    CONNECTIONS_PER_CERTIFICATE_MAX, HOST_BATCHES_BURST, HOST_BATCHES_PER_SECOND,
    STREAMS_PER_CONNECTION_MAX, STREAMS_PER_HOST_MAX,
};
use stayhand_guardrail::{
    event::{AgentState, Event, EventKind},
    id::EventSeq,
    time::UnixMs,
};
use stayhand_proto::{
    limits::BATCH_EVENTS_MAX,
    v1::{
        self, CreateJoinTokenRequest, GetIdentityRequest, ListHostsRequest, PublishEventsRequest,
        WatchHoldsRequest, host_sync_service_client::HostSyncServiceClient,
    },
};
use tokio::{io::AsyncReadExt as _, net::TcpStream, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, transport::Channel};
use uuid::Uuid;

use crate::{
    agent::{EventStream, HostStream, hello},
    events::fill,
    outsider::{Outsider, reach, token, world},
    world::{PROD, World, create, failed},
};

fn event(seq: u64, detail: usize) -> v1::Event {
    let state = AgentState {
        version: "0".into(),
        enforced: true,
        detail: "x".repeat(detail),
    };
    let event = Event {
        host: "whoever".parse().unwrap(),
        boot_id: Uuid::from_u128(1),
        epoch: Uuid::from_u128(0xe),
        seq: EventSeq(seq),
        time: UnixMs(1_700_000_000_000),
        kind: EventKind::AgentStarted(state),
    };
    event.into()
}

/// Says one thing on a stream of events of its own, and what came of it.
async fn published(channel: Channel, request: PublishEventsRequest) -> Result<(), Status> {
    let mut client = HostSyncServiceClient::new(channel);
    let answers = client.publish_events(tokio_stream::once(request)).await?;
    answers.into_inner().message().await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_a_million_events_that_say_nothing_is_refused_before_one_is_read() {
    let world = World::new().await;
    let request = PublishEventsRequest {
        events: vec![Bytes::new(); 1_000_000],
    };
    let refused = published(world.host_channel().await, request).await;
    // Had one been read, it would be said that it has no number.
    let says = format!("1000000 events, more than the {BATCH_EVENTS_MAX}");
    failed(refused, Code::InvalidArgument, "INVALID_FIELD", &says);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_above_the_bound_of_hosts_is_not_taken_into_memory() {
    let world = World::new().await;
    let request = PublishEventsRequest {
        events: vec![Bytes::from(vec![0; 3 << 20])],
    };
    let refused = published(world.host_channel().await, request)
        .await
        .unwrap_err();
    assert!(refused.message().contains("too large"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_call_is_told_so_before_what_they_say_is_read() {
    let world = World::with_policy().await;
    world.login("ann", false);
    // Neither a grant nor anything else: read, it would be an error of its own.
    let refused = garbage(
        world.channel().await,
        "/stayhand.v1.GrantService/CreateGrant",
    )
    .await;
    failed(
        refused,
        Code::PermissionDenied,
        "NOT_AN_OPERATOR",
        "grant.create",
    );
    world.login("alice", true);
    let refused = garbage(
        world.channel().await,
        "/stayhand.v1.GrantService/CreateGrant",
    )
    .await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    // An operator's words are read.
    world.login("carol", false);
    let unread = garbage(
        world.channel().await,
        "/stayhand.v1.GrantService/CreateGrant",
    )
    .await;
    assert_eq!(unread.unwrap_err().code(), Code::Internal);
    let unknown = garbage(world.channel().await, "/stayhand.v1.GrantService/Take").await;
    assert_eq!(unknown.unwrap_err().code(), Code::Unimplemented);
}

/// Calls with a message that says its first field, a text, is a number.
async fn garbage(channel: Channel, path: &'static str) -> Result<(), Status> {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Garbage {
        #[prost(uint64, tag = "1")]
        number: u64,
    }
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<Garbage, v1::GetIdentityResponse>::default();
    let request = tonic::Request::new(Garbage { number: 7 });
    let path = tonic::codegen::http::uri::PathAndQuery::from_static(path);
    client.unary(request, path, codec).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_has_a_bounded_number_of_streams_and_another_host_its_own() {
    let world = world().await;
    let any = CreateJoinTokenRequest::default;
    let (first, second) = (token(&world, any()).await, token(&world, any()).await);
    let one = Outsider::new("db1").join(&world, &first).await.unwrap();
    let other = Outsider::new("db2").join(&world, &second).await.unwrap();
    let mut open = vec![];
    for half in [0, 1] {
        let channel = one.channel(&world).await;
        for _ in 0..STREAMS_PER_HOST_MAX / 2 {
            open.push(EventStream::open(channel.clone()).await);
        }
        // Its places are not by connection.
        assert_eq!(open.len(), (half + 1) * STREAMS_PER_HOST_MAX / 2);
    }
    let channel = one.channel(&world).await;
    let (_up, requests) = mpsc::channel::<PublishEventsRequest>(1);
    let refused = HostSyncServiceClient::new(channel.clone())
        .publish_events(ReceiverStream::new(requests))
        .await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    let mut stream = EventStream::open(other.channel(&world).await).await;
    assert_eq!(stream.publish(vec![event(1, 1)]).await.unwrap(), 1);
    // One that is given up is free again, as soon as that is noticed.
    open.pop();
    for _ in 0..100 {
        let (_up, requests) = mpsc::channel::<PublishEventsRequest>(1);
        let mut client = HostSyncServiceClient::new(channel.clone());
        if client
            .publish_events(ReceiverStream::new(requests))
            .await
            .is_ok()
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the place of a stream that ended was not given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_has_a_bounded_number_of_calls_at_once() {
    let world = World::new().await;
    let holds = world.holds().await;
    let mut open = vec![];
    for _ in 0..STREAMS_PER_CONNECTION_MAX {
        let mut holds = holds.clone();
        open.push(
            holds
                .watch_holds(WatchHoldsRequest::default())
                .await
                .unwrap(),
        );
    }
    // It waits at this end: the server has said how many it takes.
    let mut one_more = Box::pin(async {
        let mut holds = holds.clone();
        holds.watch_holds(WatchHoldsRequest::default()).await
    });
    let waited = tokio::time::timeout(Duration::from_millis(500), &mut one_more).await;
    assert!(waited.is_err(), "a call too many was served");
    drop(open);
    one_more.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_certificate_has_a_bounded_number_of_connections() {
    let world = world().await;
    let asked = token(&world, CreateJoinTokenRequest::default()).await;
    let host = Outsider::new("db1").join(&world, &asked).await.unwrap();
    let mut open = vec![];
    for _ in 0..CONNECTIONS_PER_CERTIFICATE_MAX {
        let channel = host.channel(&world).await;
        open.push(HostStream::open(channel, hello(0)).await);
    }
    let one_more = match reach(&world, host.config()).await {
        Ok(dialled) => published(dialled.channel, PublishEventsRequest::default()).await,
        Err(_) => return,
    };
    assert!(one_more.is_err(), "a connection too many was served");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_does_not_begin_is_over_soon() {
    let world = world().await;
    let mut silent = TcpStream::connect(world.network()).await.unwrap();
    let mut answer = vec![];
    let closed = tokio::time::timeout(Duration::from_mins(1), silent.read_to_end(&mut answer));
    // Closed by the other end, with or without a word.
    let _closed = closed.await.expect("the handshake has a time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_sends_without_end_gets_its_pace_and_no_more() {
    let world = World::new().await;
    let mut stream = EventStream::open(world.host_channel().await).await;
    let more = 100;
    let start = Instant::now();
    for seq in 1..=u64::from(HOST_BATCHES_BURST + more) {
        stream.publish(vec![event(seq, 1)]).await.unwrap();
    }
    // One is asked for in advance.
    let least = Duration::from_secs(1) * (more - 2) / HOST_BATCHES_PER_SECOND;
    assert!(
        start.elapsed() >= least,
        "{:?} < {least:?}",
        start.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_hosts_have_filled_takes_what_people_change() {
    let world = World::with(|config| config.state.database_mib_max = Some(8)).await;
    world.apply(PROD).await.unwrap();
    let mut sync = HostStream::open(world.host_channel().await, hello(0)).await;
    sync.state().await;
    let mut stream = EventStream::open(world.host_channel().await).await;
    let acknowledged = fill(&mut stream).await;
    assert!(acknowledged > 100, "{acknowledged}");
    let grant = world.grants().await.create_grant(create()).await.unwrap();
    let name = grant.into_inner().name;
    let revoke = v1::RevokeGrantRequest {
        name,
        reason: "enough".into(),
        ..Default::default()
    };
    world.grants().await.revoke_grant(revoke).await.unwrap();
    // And its host hears of it: that its events have no room ends none of its streams.
    sync.state_with(|state| state.leases.is_empty()).await;
    let one_more = stream.publish(vec![event(acknowledged + 1, 1)]);
    let waits = tokio::time::timeout(Duration::from_secs(3), one_more).await;
    assert!(waits.is_err(), "{waits:?}");
    let mut hosts = world.hosts().await;
    let hosts = hosts.list_hosts(ListHostsRequest::default()).await.unwrap();
    assert_eq!(hosts.into_inner().hosts.len(), 1);
    let mut identity =
        v1::identity_service_client::IdentityServiceClient::new(world.channel().await);
    identity.get_identity(GetIdentityRequest {}).await.unwrap();
}
