//! Profiles: what nobody may have is refused in the transaction that would give it, and what somebody has is not taken away.

use stayhand_proto::v1::{CreateGrantRequest, Grant, RevokeGrantRequest, event::Kind};
use tonic::{Code, Status};

use crate::{
    agent::{HostStream, hello},
    world::{World, create, failed, seconds},
};

const CARE: &str = "apiVersion: stayhand/v1
kind: Policy
metadata: { name: care }
spec:
  subjects: { users: [alice] }
  permissions:
    restart: { exec: { path: /usr/bin/systemctl, subcommand: [\"restart ${service}\"] } }
    logs: { file: { ops: [read], path: \"/var/log/${service}/**\" } }
    port: { net: { ops: [connect], cidr: 10.0.0.0/8, ports: \"${port}\" } }
    files: { file: { ops: [write], path: \"${dir}/**\" } }
    data: { file: { ops: [read], path: /var/lib/data/** } }
    look: { file: { ops: [read], path: /srv/look } }
  profiles:
    - name: service-care
      allow: [restart, logs, look]
      parameters: { service: { enum: [nginx, postgres] } }
      maxDuration: 1h
    - { name: ports, allow: port, parameters: { port: { integer: 1-1000 } } }
    - { name: releases, allow: files, parameters: { dir: { path: [/srv/**] } }, excludes: { hosts: { env: staging } } }
    - { name: export, allow: [data, look], excludes: { profiles: service-care } }
  rules:
    - { id: a, effect: require-grant, file: { ops: [read], path: /var/log/** } }
";

async fn world() -> World {
    let world = World::new().await;
    world.apply(CARE).await.unwrap();
    world
}

fn profile(name: &str, values: &[&str]) -> CreateGrantRequest {
    CreateGrantRequest {
        permissions: vec![],
        profile: name.into(),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
        ..create()
    }
}

fn permission(name: &str) -> CreateGrantRequest {
    CreateGrantRequest {
        permissions: vec![name.into()],
        ..create()
    }
}

async fn ask(world: &World, request: CreateGrantRequest) -> Result<Grant, Status> {
    let mut grants = world.grants().await;
    let answer = grants.create_grant(request).await;
    answer.map(tonic::Response::into_inner)
}

async fn revoke(world: &World, grant: &Grant) {
    let request = RevokeGrantRequest {
        name: grant.name.clone(),
        reason: "done".into(),
        etag: String::new(),
    };
    world.grants().await.revoke_grant(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_value_is_refused_and_what_is_possible_is_named() {
    let world = world().await;
    let bad = Code::InvalidArgument;
    for (name, values, reason, says) in [
        (
            "service-care",
            &[][..],
            "INVALID_VALUE",
            "needs `service`, one of nginx, postgres: --with service=nginx",
        ),
        (
            "service-care",
            &["service=apache"],
            "INVALID_VALUE",
            "it is one of nginx, postgres",
        ),
        (
            "service-care",
            &["service=nginx,postgres"],
            "INVALID_VALUE",
            "it is one of nginx, postgres",
        ),
        (
            "service-care",
            &["servise=nginx"],
            "INVALID_VALUE",
            "did you mean `service`?",
        ),
        (
            "service-care",
            &["service=nginx", "port=1"],
            "INVALID_VALUE",
            "has no parameter `port`",
        ),
        (
            "service-care",
            &["service=nginx", "service=nginx"],
            "INVALID_FIELD",
            "two values",
        ),
        ("service-care", &["service"], "INVALID_FIELD", "NAME=VALUE"),
        (
            "service-care",
            &["Ser\u{1b}vice=nginx"],
            "INVALID_VALUE",
            "has no parameter `Ser\\x1bvice`",
        ),
        (
            "ports",
            &["port=0"],
            "INVALID_VALUE",
            "out of range; it is an integer from 1 to 1000",
        ),
        (
            "ports",
            &["port=080"],
            "INVALID_VALUE",
            "without sign and leading zeros",
        ),
        ("ports", &["port=1-1000"], "INVALID_VALUE", "no integer"),
        (
            "releases",
            &["dir=/srv"],
            "INVALID_VALUE",
            "it is not there; it is a path in /srv/**",
        ),
        (
            "releases",
            &["dir=/srv/../etc"],
            "INVALID_VALUE",
            "a path has no `.`, `..`",
        ),
        (
            "releases",
            &["dir=/srv/*"],
            "INVALID_VALUE",
            "a value has no `*`",
        ),
        (
            "releases",
            &["dir=/srv/**"],
            "INVALID_VALUE",
            "a value has no `*`",
        ),
        (
            "releases",
            &["dir=srv/a"],
            "INVALID_VALUE",
            "a path starts with `/`",
        ),
    ] {
        failed(ask(&world, profile(name, values)).await, bad, reason, says);
    }
    failed(
        ask(&world, profile("cares", &[])).await,
        Code::NotFound,
        "UNKNOWN_PROFILE",
        "there is care/service-care, care/ports",
    );
    let long = CreateGrantRequest {
        ttl: seconds(3_601),
        ..profile("service-care", &["service=nginx"])
    };
    failed(
        ask(&world, long).await,
        bad,
        "INVALID_GRANT",
        "granted for at most 1h, not",
    );
    let both = CreateGrantRequest {
        permissions: vec!["look".into()],
        ..profile("service-care", &["service=nginx"])
    };
    failed(
        ask(&world, both).await,
        bad,
        "INVALID_FIELD",
        "of a profile or of permissions",
    );
    let bare = CreateGrantRequest {
        values: vec!["service=nginx".into()],
        ..permission("look")
    };
    failed(
        ask(&world, bare).await,
        bad,
        "INVALID_FIELD",
        "only a profile takes values",
    );
    let bob = CreateGrantRequest {
        user: "bob".into(),
        ..profile("service-care", &["service=nginx"])
    };
    failed(
        ask(&world, bob).await,
        Code::FailedPrecondition,
        "NOT_A_SUBJECT",
        "not a subject of policy `care`",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_with_parameters_is_not_granted_without_a_profile() {
    let world = world().await;
    let says = "ask for --profile care/service-care --with service=nginx";
    failed(
        ask(&world, permission("logs")).await,
        Code::FailedPrecondition,
        "NEEDS_PROFILE",
        says,
    );
    failed(
        ask(&world, permission("care/logs(service=nginx)")).await,
        Code::NotFound,
        "UNKNOWN_PERMISSION",
        "not defined",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_of_a_profile_carries_each_permission_with_its_values_and_says_so_everywhere() {
    let world = world().await;
    let mut host = HostStream::open(world.host_channel().await, hello(0)).await;
    let grant = ask(&world, profile("service-care", &["service=nginx"]))
        .await
        .unwrap();
    assert_eq!(grant.profile, "care/service-care(service=nginx)");
    assert_eq!(
        grant.permissions,
        [
            "care/restart(service=nginx)",
            "care/logs(service=nginx)",
            "care/look"
        ]
    );
    let state = host.state_with(|state| !state.leases.is_empty()).await;
    let carried: Vec<String> = state.leases[0]
        .permissions
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        carried,
        [
            "care/look",
            "care/restart(service=nginx)",
            "care/logs(service=nginx)"
        ]
    );
    let told = world
        .all_events()
        .await
        .into_iter()
        .find_map(|event| match event.kind {
            Some(Kind::GrantChanged(changed)) => Some(changed.profile),
            _ => None,
        });
    assert_eq!(told.as_deref(), Some("care/service-care(service=nginx)"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_again_is_the_same_grant_and_with_another_value_it_is_another_request() {
    let world = world().await;
    let id = "6f1f7a1e-0000-4000-8000-000000000001";
    let request = |value: &str| CreateGrantRequest {
        request_id: id.into(),
        ..profile("service-care", &[value])
    };
    let first = ask(&world, request("service=nginx")).await.unwrap();
    assert_eq!(
        ask(&world, request("service=nginx")).await.unwrap().name,
        first.name
    );
    failed(
        ask(&world, request("service=postgres")).await,
        Code::AlreadyExists,
        "REQUEST_ID_REUSED",
        id,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn profiles_that_exclude_each_other_are_refused_whichever_came_first_and_ending_one_leaves_the_others()
 {
    let world = world().await;
    let excluded = Code::FailedPrecondition;
    for (first, second) in [
        (
            profile("service-care", &["service=nginx"]),
            profile("export", &[]),
        ),
        (
            profile("export", &[]),
            profile("service-care", &["service=nginx"]),
        ),
        // What a profile excludes is not to be had one by one either.
        (
            profile("service-care", &["service=nginx"]),
            permission("data"),
        ),
        (
            permission("data"),
            profile("service-care", &["service=nginx"]),
        ),
    ] {
        let live = ask(&world, first.clone()).await.unwrap();
        let id = live.name.trim_start_matches("grants/").to_owned();
        let failure = failed(
            ask(&world, second.clone()).await,
            excluded,
            "EXCLUDED",
            &format!("has grant {id} until "),
        );
        assert!(
            failure.message.contains("exclude each other"),
            "{failure:?}"
        );
        // Another user's is another's, and what both give is excluded by neither.
        let beside = ask(&world, permission("look")).await.unwrap();
        let again = ask(&world, first).await.unwrap();
        revoke(&world, &live).await;
        failed(
            ask(&world, second.clone()).await,
            excluded,
            "EXCLUDED",
            again.name.trim_start_matches("grants/"),
        );
        revoke(&world, &again).await;
        let second = ask(&world, second).await.unwrap();
        revoke(&world, &second).await;
        revoke(&world, &beside).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_excludes_hosts_is_had_beside_nothing_there() {
    let world = world().await;
    let staging = stayhand_proto::message::Hello {
        labels: ["env=staging"]
            .map(|one| one.parse().unwrap())
            .into_iter()
            .collect(),
        ..hello(0)
    };
    let mut host = HostStream::open(world.host_channel().await, staging).await;
    host.state().await;
    let here = world.host_name();
    let releases = || profile("care/releases", &["dir=/srv/a b"]);
    let only_here = |request: CreateGrantRequest| CreateGrantRequest {
        hosts: vec![here.clone()],
        ..request
    };
    for request in [releases(), only_here(releases())] {
        failed(
            ask(&world, request).await,
            Code::InvalidArgument,
            "INVALID_GRANT",
            "name other hosts (--host)",
        );
    }
    // Where the policy does not count on such hosts, every host is none of them.
    let prod = CARE.replace("subjects:", "hosts: { env: prod }\n  subjects:");
    world.apply(&prod).await.unwrap();
    let live = ask(&world, releases()).await.unwrap();
    assert_eq!(live.permissions, ["care/files(dir=/srv/a%20b)"]);
    let other = CARE
        .replace("name: care", "name: other")
        .replace("name: service-care", "name: helping")
        .replace("profiles: service-care", "profiles: helping");
    world.apply(&other).await.unwrap();
    let elsewhere = || permission("other/look");
    for request in [elsewhere(), only_here(elsewhere())] {
        let failure = failed(
            ask(&world, request).await,
            Code::FailedPrecondition,
            "EXCLUDED",
            live.name.trim_start_matches("grants/"),
        );
        assert!(
            failure
                .message
                .contains("excludes every other grant on hosts with env=staging"),
            "{failure:?}"
        );
    }
    ask(&world, permission("care/look")).await.unwrap();
    revoke(&world, &live).await;
    let there = ask(&world, only_here(elsewhere())).await.unwrap();
    failed(
        ask(&world, releases()).await,
        Code::FailedPrecondition,
        "EXCLUDED",
        there.name.trim_start_matches("grants/"),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_takes_away_what_a_grant_has_is_refused_and_names_it() {
    let world = world().await;
    let grant = ask(&world, profile("service-care", &["service=nginx"]))
        .await
        .unwrap();
    let id = grant.name.trim_start_matches("grants/").to_owned();
    let gone = CARE
        .replace("name: service-care", "name: caring")
        .replace("profiles: service-care", "profiles: caring");
    let other_parameters = CARE
        .replace("/var/log/${service}/**", "/var/log/${service}/${more}")
        .replace(
            "{ service: { enum: [nginx, postgres] } }",
            "{ service: { enum: [nginx, postgres] }, more: { enum: [a] } }",
        );
    for (revision, says) in [
        (gone, "it has no profile `service-care`"),
        (
            CARE.replace("[restart, logs, look]", "[restart, logs]"),
            "does not give `look`",
        ),
        (
            CARE.replace("[nginx, postgres]", "[postgres]"),
            "`nginx` is no `service`",
        ),
        (
            other_parameters,
            "its permission `logs` has other parameters",
        ),
        (
            CARE.replace("/var/log/${service}/**", "/var/log/nginx/**"),
            "its permission `logs` has other parameters",
        ),
    ] {
        let failure = failed(
            world.apply(&revision).await,
            Code::FailedPrecondition,
            "PROFILE_IN_USE",
            says,
        );
        assert!(
            failure.message.contains(&format!("{id} of `alice`")),
            "{failure:?}"
        );
    }
    // What is more than before takes nothing away.
    world
        .apply(
            &CARE
                .replace("[nginx, postgres]", "[nginx, redis]")
                .replace("maxDuration: 1h", "maxDuration: 1m"),
        )
        .await
        .unwrap();
    let plain = ask(&world, permission("data")).await;
    failed(plain, Code::FailedPrecondition, "EXCLUDED", &id);
    revoke(&world, &grant).await;
    ask(&world, permission("data")).await.unwrap();
    let parameters = CARE
        .replace("path: /var/lib/data/**", "path: \"/var/lib/${x}/**\"")
        .replace(
            "allow: [data, look]",
            "allow: [data, look], parameters: { x: { enum: [a] } }",
        );
    failed(
        world.apply(&parameters).await,
        Code::FailedPrecondition,
        "PERMISSION_IN_USE",
        "care/data",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn more_values_than_hosts_have_room_for_are_refused_before_a_host_sees_them() {
    let world = world().await;
    let mut last = None;
    for port in 1..=70 {
        match ask(&world, profile("ports", &[&format!("port={port}")])).await {
            Ok(grant) => last = Some(grant),
            Err(status) => {
                let failure = failed(
                    Err::<(), _>(status),
                    Code::ResourceExhausted,
                    "NO_ROOM",
                    "no room for one more",
                );
                assert!(failure.message.contains("more than the 64"), "{failure:?}");
                let granted = last.unwrap();
                ask(
                    &world,
                    CreateGrantRequest {
                        reason: "the same".into(),
                        ..profile(
                            "ports",
                            &[&granted.permissions[0]
                                .replace("care/port(", "")
                                .replace(')', "")],
                        )
                    },
                )
                .await
                .expect("the same values take no more room");
                return;
            }
        }
    }
    panic!("nothing was refused");
}
