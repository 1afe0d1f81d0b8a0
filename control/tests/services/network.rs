//! Hosts over the network: who gets in and who does not, and that nobody speaks for another.

use std::time::Duration;

use stayhand_control::limits::JOINS_AGAIN_MAX;
use stayhand_proto::v1::{
    self, CreateJoinTokenRequest, GetHostRequest, JoinRequest, ListJoinTokensRequest,
    RevokeJoinTokenRequest, SyncRequest, event::Kind,
    host_sync_service_client::HostSyncServiceClient, join_service_client::JoinServiceClient,
    join_token_changed_event::Change,
};
use stayhand_transport::{Key, Pin, Secret, joining, member};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::Code;

use crate::{
    agent::{EventStream, HostStream, hello},
    outsider::{Member, Outsider, reach, token, world},
    world::{World, failed, seconds},
};

fn any() -> CreateJoinTokenRequest {
    CreateJoinTokenRequest::default()
}

fn only(host: &str, replace: bool) -> CreateJoinTokenRequest {
    CreateJoinTokenRequest {
        host: format!("hosts/{host}"),
        replace,
        ..any()
    }
}

async fn refusals(world: &World) -> Vec<v1::JoinTokenChangedEvent> {
    let events = world.all_events().await.into_iter();
    let changes = events.filter_map(|event| match event.kind {
        Some(Kind::JoinTokenChanged(change)) => Some(change),
        _ => None,
    });
    changes
        .filter(|change| change.change() == Change::Refused)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_token_is_worth_nothing_twice() {
    let world = world().await;
    let token = token(&world, any()).await;
    let (first, thief) = (Outsider::new("db1"), Outsider::new("db2"));
    first.join(&world, &token).await.unwrap();
    for _ in 0..3 {
        let refused = thief.join(&world, &token).await;
        failed(
            refused,
            Code::PermissionDenied,
            "JOIN_TOKEN_REFUSED",
            "was used",
        );
    }
    // Under the same name, too: it does not have the first one's key.
    let same = Outsider::new("db1");
    let refused = same.join(&world, &token).await;
    failed(
        refused,
        Code::PermissionDenied,
        "JOIN_TOKEN_REFUSED",
        "was used",
    );
    let refusals = refusals(&world).await;
    assert_eq!(refusals.len(), 1, "told once, not with every try");
    assert_eq!(refusals[0].member, "hosts/db2");
    assert!(refusals[0].address.starts_with("127.0.0.1:"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_lost_is_asked_for_again_by_the_same_key_only() {
    let world = world().await;
    let token = token(&world, any()).await;
    let host = Outsider::new("db1");
    host.join(&world, &token).await.unwrap();
    let again = host.join(&world, &token).await.unwrap();
    let stream = HostStream::open(again.channel(&world).await, hello(0)).await;
    drop(stream);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_answered_again_a_few_times_and_no_more() {
    let world = world().await;
    let token = token(&world, any()).await;
    let host = Outsider::new("db1");
    for _ in 0..=JOINS_AGAIN_MAX {
        host.join(&world, &token).await.unwrap();
    }
    for _ in 0..3 {
        let refused = host.join(&world, &token).await;
        failed(
            refused,
            Code::PermissionDenied,
            "JOIN_TOKEN_REFUSED",
            "never used",
        );
    }
    assert_eq!(refusals(&world).await.len(), 1);
    // It is no worse off than a host that lost its certificate.
    let back = host.recover(&world, &token).await.unwrap();
    sync(&back, &world).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_over_wrong_or_for_another_host_let_nobody_in() {
    let world = world().await;
    let host = Outsider::new("db1");
    let short = CreateJoinTokenRequest {
        ttl: seconds(1),
        ..any()
    };
    let short = token(&world, short).await;
    let revoked = token(&world, any()).await;
    let ask = RevokeJoinTokenRequest {
        name: format!("joinTokens/{}", revoked.id),
    };
    world.tokens().await.revoke_join_token(ask).await.unwrap();
    let for_another = token(&world, only("db2", false)).await;
    let mut guessed = token(&world, any()).await;
    guessed.secret = Secret::new([7; 32]);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    for (token, reason, says) in [
        (&short, "JOIN_TOKEN_REFUSED", "has expired"),
        (&revoked, "JOIN_TOKEN_REFUSED", "was revoked"),
        (&for_another, "JOIN_TOKEN_REFUSED", "is for host `db2`"),
        (&guessed, "UNKNOWN_JOIN_TOKEN", "not known"),
    ] {
        let refused = host.join(&world, token).await;
        failed(refused, Code::PermissionDenied, reason, says);
    }
    let left = world
        .tokens()
        .await
        .list_join_tokens(ListJoinTokensRequest {})
        .await;
    assert_eq!(left.unwrap().into_inner().tokens.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_another_host_has_is_taken_unless_an_operator_says_otherwise() {
    let world = world().await;
    let (first, second) = (Outsider::new("db1"), Outsider::new("db1"));
    let before = first
        .join(&world, &token(&world, any()).await)
        .await
        .unwrap();
    let refused = second.join(&world, &token(&world, any()).await).await;
    failed(refused, Code::AlreadyExists, "HOST_NAME_TAKEN", "--replace");
    let own = Outsider::new(&world.host_name());
    let refused = own.join(&world, &token(&world, any()).await).await;
    failed(refused, Code::AlreadyExists, "HOST_NAME_OWN", "own machine");

    let replacing = token(&world, only("db1", true)).await;
    second.join(&world, &replacing).await.unwrap();
    let out = sync(&before, &world).await;
    failed(out, Code::Unauthenticated, "HOST_REVOKED", "joined anew");
}

async fn sync(host: &Member, world: &World) -> Result<(), tonic::Status> {
    let mut client = HostSyncServiceClient::new(host.channel(world).await);
    let first = SyncRequest::from(stayhand_proto::message::FromHost::Hello(hello(0)));
    let mut stream = client.sync(tokio_stream::iter([first])).await?.into_inner();
    stream.message().await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_is_shown_to_nobody_but_the_pinned_authority() {
    let (world, other) = (world().await, world().await);
    let token = token(&world, any()).await;
    let reached = reach(&other, joining(token.pin).unwrap()).await;
    let error = reached.unwrap_err().to_string();
    assert!(error.contains("not the control plane"), "{error}");
    let error = reach(&world, joining(Pin::of(b"another")).unwrap()).await;
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("not the control plane")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_over_another_connection_or_with_another_key_lets_nobody_in() {
    let world = world().await;
    let token = token(&world, any()).await;
    let (host, key) = (Outsider::new("db1"), Key::generate().unwrap());
    let recorded = reach(&world, joining(token.pin).unwrap()).await.unwrap();
    let replayed = host.ask(&token, &key, &recorded.connection);
    let fresh = reach(&world, joining(token.pin).unwrap()).await.unwrap();
    let mut client = JoinServiceClient::new(fresh.channel);
    let unproved = JoinRequest {
        proof: vec![],
        ..host.ask(&token, &key, &fresh.connection)
    };
    let other_key = JoinRequest {
        bound_key: Key::generate().unwrap().public(),
        ..host.ask(&token, &key, &fresh.connection)
    };
    for ask in [replayed, unproved, other_key] {
        let refused = client.join(ask).await;
        failed(
            refused,
            Code::PermissionDenied,
            "PROOF_REFUSED",
            "bound key",
        );
    }
    host.join(&world, &token).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_certificate_there_is_joining_and_nothing_else() {
    let world = world().await;
    let token = token(&world, any()).await;
    let joiner = reach(&world, joining(token.pin).unwrap()).await.unwrap();
    let mut client = HostSyncServiceClient::new(joiner.channel);
    let refused = client.sync(tokio_stream::empty()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);

    // Who speaks as a host has to show something.
    let mut bare = joining(token.pin).unwrap();
    bare.config.alpn_protocols = vec![stayhand_transport::ALPN_HOST.to_vec()];
    let reached = reach(&world, bare).await;
    if let Ok(dialled) = reached {
        let mut client = HostSyncServiceClient::new(dialled.channel);
        let refused = client.sync(tokio_stream::empty()).await;
        assert!(refused.is_err(), "it is served without a certificate");
    }
    // And whoever speaks nothing of ours is not heard.
    for alpn in [vec![], vec![b"h2".to_vec()]] {
        let mut other = joining(token.pin).unwrap();
        other.config.alpn_protocols = alpn;
        assert!(reach(&world, other).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_text_is_not_served() {
    let world = world().await;
    let mut stream = tokio::net::TcpStream::connect(world.network())
        .await
        .unwrap();
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    let mut answer = vec![];
    // Closed, with a TLS alert at most.
    let _closed = stream.read_to_end(&mut answer).await;
    assert!(answer.len() <= 7, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_authority_is_nobodys() {
    let (world, other) = (world().await, world().await);
    let ours = Outsider::new("db1")
        .join(&world, &token(&world, any()).await)
        .await
        .unwrap();
    let theirs = Outsider::new("db1")
        .join(&other, &token(&other, any()).await)
        .await
        .unwrap();
    // Believes ours, shows theirs.
    let forged = member(ours.authorities.clone(), &theirs.credentials).unwrap();
    if let Ok(dialled) = reach(&world, forged).await {
        let mut client = HostSyncServiceClient::new(dialled.channel);
        assert!(client.sync(tokio_stream::empty()).await.is_err());
    }
    assert!(
        reach(&other, ours.config()).await.is_err(),
        "believes another control plane"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_speaks_for_itself_only() {
    let world = world().await;
    let host = Outsider::new("db1")
        .join(&world, &token(&world, any()).await)
        .await
        .unwrap();
    let mut stream = HostStream::open(host.channel(&world).await, hello(0)).await;
    stream.state().await;
    let request = GetHostRequest {
        name: "hosts/db1".into(),
    };
    let shown = world
        .hosts()
        .await
        .get_host(request)
        .await
        .unwrap()
        .into_inner();
    assert!(shown.online);
    let membership = shown.membership.unwrap();
    assert!(
        membership.certificate_expire_time.unwrap().seconds > membership.join_time.unwrap().seconds
    );
    let all = world
        .hosts()
        .await
        .list_hosts(v1::ListHostsRequest::default())
        .await;
    assert_eq!(all.unwrap().into_inner().hosts.len(), 1, "only as itself");
    // What is served to those who join is not served to those who did.
    let mut client = JoinServiceClient::new(host.channel(&world).await);
    let refused = client.join(JoinRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_says_of_another_is_said_of_itself() {
    let world = world().await;
    let (first, second) = (token(&world, any()).await, token(&world, any()).await);
    let honest = Outsider::new("db1").join(&world, &first).await.unwrap();
    let hostile = Outsider::new("db2").join(&world, &second).await.unwrap();
    let mut honest = HostStream::open(honest.channel(&world).await, hello(0)).await;
    honest.state().await;
    let mut events = EventStream::open(hostile.channel(&world).await).await;
    let state = stayhand_guardrail::event::AgentState {
        version: "forged".into(),
        enforced: false,
        detail: String::new(),
    };
    let forged = stayhand_guardrail::event::Event {
        host: "db1".parse().unwrap(),
        boot_id: uuid::Uuid::from_u128(1),
        epoch: uuid::Uuid::from_u128(2),
        seq: stayhand_guardrail::id::EventSeq(1),
        time: stayhand_guardrail::time::UnixMs(1_700_000_000_000),
        kind: stayhand_guardrail::event::EventKind::AgentStopped(state),
    };
    events.publish(vec![forged.into()]).await.unwrap();
    let stored = world.all_events().await.into_iter();
    let stored: Vec<String> = stored
        .filter(|event| matches!(event.kind, Some(Kind::Agent(_))))
        .map(|event| event.host)
        .collect();
    assert_eq!(stored, ["db2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_network_there_are_no_tokens() {
    let world = World::new().await;
    let refused = world.tokens().await.create_join_token(any()).await;
    failed(
        refused,
        Code::FailedPrecondition,
        "NO_NETWORK",
        "network.listen",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_operator_makes_no_token() {
    let world = world().await;
    world.login("alice", false);
    let refused = world.tokens().await.create_join_token(any()).await;
    failed(refused, Code::PermissionDenied, "NOT_AN_OPERATOR", "alice");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authority_survives_a_restart_and_its_key_is_private() {
    use std::os::unix::fs::MetadataExt as _;
    let mut world = world().await;
    let host = Outsider::new("db1")
        .join(&world, &token(&world, any()).await)
        .await
        .unwrap();
    world.stop().await;
    world.start().await;
    let renewed = host.renew(&world).await.unwrap();
    assert_eq!(renewed.authorities, host.authorities);
    assert_eq!(renewed.revision, host.revision);
    let keys = world.config().state.directory.join("authority");
    for entry in std::fs::read_dir(keys).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().mode() & 0o777, 0o600);
    }
}
