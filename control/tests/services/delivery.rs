//! How states come to hosts: what differs where the agent understands that, whole where it does not, and what is taken back first.

use std::time::Duration;

use prost::Message as _;
use stayhand_guardrail::{
    host::{Ack, Phase},
    id::Generation,
    resource::StateDigest,
    time::{DurationMs, UnixMs},
};
use stayhand_proto::{
    message::{Delivery, FromHost, Hello, Misfitting, Relist, ToHostMessage, Withdrawal},
    protocol::{DELTAS, PROTOCOL, WITHDRAWALS},
    resources::Resources,
    v1::{
        self, EnforcementPhase, GetHostRequest, Host, ListHostsRequest, RevokeGrantRequest,
        SyncRequest, host_sync_service_client::HostSyncServiceClient,
    },
};
use tonic::Code;

use crate::{
    agent::{HostStream, hello},
    outsider::{self, Outsider},
    world::{World, create, failed, other_policy},
};

fn understands() -> Hello {
    Hello {
        protocol: PROTOCOL,
        capabilities: [DELTAS, WITHDRAWALS].map(str::to_owned).into(),
        ..hello(0)
    }
}

async fn next(stream: &mut HostStream) -> ToHostMessage {
    loop {
        match stream.next().await.unwrap().message {
            ToHostMessage::Bookmark { .. } => {}
            other => return other,
        }
    }
}

async fn delivery(stream: &mut HostStream) -> Delivery {
    match next(stream).await {
        ToHostMessage::Delivery(delivery) => delivery,
        other => panic!("{other:?}"),
    }
}

async fn withdrawal(stream: &mut HostStream) -> Withdrawal {
    match next(stream).await {
        ToHostMessage::Withdrawal(withdrawal) => withdrawal,
        other => panic!("{other:?}"),
    }
}

async fn enforced(stream: &HostStream, delivery: &Delivery, digest: StateDigest) {
    let ack = Ack {
        digest: Some(digest),
        ..Ack::new(delivery.to, Phase::Enforced)
    };
    let nonce = delivery.nonce;
    stream.say(FromHost::Ack { ack, nonce }).await;
}

async fn host(world: &World) -> Host {
    let name = format!("hosts/{}", world.host_name());
    let asked = world.hosts().await.get_host(GetHostRequest { name }).await;
    asked.unwrap().into_inner()
}

