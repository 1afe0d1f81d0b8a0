//! Certificates that are taken away or over: at once, on streams that are open, and who comes back how.

use std::time::Duration;

use stayhand_guardrail::time::DurationMs;
use stayhand_proto::v1::{
    CreateJoinTokenRequest, GetHostRequest, RevokeHostRequest, event::Kind,
    membership_changed_event::Change,
};
use tonic::Code;

use crate::{
    agent::{HostStream, hello},
    outsider::{Outsider, token, world},
    world::{World, failed},
};

fn revoke(host: &str) -> RevokeHostRequest {
    RevokeHostRequest {
        name: format!("hosts/{host}"),
        reason: "stolen".into(),
    }
}

/// Reads until the stream ends.
async fn ended(stream: &mut HostStream) -> tonic::Status {
    loop {
        if let Err(status) = stream.next().await {
            return status;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_host_is_cut_off_at_once_and_does_not_come_back() {
    let world = world().await;
    let made = token(&world, CreateJoinTokenRequest::default()).await;
    let (outsider, other) = (Outsider::new("db1"), Outsider::new("db2"));
    let host = outsider.join(&world, &made).await.unwrap();
    let second = token(&world, CreateJoinTokenRequest::default()).await;
    let neighbour = other.join(&world, &second).await.unwrap();
    let mut stream = HostStream::open(host.channel(&world).await, hello(0)).await;
    let mut spared = HostStream::open(neighbour.channel(&world).await, hello(0)).await;
    stream.state().await;
    spared.state().await;

    let revoked = world
        .hosts()
        .await
        .revoke_host(revoke("db1"))
        .await
        .unwrap();
    let end = tokio::time::timeout(Duration::from_secs(1), ended(&mut stream)).await;
    end.expect("it is still served a second later");
    spared.next().await.expect("the neighbour is served");
    assert_eq!(revoked.into_inner().membership.unwrap().revoked_by, "root");

    let refused = host.renew(&world).await;
    failed(
        refused,
        Code::Unauthenticated,
        "HOST_REVOKED",
        "by root: stolen",
    );
    let refused = outsider.recover(&world, &made).await;
    failed(
        refused,
        Code::PermissionDenied,
        "HOST_REVOKED",
        "by root: stolen",
    );
    let twice = world.hosts().await.revoke_host(revoke("db1")).await;
    failed(twice, Code::FailedPrecondition, "ALREADY_REVOKED", "db1");
    let unknown = world.hosts().await.revoke_host(revoke("db9")).await;
    failed(unknown, Code::NotFound, "NOT_A_MEMBER", "db9");
    let request = GetHostRequest {
        name: "hosts/db1".into(),
    };
    let shown = world.hosts().await.get_host(request).await.unwrap();
    let shown = shown.into_inner();
    assert!(!shown.online);
    assert_eq!(shown.membership.unwrap().revoke_reason, "stolen");
}

async fn with_lifetime(ms: u64) -> World {
    World::with(|config| {
        config.network.listen = Some("127.0.0.1:0".parse().unwrap());
        config.network.certificate_lifetime = DurationMs(ms);
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_over_ends_its_streams_and_its_host_comes_back_by_its_bound_key() {
    let world = with_lifetime(3_000).await;
    let made = token(&world, CreateJoinTokenRequest::default()).await;
    let outsider = Outsider::new("db1");
    let host = outsider.join(&world, &made).await.unwrap();
    let mut stream = HostStream::open(host.channel(&world).await, hello(0)).await;
    stream.state().await;
    // Its own time, and not that in which whoever comes too late is told so.
    let end = tokio::time::timeout(Duration::from_secs(7), ended(&mut stream)).await;
    end.expect("the stream outlives its certificate");
    let refused = host.renew(&world).await;
    failed(refused, Code::Unauthenticated, "CERTIFICATE_OVER", "db1");

    let stranger = Outsider::new("db1").recover(&world, &made).await;
    failed(
        stranger,
        Code::PermissionDenied,
        "NOT_BOUND",
        "bound to this key",
    );
    let nobody = Outsider::new("db2").recover(&world, &made).await;
    failed(
        nobody,
        Code::PermissionDenied,
        "NOT_BOUND",
        "bound to this key",
    );
    let back = outsider.recover(&world, &made).await.unwrap();
    HostStream::open(back.channel(&world).await, hello(0))
        .await
        .state()
        .await;
    let again = outsider.recover(&world, &made).await;
    failed(
        again,
        Code::ResourceExhausted,
        "RECOVERY_TOO_SOON",
        "a copy",
    );
    let events = world.all_events().await.into_iter();
    let recoveries = events.filter(|event| {
        matches!(&event.kind, Some(Kind::MembershipChanged(changed)) if changed.change() == Change::Recovered)
    });
    assert_eq!(recoveries.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_key_that_lets_nobody_in_is_told_of_and_not_with_every_try() {
    let world = world().await;
    let (db1, db2) = (Outsider::new("db1"), Outsider::new("db2"));
    for host in [&db1, &db2] {
        let made = token(&world, CreateJoinTokenRequest::default()).await;
        host.join(&world, &made).await.unwrap();
    }
    // Only the authority's pin counts of it here.
    let made = token(&world, CreateJoinTokenRequest::default()).await;
    db1.recover(&world, &made).await.unwrap();
    for _ in 0..3 {
        let refused = db1.recover(&world, &made).await;
        failed(
            refused,
            Code::ResourceExhausted,
            "RECOVERY_TOO_SOON",
            "a copy",
        );
    }
    let mut hosts = world.hosts().await;
    hosts.revoke_host(revoke("db2")).await.unwrap();
    for _ in 0..3 {
        let refused = db2.recover(&world, &made).await;
        failed(refused, Code::PermissionDenied, "HOST_REVOKED", "db2");
    }
    let events = world.all_events().await.into_iter();
    let refused = events.filter_map(|event| match event.kind {
        Some(Kind::JoinTokenChanged(changed)) if !changed.reason.is_empty() => Some(changed),
        _ => None,
    });
    let refused: Vec<(String, String)> = refused
        .map(|changed| (changed.member, changed.reason))
        .collect();
    assert_eq!(refused.len(), 2, "{refused:?}");
    for ((member, reason), (of, says)) in refused.iter().zip([
        ("hosts/db1", "is there a copy of it?"),
        ("hosts/db2", "was revoked"),
    ]) {
        assert!(member == of && reason.contains(says), "{member}: {reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_has_no_more_certificates_than_it_needs() {
    let world = world().await;
    let made = token(&world, CreateJoinTokenRequest::default()).await;
    let mut host = Outsider::new("db1").join(&world, &made).await.unwrap();
    for _ in 1..16 {
        host = host.renew(&world).await.unwrap();
    }
    let more = host.renew(&world).await;
    failed(more, Code::ResourceExhausted, "TOO_MANY_CERTIFICATES", "16");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_the_store_does_not_know_counts_for_nothing() {
    let mut world = world().await;
    let made = token(&world, CreateJoinTokenRequest::default()).await;
    let outsider = Outsider::new("db1");
    outsider.join(&world, &made).await.unwrap();
    // A copy of the store from before the host's next certificate.
    world.stop().await;
    let store = world.config().state.directory.join("control.db");
    let copy = std::fs::read(&store).unwrap();
    world.start().await;
    let host = outsider.join(&world, &made).await.unwrap();
    world.stop().await;
    std::fs::write(&store, copy).unwrap();
    world.start().await;
    let refused = host.renew(&world).await;
    failed(refused, Code::Unauthenticated, "CERTIFICATE_UNKNOWN", "db1");
    outsider.recover(&world, &made).await.unwrap();
}
