//! Another authority takes over: nobody is cut off by it, and the one before goes when every host has left it.

use std::time::Duration;

use stayhand_guardrail::id::AuthoritiesRevision;
use stayhand_proto::{
    message::ToHostMessage,
    v1::{
        Authority, CreateJoinTokenRequest, ListAuthoritiesRequest, RetireAuthorityRequest,
        RevokeHostRequest, RotateAuthorityRequest,
        authority_service_client::AuthorityServiceClient, event::Kind,
    },
};
use tonic::{Code, transport::Channel};

use crate::{
    agent::{HostStream, hello},
    outsider::{Member, Outsider, reach, token, world},
    world::{World, failed},
};

async fn authorities(world: &World) -> AuthorityServiceClient<Channel> {
    AuthorityServiceClient::new(world.channel().await)
}

async fn list(world: &World) -> Vec<Authority> {
    let mut client = authorities(world).await;
    let listed = client.list_authorities(ListAuthoritiesRequest {}).await;
    listed.unwrap().into_inner().authorities
}

fn rotate() -> RotateAuthorityRequest {
    RotateAuthorityRequest {
        reason: "every year".into(),
    }
}

fn retire(number: u32) -> RetireAuthorityRequest {
    RetireAuthorityRequest {
        name: format!("authorities/{number}"),
        reason: "it leaked".into(),
    }
}

async fn until_one_is_left(world: &World) -> Authority {
    for _ in 0..100 {
        let mut all = list(world).await;
        if all.len() == 1 {
            return all.remove(0);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("both stay: {:?}", list(world).await);
}

/// Which set of authorities a host hears of.
async fn told(host: &Member, world: &World) -> AuthoritiesRevision {
    let mut stream = HostStream::open(host.channel(world).await, hello(0)).await;
    loop {
        if let ToHostMessage::Bookmark { authorities, .. } = stream.next().await.unwrap().message {
            return authorities;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_cut_off_and_the_older_authority_goes_when_every_host_has_left_it() {
    let world = world().await;
    let before = token(&world, CreateJoinTokenRequest::default()).await;
    let first = token(&world, CreateJoinTokenRequest::default()).await;
    let host = Outsider::new("db1").join(&world, &first).await.unwrap();
    let mut client = authorities(&world).await;
    let made = client.rotate_authority(rotate()).await.unwrap();
    assert!(made.into_inner().issues);
    let again = client.rotate_authority(rotate()).await;
    failed(
        again,
        Code::FailedPrecondition,
        "AUTHORITY_IN_USE",
        "authority 1",
    );

    // It believes the older one alone, and so does the token from before.
    assert!(told(&host, &world).await.0 > host.revision);
    let late = Outsider::new("db2").join(&world, &before).await.unwrap();
    assert_eq!(late.authorities.certificates().len(), 2);
    told(&late, &world).await;
    assert_eq!(list(&world).await[1].behind, ["hosts/db1"]);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(list(&world).await.len(), 2, "one host has not left it");

    let moved = host.renew(&world).await.unwrap();
    told(&moved, &world).await;
    assert_eq!(until_one_is_left(&world).await.name, "authorities/2");
    let settled = moved.renew(&world).await.unwrap();
    assert_eq!(settled.authorities.certificates().len(), 1);
    told(&settled, &world).await;
    let gone = reach(&world, host.config()).await.unwrap_err().to_string();
    assert!(gone.contains("its authority is another one"), "{gone}");
    let events = world.all_events().await.into_iter();
    let changes = events.filter_map(|event| match event.kind {
        Some(Kind::AuthorityChanged(one)) => Some((one.authority, one.by)),
        _ => None,
    });
    let changes: Vec<_> = changes.collect();
    assert_eq!(
        changes,
        [
            ("authorities/2".to_owned(), "root".to_owned()),
            ("authorities/1".to_owned(), String::new())
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_is_ended_at_once_says_whom_that_cuts_off() {
    let world = world().await;
    let (absent, out) = (Outsider::new("db1"), Outsider::new("db2"));
    let mut joined = vec![];
    for host in [&absent, &out] {
        let made = token(&world, CreateJoinTokenRequest::default()).await;
        joined.push(host.join(&world, &made).await.unwrap());
    }
    let revoked = RevokeHostRequest {
        name: "hosts/db2".into(),
        reason: "stolen".into(),
    };
    world.hosts().await.revoke_host(revoked).await.unwrap();
    let mut client = authorities(&world).await;
    let issues = client.retire_authority(retire(1)).await;
    failed(
        issues,
        Code::FailedPrecondition,
        "AUTHORITY_IN_USE",
        "rotate",
    );
    let unknown = client.retire_authority(retire(7)).await;
    failed(unknown, Code::NotFound, "UNKNOWN_AUTHORITY", "7");

    client.rotate_authority(rotate()).await.unwrap();
    let retired = client.retire_authority(retire(1)).await.unwrap();
    assert_eq!(retired.into_inner().cut_off, ["hosts/db1"]);
    for host in &joined {
        assert!(
            reach(&world, host.config()).await.is_err(),
            "still believed"
        );
    }
    let anew = CreateJoinTokenRequest {
        host: "hosts/db1".into(),
        replace: true,
        ..Default::default()
    };
    let anew = token(&world, anew).await;
    let back = Outsider::new("db1").join(&world, &anew).await.unwrap();
    told(&back, &world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_issues_is_the_same_after_a_restart() {
    let mut world = world().await;
    let made = token(&world, CreateJoinTokenRequest::default()).await;
    let host = Outsider::new("db1").join(&world, &made).await.unwrap();
    let mut client = authorities(&world).await;
    client.rotate_authority(rotate()).await.unwrap();
    world.stop().await;
    world.start().await;
    let moved = host.renew(&world).await.unwrap();
    assert_eq!(moved.authorities.certificates().len(), 2);
    told(&moved, &world).await;
    assert_eq!(until_one_is_left(&world).await.name, "authorities/2");
}
