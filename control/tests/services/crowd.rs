//! Many hosts at once: what they say is committed together, and nobody pays for another; operators wait for no queue of them.

use std::sync::{Arc, Mutex};

use stayhand_control::store::{StateDir, Store};
use stayhand_guardrail::{
    host::{Ack, Phase},
    id::Generation,
};
use stayhand_proto::{
    limits::{BATCH_BYTES_MAX, HOST_MESSAGE_BYTES_MAX},
    message::FromHost,
    v1::{
        self, CreateJoinTokenRequest, EnforcementPhase, ListHostsRequest, SyncRequest,
        WatchGrantRequest, host_sync_service_client::HostSyncServiceClient, sync_request::Message,
    },
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use crate::{
    agent::{EventStream, HostStream, hello},
    outsider::{Member, Outsider, token, world},
    world::{PROD, World, create, failed},
};

/// Hosts of a crowd: enough that some of what they say comes together.
const HOSTS: u32 = 24;

async fn crowd(world: &World) -> Vec<Member> {
    let ask = CreateJoinTokenRequest {
        uses: HOSTS,
        ..Default::default()
    };
    let (token, mut members) = (token(world, ask).await, vec![]);
    for number in 0..HOSTS {
        let host = Outsider::new(&format!("db{number}"));
        members.push(host.join(world, &token).await.unwrap());
    }
    members
}

async fn all<T: Send + 'static>(
    tasks: impl Iterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let tasks: Vec<_> = tasks.map(tokio::spawn).collect();
    let mut done = vec![];
    for task in tasks {
        done.push(task.await.unwrap());
    }
    done
}

