//! The host's stream: the newest state and no older one, the host's words, nothing that a message claims.

use std::time::Duration;

use stayhand_guardrail::{
    host::{Ack, Phase},
    id::{AuthoritiesRevision, Generation},
};
use stayhand_proto::{
    message::{FromHost, Hello, HostHealth, ToHostMessage},
    v1::{EnforcementPhase, GetHostRequest, Host, ListHostsRequest, SyncRequest},
};
use tonic::Code;

use crate::{
    agent::{HostStream, hello},
    world::{World, create, failed, other_policy},
};

async fn host(world: &World) -> Host {
    let request = GetHostRequest {
        name: format!("hosts/{}", world.host_name()),
    };
    world
        .hosts()
        .await
        .get_host(request)
        .await
        .unwrap()
        .into_inner()
}

/// Waits until the host looks so.
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

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_does_not_begin_with_hello_is_ended() {
    let world = World::new().await;
    let mut client = stayhand_proto::v1::host_sync_service_client::HostSyncServiceClient::new(
        world.host_channel().await,
    );
    let first = SyncRequest::from(FromHost::Heartbeat {
        events_lost: 0,
        health: None,
        beat: 0,
    });
    let mut stream = client
        .sync(tokio_stream::iter([first]))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        stream.message().await.unwrap_err().code(),
        Code::InvalidArgument
    );
    let none = world
        .hosts()
        .await
        .list_hosts(ListHostsRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert!(none.hosts.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_implausible_generation_is_refused() {
    let world = World::new().await;
    let mut stream = HostStream::open(world.host_channel().await, hello(u64::MAX)).await;
    failed(
        stream.next().await,
        Code::FailedPrecondition,
        "IMPLAUSIBLE_GENERATION",
        "cannot be",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_host_is_not_found() {
    let world = World::new().await;
    let missing = world
        .hosts()
        .await
        .get_host(GetHostRequest {
            name: "hosts/nowhere".into(),
        })
        .await;
    failed(missing, Code::NotFound, "UNKNOWN_HOST", "nowhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_on_a_generation_that_nobody_published_counts_as_none() {
    let world = World::with_policy().await;
    let mut stream = HostStream::open(world.host_channel().await, hello(0)).await;
    let generation = stream.state().await.generation;
    let ahead = Ack::new(Generation(generation.0 + 100), Phase::Enforced);
    stream.say(ahead.into()).await;
    stream
        .say(FromHost::from(Ack::new(generation, Phase::Received)))
        .await;
    let seen = until(&world, |host| host.enforcement.as_ref().unwrap().phase != 1).await;
    assert_eq!(
        seen.enforcement.unwrap().phase(),
        EnforcementPhase::Received
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_lost_its_hooks_is_shown_so_and_an_agent_that_does_not_say_changes_nothing() {
    let world = World::with_policy().await;
    let mut stream = HostStream::open(world.host_channel().await, hello(0)).await;
    stream.state().await;
    let beat = |health: Option<HostHealth>| FromHost::Heartbeat {
        events_lost: 0,
        health,
        beat: 0,
    };
    let lost = HostHealth {
        hooks: vec![],
        hooks_gone: vec!["file_open".into()],
        problems: vec!["NOT\u{1b}[2J ENFORCED".into()],
    };
    stream.say(beat(Some(lost))).await;
    let seen = until(&world, |host| host.hooks.is_empty()).await;
    assert_eq!(seen.hooks_gone, ["file_open"]);
    assert!(!seen.problems[0].contains('\u{1b}'), "{:?}", seen.problems);
    stream
        .say(FromHost::Heartbeat {
            events_lost: 9,
            health: None,
            beat: 0,
        })
        .await;
    let seen = until(&world, |host| host.events_lost == 9).await;
    assert_eq!(seen.hooks_gone, ["file_open"]);
    // A new agent's hello counts from the start.
    drop(stream);
    let _stream = HostStream::open(world.host_channel().await, hello(0)).await;
    until(&world, |host| {
        !host.hooks.is_empty() && host.hooks_gone.is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_says_at_length_is_cut_and_what_is_left_out_is_counted() {
    let world = World::with_policy().await;
    let long = |character: &str| vec![character.repeat(700); 1_000];
    let wordy = Hello {
        agent_version: "1".repeat(8_000),
        kernel_release: "6".repeat(8_000),
        hooks: long("h"),
        floor: long("f"),
        ..hello(0)
    };
    let mut stream = HostStream::open(world.host_channel().await, wordy).await;
    stream.state().await;
    let seen = until(&world, |host| !host.hooks.is_empty()).await;
    let is_cut = |texts: &[String], items: usize, chars: usize| {
        let (more, shown) = texts.split_last().unwrap();
        assert_eq!(shown.len(), items);
        assert_eq!(*more, format!("and {} more", 1_000 - items));
        assert!(shown.iter().all(|text| text.chars().count() == chars));
    };
    is_cut(&seen.hooks, 128, 200);
    is_cut(&seen.floor, 32, 200);
    for fact in [&seen.agent_version, &seen.kernel_release] {
        assert_eq!(fact.chars().count(), 200);
    }
    let health = HostHealth {
        hooks: vec![],
        hooks_gone: long("g"),
        problems: long("p"),
    };
    let beat = FromHost::Heartbeat {
        events_lost: 0,
        health: Some(health),
        beat: 0,
    };
    stream.say(beat).await;
    let seen = until(&world, |host| !host.hooks_gone.is_empty()).await;
    is_cut(&seen.hooks_gone, 128, 200);
    is_cut(&seen.problems, 21, 500);
    let bytes = prost::Message::encoded_len(&seen);
    assert!(bytes < 64 << 10, "{bytes} bytes of one host");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_cannot_be_read_does_not_end_the_stream() {
    let world = World::with_policy().await;
    let mut stream = HostStream::open(world.host_channel().await, hello(0)).await;
    stream.state().await;
    stream.say_raw(SyncRequest { message: None }).await;
    world.apply(&other_policy()).await.unwrap();
    assert_eq!(stream.state().await.policies.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_stream_takes_over() {
    let world = World::new().await;
    let mut old = HostStream::open(world.host_channel().await, hello(0)).await;
    old.state().await;
    let mut new = HostStream::open(world.host_channel().await, hello(0)).await;
    new.state().await;
    let end = loop {
        if let Err(status) = old.next().await {
            break status;
        }
    };
    assert_eq!(end.code(), Code::Aborted);
    assert!(host(&world).await.online);
    drop(new);
    until(&world, |host| !host.online).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_has_the_newest_state_gets_only_bookmarks() {
    let world = World::with_policy().await;
    let mut stream = HostStream::open(world.host_channel().await, hello(0)).await;
    let generation = stream.state().await.generation;
    drop(stream);
    let mut stream = HostStream::open(world.host_channel().await, hello(generation.0)).await;
    assert_eq!(
        stream.next().await.unwrap().message,
        ToHostMessage::Bookmark {
            generation,
            authorities: AuthoritiesRevision(1),
            digest: None,
            beat: 0,
        }
    );
    world.grants().await.create_grant(create()).await.unwrap();
    let next = stream.state().await;
    assert!(next.generation > generation);
    assert_eq!(next.leases.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_nobody_took_coalesce_to_the_newest_state() {
    let world = World::with_policy().await;
    let mut stream = HostStream::open(world.host_channel().await, hello(0)).await;
    let mut newest = stream.state().await.generation;
    for _ in 0..40 {
        world.grants().await.create_grant(create()).await.unwrap();
    }
    loop {
        let state = stream.state().await;
        assert!(state.generation > newest, "never an older one");
        newest = state.generation;
        if state.leases.len() == 40 {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_ahead_of_a_restored_store_is_overtaken() {
    let world = World::with_policy().await;
    let mut stream = HostStream::open(world.host_channel().await, hello(5_000)).await;
    let state = stream.state().await;
    assert!(state.generation > Generation(5_000));
    assert_eq!(state.policies.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_of_another_store_gets_this_ones_state_even_under_the_same_number() {
    let world = World::with_policy().await;
    let mut stream = HostStream::open(world.host_channel().await, hello(2)).await;
    let state = stream.state().await;
    assert!(state.generation > Generation(2));
    assert_eq!(state.policies.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reboot_takes_enforced_back_until_the_host_says_it_again() {
    let world = World::with_policy().await;
    let mut stream = HostStream::open(world.host_channel().await, hello(0)).await;
    let generation = stream.state().await.generation;
    stream
        .say(FromHost::from(Ack::new(generation, Phase::Enforced)))
        .await;
    let seen = until(&world, |host| {
        host.enforcement.as_ref().unwrap().phase() == EnforcementPhase::Enforced
    })
    .await;
    assert_eq!(
        (seen.agent_version.as_str(), seen.hooks.len(), seen.online),
        ("0.1.0-test", 1, true)
    );
    drop(stream);
    let rebooted = stayhand_proto::message::Hello {
        boot_id: uuid::Uuid::from_u128(2),
        ..hello(0)
    };
    let mut stream = HostStream::open(world.host_channel().await, rebooted).await;
    assert_eq!(stream.state().await.generation, generation);
    assert_ne!(
        host(&world).await.enforcement.unwrap().phase(),
        EnforcementPhase::Enforced
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_control_plane_publishes_the_same_generation() {
    let mut world = World::with_policy().await;
    let mut stream = HostStream::open(world.host_channel().await, hello(0)).await;
    let before = stream.state().await;
    world.stop().await;
    let end = loop {
        if let Err(status) = stream.next().await {
            break status;
        }
    };
    assert_eq!(end.code(), Code::Unavailable, "{end:?}");
    world.start().await;
    let mut stream = HostStream::open(world.host_channel().await, hello(0)).await;
    assert_eq!(stream.state().await, before);
}