async fn until(world: &World, wanted: impl Fn(&Host) -> bool) -> Host {
    for _ in 0..200 {
        let seen = host(world).await;
        if wanted(&seen) {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("it never looked so: {:?}", host(world).await);
}

async fn revoke(world: &World, name: String) {
    let request = RevokeGrantRequest {
        name,
        reason: "done".into(),
        etag: String::new(),
    };
    world.grants().await.revoke_grant(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_differs_is_sent_and_what_the_host_says_that_it_enforces_is_shown() {
    let world = World::with_policy().await;
    let mut stream = HostStream::open(world.host_channel().await, understands()).await;
    let first = delivery(&mut stream).await;
    assert_eq!(first.from, None);
    let held = Resources::default()
        .taking(Generation(0), first.clone())
        .unwrap();
    enforced(&stream, &first, held.digest()).await;
    let created = world.grants().await.create_grant(create()).await.unwrap();
    let delta = delivery(&mut stream).await;
    assert_eq!((delta.from, delta.upserted.len()), (Some(first.to), 1));
    let held = held.taking(first.to, delta.clone()).unwrap();
    enforced(&stream, &delta, held.digest()).await;
    let seen = until(&world, |host| {
        host.delivery.as_ref().unwrap().enforced_generation == delta.to.0
    })
    .await;
    let shown = seen.delivery.unwrap();
    assert_eq!(shown.enforced_digest, held.digest().0);
    assert_eq!((shown.protocol, shown.relists), (PROTOCOL, 0));
    revoke(&world, created.into_inner().name).await;
    let gone = delivery(&mut stream).await;
    assert_eq!((gone.removed.len(), gone.upserted.len()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_overtakes_a_state_that_the_host_has_not_answered() {
    let world = World::with_policy().await;
    let grant = world.grants().await.create_grant(create()).await.unwrap();
    let mut stream = HostStream::open(world.host_channel().await, understands()).await;
    let first = delivery(&mut stream).await;
    // It says nothing: another policy waits, and what is taken back does not.
    world.apply(&other_policy()).await.unwrap();
    revoke(&world, grant.into_inner().name).await;
    let taken_back = withdrawal(&mut stream).await;
    assert_eq!(taken_back.grants.len(), 1);
    assert!(taken_back.generation > first.to);
    enforced(&stream, &first, first.digest_after).await;
    let then = delivery(&mut stream).await;
    assert_eq!((then.removed.len(), then.upserted.len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_counted_shown_and_followed_by_everything() {
    let world = World::with_policy().await;
    let mut stream = HostStream::open(world.host_channel().await, understands()).await;
    let first = delivery(&mut stream).await;
    let relist = Relist {
        nonce: first.nonce,
        why: Misfitting::Digest,
        held_generation: Generation(0),
        held_digest: Resources::default().digest(),
    };
    stream.say(FromHost::Relist(relist)).await;
    let again = delivery(&mut stream).await;
    assert_eq!((again.from, again.digest_after), (None, first.digest_after));
    enforced(&stream, &again, StateDigest::of_body(b"another")).await;
    let seen = until(&world, |host| host.delivery.as_ref().unwrap().relists == 2).await;
    let reason = seen.delivery.unwrap().relist_reason;
    assert!(reason.contains("it enforces"), "{reason}");
    assert_eq!(delivery(&mut stream).await.from, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn why_a_host_rejects_is_kept_by_resource() {
    let world = World::with_policy().await;
    let mut stream = HostStream::open(world.host_channel().await, understands()).await;
    let first = delivery(&mut stream).await;
    let error = stayhand_guardrail::resource::ResourceError {
        name: "policies/prod".into(),
        reason: "too long".into(),
    };
    let reasons = vec!["policy prod: too long".into()];
    let ack = Ack {
        errors: vec![error],
        ..Ack::new(first.to, Phase::Rejected { reasons })
    };
    let nonce = first.nonce;
    stream.say(FromHost::Ack { ack, nonce }).await;
    let rejected = |host: &Host| {
        let on = host.enforcement.as_ref().unwrap();
        on.phase() == EnforcementPhase::Rejected
    };
    let seen = until(&world, rejected).await.enforcement.unwrap();
    let named = &seen.errors[0];
    assert_eq!(
        (named.name.as_str(), named.reason.as_str()),
        ("policies/prod", "too long")
    );
}

/// What an agent from before deliveries reads, as it was then. Never generated: today's messages may change, these do not.
mod before {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct SyncResponse {
        #[prost(message, optional, tag = "2")]
        pub(super) state: Option<HostState>,
        #[prost(message, optional, tag = "3")]
        pub(super) bookmark: Option<Bookmark>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Bookmark {
        #[prost(uint64, tag = "1")]
        pub(super) generation: u64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct HostState {
        #[prost(uint64, tag = "1")]
        pub(super) generation: u64,
        #[prost(message, repeated, tag = "2")]
        pub(super) policies: Vec<PolicySource>,
        #[prost(message, repeated, tag = "3")]
        pub(super) leases: Vec<Lease>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct PolicySource {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(uint64, tag = "2")]
        pub(super) revision: u64,
        #[prost(string, tag = "3")]
        pub(super) source: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Lease {
        #[prost(string, tag = "1")]
        pub(super) grant: String,
        #[prost(string, tag = "2")]
        pub(super) user: String,
        #[prost(string, repeated, tag = "3")]
        pub(super) permissions: Vec<String>,
    }
}

/// The hello of an agent from before deliveries, byte by byte: version, kernel, boot, one hook, that it watches shadows.
const HELLO: &str = "\
0a420a05302e312e301206362e31322e301a2430303030303030302d303030302d303030302d303030302d3030303030\
30303030303031220966696c655f6f70656e4001";

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().map(|one| one.to_digit(16).unwrap()).collect();
    let pairs = digits.chunks(2);
    pairs
        .map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_from_before_deliveries_is_sent_whole_states_and_acknowledges_them_by_generation()
{
    let world = World::with_policy().await;
    let (up, requests) = tokio::sync::mpsc::channel(8);
    let first = SyncRequest::decode(bytes_of(HELLO).as_slice()).unwrap();
    up.send(first).await.unwrap();
    let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
    let mut client = HostSyncServiceClient::new(world.host_channel().await);
    let mut down = client.sync(requests).await.unwrap().into_inner();
    for leases in 0..3 {
        let state = loop {
            let wire = down.message().await.unwrap().unwrap().encode_to_vec();
            let read = before::SyncResponse::decode(wire.as_slice()).unwrap();
            assert!(
                read.state.is_some() || read.bookmark.is_some(),
                "it would hang up"
            );
            if let Some(state) = read.state {
                break state;
            }
        };
        assert_eq!((state.policies.len(), state.leases.len()), (1, leases));
        // `2: { 1: generation, 2: 3 }`
        let generation = u8::try_from(state.generation).unwrap();
        let ack = [0x12, 0x04, 0x08, generation, 0x10, 0x03];
        up.send(SyncRequest::decode(ack.as_slice()).unwrap())
            .await
            .unwrap();
        let seen = until(&world, |host| {
            host.enforcement.as_ref().unwrap().phase() == EnforcementPhase::Enforced
        })
        .await;
        assert_eq!(seen.delivery.unwrap().protocol, 0);
        world.grants().await.create_grant(create()).await.unwrap();
    }
}

async fn answered_beat(stream: &mut HostStream, generation: Generation) -> u64 {
    loop {
        match stream.next().await.unwrap().message {
            ToHostMessage::Bookmark {
                generation: of,
                beat,
                ..
            } if of == generation && beat != 0 => return beat,
            ToHostMessage::Bookmark { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn for_how_long_grants_count_is_sent_and_proven_and_operators_see_until_when() {
    let fresh_for = DurationMs::from_secs(120);
    let world = World::with(|config| config.delivery.freshness = Some(fresh_for)).await;
    world.apply(&other_policy()).await.unwrap();
    let mut stream = HostStream::open(world.host_channel().await, understands()).await;
    let first = delivery(&mut stream).await;
    let held = Resources::default()
        .taking(Generation(0), first.clone())
        .unwrap();
    let state = held.state(first.to, UnixMs(1)).unwrap();
    assert_eq!(state.fresh_for, Some(fresh_for));
    let beat = |beat| FromHost::Heartbeat {
        events_lost: 0,
        health: None,
        beat,
    };
    stream.say(beat(7)).await;
    let ack = Ack {
        digest: Some(held.digest()),
        fresh_for: Some(fresh_for),
        ..Ack::new(first.to, Phase::Enforced)
    };
    let nonce = first.nonce;
    stream.say(FromHost::Ack { ack, nonce }).await;
    assert_eq!(answered_beat(&mut stream, first.to).await, 7);
    stream.say(beat(9)).await;
    while answered_beat(&mut stream, first.to).await != 9 {}
    let shown = until(&world, |host| {
        host.enforcement.as_ref().unwrap().void_time.is_some()
    })
    .await;
    let (seen, void) = (
        shown.last_seen_time.unwrap(),
        shown.enforcement.unwrap().void_time.unwrap(),
    );
    assert_eq!(void.seconds, seen.seconds + 120);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_host_that_does_not_keep_to_it_no_time_is_promised() {
    let fresh_for = DurationMs::from_secs(120);
    let world = World::with(|config| config.delivery.freshness = Some(fresh_for)).await;
    let mut stream = HostStream::open(world.host_channel().await, understands()).await;
    let first = delivery(&mut stream).await;
    enforced(&stream, &first, first.digest_after).await;
    let shown = until(&world, |host| {
        host.delivery.as_ref().unwrap().enforced_generation == first.to.0
    })
    .await;
    assert_eq!(shown.enforcement.unwrap().void_time, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_too_old_is_refused_with_what_to_do() {
    let world = World::with(|config| config.delivery.oldest_protocol = PROTOCOL).await;
    let mut stream = HostStream::open(world.host_channel().await, hello(0)).await;
    let refused = stream.next().await;
    let remedy = stayhand_proto::failure::Failure::from(refused.as_ref().unwrap_err()).remedy;
    assert!(remedy.contains("install a newer"), "{remedy}");
    failed(
        refused,
        Code::FailedPrecondition,
        "AGENT_TOO_OLD",
        "speaks protocol 0",
    );
    let mut stream = HostStream::open(world.host_channel().await, understands()).await;
    delivery(&mut stream).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_joined_and_never_connected_is_listed_and_counts_where_it_enforces_nothing() {
    let world = outsider::world().await;
    let token = outsider::token(&world, v1::CreateJoinTokenRequest::default()).await;
    let member = Outsider::new("db1").join(&world, &token).await.unwrap();
    let list = || async {
        let mut hosts = world.hosts().await;
        let listed = hosts.list_hosts(ListHostsRequest::default()).await;
        listed.unwrap().into_inner().hosts
    };
    let listed = list().await;
    assert_eq!((listed.len(), listed[0].name.as_str()), (1, "hosts/db1"));
    assert!(listed[0].last_seen_time.is_none() && listed[0].delivery.is_none());
    assert!(!listed[0].online);
    let mut stream = HostStream::open(member.channel(&world).await, understands()).await;
    delivery(&mut stream).await;
    let listed = list().await;
    assert!(listed[0].online && listed[0].last_seen_time.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_that_no_state_can_carry_is_refused_with_the_word_that_says_it_and_with_no_other() {
    let world = World::with_policy().await;
    let endless = Some(DurationMs(u64::MAX));
    let hostile = Hello {
        fresh_for: endless,
        ..hello(0)
    };
    let mut stream = HostStream::open(world.host_channel().await, hostile).await;
    failed(
        stream.next().await,
        Code::InvalidArgument,
        "INVALID_FIELD",
        "fresh_for",
    );
    let mut stream = HostStream::open(world.host_channel().await, hello(0)).await;
    let generation = stream.state().await.generation;
    let hostile = Ack {
        fresh_for: endless,
        ..Ack::new(generation, Phase::Enforced)
    };
    let honest = Ack::new(generation, Phase::Received);
    for ack in [hostile, honest] {
        stream.say(ack.into()).await;
    }
    // Had the first one counted, the second would change nothing.
    until(&world, |host| {
        host.enforcement.as_ref().unwrap().phase() == EnforcementPhase::Received
    })
    .await;
}