#[tokio::test]
async fn an_operators_change_waits_for_no_queue_of_hosts() {
    let directory = tempfile::tempdir().unwrap();
    let state = StateDir::acquire(directory.path()).unwrap();
    let store = Store::open(state, "control".parse().unwrap(), uuid::Uuid::nil(), None);
    let store = Arc::new(store.await.unwrap());
    let writing = store.begin().await.unwrap();
    let order = Arc::new(Mutex::new(vec![]));
    let mut tasks = tokio::task::JoinSet::new();
    for host in 0..50 {
        let (store, order) = (Arc::clone(&store), Arc::clone(&order));
        tasks.spawn(async move {
            let write = store.begin_for_host().await.unwrap();
            order.lock().unwrap().push(Some(host));
            write.commit().await.unwrap();
        });
    }
    // One thread: after this every one of them waits.
    tokio::task::yield_now().await;
    let (operators, operators_order) = (Arc::clone(&store), Arc::clone(&order));
    tasks.spawn(async move {
        let write = operators.begin().await.unwrap();
        operators_order.lock().unwrap().push(None);
        write.commit().await.unwrap();
    });
    tokio::task::yield_now().await;
    writing.commit().await.unwrap();
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let order = order.lock().unwrap();
    assert_eq!(order.len(), 51, "everybody had a turn");
    let at = order.iter().position(Option::is_none).unwrap();
    assert!(at <= 2, "{at} hosts were served before the operator");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_host_is_refused_spoils_no_other_hosts_word() {
    let world = world().await;
    world.apply(PROD).await.unwrap();
    let mut streams = vec![];
    for (number, member) in crowd(&world).await.into_iter().enumerate() {
        streams.push((number, member.channel(&world).await));
    }
    // Every third one says what cannot be.
    let first = all(streams.into_iter().map(|(number, channel)| async move {
        let wrong = number % 3 == 0;
        let hello = hello(if wrong { u64::MAX } else { 0 });
        let mut stream = HostStream::open(channel, hello).await;
        (wrong, stream.next().await, stream)
    }))
    .await;
    let mut served = vec![];
    for (wrong, first, stream) in first {
        if wrong {
            failed(
                first,
                Code::FailedPrecondition,
                "IMPLAUSIBLE_GENERATION",
                "cannot be",
            );
        } else {
            first.unwrap();
            served.push(stream);
        }
    }
    let hosts = world
        .hosts()
        .await
        .list_hosts(ListHostsRequest::default())
        .await;
    let hosts = hosts.unwrap().into_inner().hosts;
    let heard = |host: &&v1::Host| host.last_seen_time.is_some();
    assert_eq!(
        hosts.iter().filter(heard).count(),
        served.len(),
        "whoever was refused left nothing"
    );
    assert!(hosts.iter().filter(heard).all(|host| host.online));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_hosts_word_is_counted_once_it_is_committed_and_only_its_own() {
    let world = world().await;
    world.apply(PROD).await.unwrap();
    let mut channels = vec![];
    for member in crowd(&world).await {
        channels.push(member.channel(&world).await);
    }
    let mut streams = all(channels.into_iter().map(|channel| async move {
        let mut stream = HostStream::open(channel, hello(0)).await;
        stream.state().await;
        stream
    }))
    .await;
    let grant = world.grants().await.create_grant(create()).await.unwrap();
    let name = grant.into_inner().name;
    // The last one says nothing of what it enforces.
    let silent = streams.pop().unwrap();
    let kept = all(streams.into_iter().map(|mut stream| async move {
        let state = stream.state_with(|state| !state.leases.is_empty()).await;
        for phase in [Phase::Received, Phase::Enforced] {
            let ack = Ack::new(state.generation, phase);
            stream.say(FromHost::Ack { ack, nonce: 0 }).await;
        }
        stream
    }))
    .await;
    let mut watch = world
        .grants()
        .await
        .watch_grant(WatchGrantRequest { name })
        .await
        .unwrap()
        .into_inner();
    loop {
        let seen = watch.message().await.unwrap().unwrap().enforcement;
        assert_eq!(seen.len(), kept.len() + 1);
        let enforced = seen
            .iter()
            .filter(|on| on.phase() == EnforcementPhase::Enforced);
        let enforced = enforced.count();
        assert!(enforced <= kept.len(), "the silent one is not counted");
        if enforced == kept.len() {
            break;
        }
    }
    drop((kept, silent));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_on_one_host_wakes_no_other() {
    let world = world().await;
    world.apply(PROD).await.unwrap();
    let members = crowd(&world).await;
    let mut one = HostStream::open(members[0].channel(&world).await, hello(0)).await;
    let mut other = HostStream::open(members[1].channel(&world).await, hello(0)).await;
    let before = (one.state().await.generation, other.state().await.generation);
    let ask = v1::CreateGrantRequest {
        hosts: vec!["db0".into()],
        ..create()
    };
    let grant = world
        .grants()
        .await
        .create_grant(ask)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(one.state().await.leases.len(), 1);
    let revoke = v1::RevokeGrantRequest {
        name: grant.name,
        reason: "over".into(),
        ..Default::default()
    };
    world.grants().await.revoke_grant(revoke).await.unwrap();
    assert!(one.state().await.leases.is_empty());
    // The next state of the other is of what concerns it, and of nothing between.
    world.grants().await.create_grant(create()).await.unwrap();
    let (first, second) = (one.state().await, other.state().await);
    assert_eq!(first.generation, second.generation);
    assert_eq!(second.leases.len(), 1);
    assert_eq!(second.generation, Generation(before.1.0 + 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hosts_message_is_bounded_and_a_full_batch_is_within() {
    let world = world().await;
    let members = crowd(&world).await;
    let (up, messages) = tokio::sync::mpsc::channel(4);
    let ack = |bytes: usize| SyncRequest {
        message: Some(Message::Acknowledgement(v1::Acknowledgement {
            generation: 1,
            phase: EnforcementPhase::Rejected.into(),
            reasons: vec!["x".repeat(bytes)],
            ..Default::default()
        })),
    };
    up.send(FromHost::Hello(hello(0)).into()).await.unwrap();
    up.send(ack(HOST_MESSAGE_BYTES_MAX)).await.unwrap();
    let mut client = HostSyncServiceClient::new(members[0].channel(&world).await)
        .max_encoding_message_size(64 << 20);
    let stream = client.sync(ReceiverStream::new(messages)).await;
    let mut stream = stream.unwrap().into_inner();
    let end = loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it has to say why"),
            Err(status) => break status,
        }
    };
    assert_eq!(end.code(), Code::OutOfRange, "{end:?}");
    let mut events = EventStream::open(members[1].channel(&world).await).await;
    let event = |sequence: u64, bytes: usize| v1::Event {
        epoch: uuid::Uuid::from_u128(7).to_string(),
        boot_id: uuid::Uuid::from_u128(8).to_string(),
        time: Some(prost_types::Timestamp {
            seconds: 1_700_000_000,
            nanos: 0,
        }),
        sequence,
        kind: Some(v1::event::Kind::Agent(v1::AgentEvent {
            detail: "x".repeat(bytes),
            ..Default::default()
        })),
        ..Default::default()
    };
    let batch: Vec<v1::Event> = (1..=256)
        .map(|sequence| event(sequence, BATCH_BYTES_MAX / 256))
        .collect();
    assert_eq!(events.publish(batch).await.unwrap(), 256);
}

/// Whoever acts for a host says so by its witness.
#[test]
fn nothing_that_a_host_says_stands_in_the_operators_queue() {
    let use_cases = concat!(env!("CARGO_MANIFEST_DIR"), "/src/app");
    let mut for_hosts = 0;
    for file in std::fs::read_dir(use_cases).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let source = std::fs::read_to_string(&path).unwrap();
        for function in source.split("async fn ").skip(1) {
            let (head, body) = function.split_once('{').unwrap_or((function, ""));
            if head.contains("&HostAgent") {
                for_hosts += 1;
                let name = head.split('(').next().unwrap_or_default();
                assert!(!body.contains(".begin()"), "{}: {name}", path.display());
            }
        }
    }
    assert!(for_hosts > 4, "it looks for the wrong thing");
}
