//! Flags: set with an end by whoever may act, told to every host, recorded.

use std::time::Duration;

use stayhand_proto::v1::{
    self, ClearFlagRequest, ListFlagsRequest, SetFlagRequest,
    flag_service_client::FlagServiceClient,
};
use tonic::{Code, Status, transport::Channel};

use crate::{
    agent::{HostStream, hello},
    world::{World, failed, seconds},
};

async fn flags(world: &World) -> FlagServiceClient<Channel> {
    FlagServiceClient::new(world.channel().await)
}

async fn set(world: &World, name: &str, for_s: i64) -> Result<v1::Flag, Status> {
    let request = SetFlagRequest {
        name: format!("flags/{name}"),
        ttl: seconds(for_s),
        reason: "the sale".into(),
    };
    let mut flags = flags(world).await;
    let answer = flags.set_flag(request).await;
    answer.map(tonic::Response::into_inner)
}

async fn clear(world: &World, name: &str) -> Result<v1::ClearFlagResponse, Status> {
    let request = ClearFlagRequest {
        name: name.into(),
        reason: "over".into(),
    };
    let mut flags = flags(world).await;
    let answer = flags.clear_flag(request).await;
    answer.map(tonic::Response::into_inner)
}

async fn names(world: &World) -> Vec<String> {
    let mut flags = flags(world).await;
    let listed = flags.list_flags(ListFlagsRequest {}).await.unwrap();
    let listed = listed.into_inner().flags;
    listed.into_iter().map(|flag| flag.name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flag_without_an_end_a_reason_or_a_name_is_refused_and_so_is_whoever_may_not() {
    let world = World::new().await;
    for for_s in [0, 32 * 86_400] {
        failed(
            set(&world, "busy", for_s).await,
            Code::InvalidArgument,
            "INVALID_FIELD",
            "a flag is set for up to 31d",
        );
    }
    failed(
        set(&world, "Busy\u{1b}", 60).await,
        Code::InvalidArgument,
        "INVALID_FIELD",
        "is not a flag name",
    );
    failed(
        clear(&world, "busy").await,
        Code::NotFound,
        "UNKNOWN_FLAG",
        "`busy` is not set",
    );
    world.login("bob", false);
    failed(
        set(&world, "busy", 60).await,
        Code::PermissionDenied,
        "NOT_AN_OPERATOR",
        "bob",
    );
    world.unpinned();
    assert!(names(&world).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_told_what_is_set_and_until_when_and_each_change_is_recorded() {
    let mut world = World::new().await;
    let mut stream = HostStream::open(world.host_channel().await, hello(0)).await;
    assert!(stream.state().await.flags.is_empty());
    let flag = set(&world, "busy", 3_600).await.unwrap();
    let state = stream.state_with(|state| !state.flags.is_empty()).await;
    let (name, until) = state.flags.iter().next().unwrap();
    assert_eq!(name.as_str(), "busy");
    let told = flag.until_time.unwrap();
    assert_eq!(until.0 / 1_000, u64::try_from(told.seconds).unwrap());
    // Setting it anew moves its end.
    set(&world, "busy", 7_200).await.unwrap();
    let until = *until;
    let moved =
        |state: &stayhand_guardrail::host::HostState| state.flags.values().any(|end| *end > until);
    stream.state_with(moved).await;
    // A host that comes later, and a control plane that was started again, know it, too.
    drop(stream);
    world.stop().await;
    world.start().await;
    let mut stream = HostStream::open(world.host_channel().await, hello(0)).await;
    assert_eq!(stream.state().await.flags.len(), 1);
    clear(&world, "flags/busy").await.unwrap();
    stream.state_with(|state| state.flags.is_empty()).await;
    let events = world.all_events().await;
    let said: Vec<(bool, String)> = events
        .into_iter()
        .filter_map(|event| match event.kind {
            Some(v1::event::Kind::FlagChanged(changed)) => {
                Some((changed.until_time.is_some(), changed.reason))
            }
            _ => None,
        })
        .collect();
    let set = || (true, "the sale".to_owned());
    assert_eq!(said, [set(), set(), (false, "over".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_has_ended_is_told_to_nobody() {
    let world = World::new().await;
    set(&world, "short", 1).await.unwrap();
    set(&world, "long", 60).await.unwrap();
    assert_eq!(names(&world).await.len(), 2);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(names(&world).await, ["flags/long"]);
    let mut stream = HostStream::open(world.host_channel().await, hello(0)).await;
    let told = stream.state().await.flags;
    assert_eq!(
        told.keys().map(ToString::to_string).collect::<Vec<_>>(),
        ["long"]
    );
    failed(
        clear(&world, "short").await,
        Code::NotFound,
        "UNKNOWN_FLAG",
        "is not set",
    );
}
