//! The example of split rights, over the socket: auditors, approvers and policy-editors do what it says and nothing else.

use stayhand_control::authz::{Action, WITHHELD};
use stayhand_guardrail::{
    action::{Object, Operation},
    event::{DecisionEvent, Event, EventKind, RuleRef},
    id::{EventSeq, Generation, Revision},
    reason::{Reason, Verdict},
    time::UnixMs,
};
use stayhand_proto::{
    message::Hello,
    v1::{self, GetIdentityRequest, identity_service_client::IdentityServiceClient},
};
use tonic::Code;
use uuid::Uuid;

use crate::{
    agent::{EventStream, HostStream, hello},
    holds::{FIRST, MINUTE, SECOND, approve, get, hold, refuse, report},
    rights::{EXAMPLE, critical, sensitive, world},
    world::{PROD, World, create, failed},
};

/// A decision about alice that has arguments.
fn decision(world: &World) -> v1::Event {
    let held = hold(FIRST, MINUTE);
    let decision = DecisionEvent {
        verdict: Verdict::Denied,
        reason: Reason::NoGrant,
        operation: Operation::Connect,
        object: Object::Path {
            bytes: b"/x".to_vec(),
        },
        object_cut: false,
        subject: held.subject,
        process: held.process,
        args_redacted: 0,
        generation: Generation(1),
        rule: Some(RuleRef {
            policy: "prod".parse().unwrap(),
            revision: Revision(1),
            rule: "db".parse().unwrap(),
        }),
        message: None,
        permission: None,
        grant: None,
        hold: None,
        monitor: false,
        sensitivity: None,
    };
    Event {
        host: world.host_name().parse().unwrap(),
        boot_id: Uuid::from_u128(1),
        epoch: Uuid::from_u128(0xe),
        seq: EventSeq(1),
        time: UnixMs(1_700_000_000_000),
        kind: EventKind::Decision(Box::new(decision)),
    }
    .into()
}

async fn example() -> (tempfile::TempDir, World) {
    let (dir, world) = world(EXAMPLE).await;
    world.apply(&sensitive()).await.unwrap();
    let stream = HostStream::open(world.host_channel().await, hello(0)).await;
    report(&world, &stream, hold(FIRST, MINUTE)).await;
    report(&world, &stream, critical(SECOND)).await;
    (dir, world)
}

fn process(held: v1::Hold) -> v1::Process {
    held.process.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn auditors_see_everything_but_arguments_and_change_nothing() {
    let (_dir, world) = example().await;
    let mut events = EventStream::open(world.host_channel().await).await;
    events.publish(vec![decision(&world)]).await.unwrap();
    let first = format!("{FIRST:016x}");
    let said = process(get(&world, &first).await.unwrap());
    assert_eq!(said.arguments[0], b"vi");
    assert!(!said.arguments_withheld);

    world.login("ann", false);
    let withheld = |process: v1::Process| {
        assert_eq!(process.arguments, [WITHHELD.as_bytes()]);
        assert!(process.arguments_withheld && process.arguments_cut);
        // What else the process is stays to be seen.
        assert_eq!(process.pid, 4_242);
    };
    withheld(process(get(&world, &first).await.unwrap()));
    let listed = world
        .holds()
        .await
        .list_holds(v1::ListHoldsRequest::default())
        .await
        .unwrap();
    let listed = listed.into_inner().holds;
    assert_eq!(listed.len(), 2);
    listed.into_iter().map(process).for_each(withheld);
    let mut watch = world
        .holds()
        .await
        .watch_holds(v1::WatchHoldsRequest {})
        .await
        .unwrap()
        .into_inner();
    withheld(process(watch.message().await.unwrap().unwrap()));
    let recorded = world.all_events().await.into_iter();
    let recorded: Vec<v1::Process> = recorded
        .filter_map(|event| match event.kind {
            Some(v1::event::Kind::Decision(decision)) => decision.process,
            _ => None,
        })
        .collect();
    assert_eq!(recorded.len(), 1);
    recorded.into_iter().for_each(withheld);

    let says = "`ann` may not do `hold.approve`: no rule permits it, only rules `approvers`, `operators` permit it";
    let failure = failed(
        approve(&world, &first).await,
        Code::PermissionDenied,
        "NOT_PERMITTED",
        says,
    );
    assert!(failure.remedy.contains("#approvals"), "{failure:?}");
    let says = "`ann` may not do `policy.edit`";
    failed(
        world.apply(PROD).await,
        Code::PermissionDenied,
        "NOT_PERMITTED",
        says,
    );
    let refused = world.grants().await.create_grant(create()).await;
    failed(
        refused,
        Code::PermissionDenied,
        "NOT_PERMITTED",
        "`grant.create`",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn approvers_answer_holds_up_to_high_with_their_arguments() {
    let (_dir, world) = example().await;
    let (first, second) = (format!("{FIRST:016x}"), format!("{SECOND:016x}"));
    world.login("pat", false);
    let seen = process(get(&world, &second).await.unwrap());
    assert_eq!(
        (seen.arguments[0].as_slice(), seen.arguments_withheld),
        (&b"vi"[..], false)
    );
    for refused in [
        approve(&world, &second).await,
        refuse(&world, &second).await,
    ] {
        let says = format!("of hold `{second}` of rule `prod/keys`: no rule permits it");
        failed(refused, Code::PermissionDenied, "NOT_PERMITTED", &says);
    }
    let pending = get(&world, &second).await.unwrap();
    assert_eq!(pending.state(), v1::hold::State::Pending);
    let answered = approve(&world, &first).await.unwrap();
    assert_eq!(
        (answered.state(), answered.answered_by.as_str()),
        (v1::hold::State::Approved, "pat")
    );
    let listed = world
        .policies()
        .await
        .list_policies(v1::ListPoliciesRequest::default())
        .await;
    failed(
        listed,
        Code::PermissionDenied,
        "NOT_PERMITTED",
        "`policy.list`",
    );
    world.login("root", false);
    approve(&world, &second).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_editors_change_only_policies_of_their_team() {
    let (_dir, world) = example().await;
    world.login("eve", false);
    let says = "`eve` may not do `policy.edit` of policy `prod`: no rule permits it";
    let failure = failed(
        world.apply(PROD).await,
        Code::PermissionDenied,
        "NOT_PERMITTED",
        says,
    );
    assert!(failure.remedy.contains("`team-`"), "{failure:?}");
    let remove = |name: &str| v1::RemovePolicyRequest {
        name: format!("policies/{name}"),
        reason: "gone".into(),
        ..Default::default()
    };
    let refused = world.policies().await.remove_policy(remove("prod")).await;
    failed(
        refused,
        Code::PermissionDenied,
        "NOT_PERMITTED",
        "of policy `prod`",
    );
    // What was seen of a policy that is not theirs they may read, and nothing is changed by reading.
    let get = v1::GetPolicyRequest {
        name: "policies/prod".into(),
        revision: 0,
    };
    let prod = world
        .policies()
        .await
        .get_policy(get)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(prod.revision, 1);
    let team = PROD.replace("name: prod", "name: team-web");
    assert!(world.apply(&team).await.unwrap().changed);
    world
        .policies()
        .await
        .remove_policy(remove("team-web"))
        .await
        .unwrap();
    let refused = world
        .holds()
        .await
        .list_holds(v1::ListHoldsRequest::default())
        .await;
    failed(
        refused,
        Code::PermissionDenied,
        "NOT_PERMITTED",
        "`hold.list`",
    );
}

/// What a host says that it is counts as it is now.
#[tokio::test(flavor = "multi_thread")]
async fn rules_look_at_the_labels_of_the_host_of_a_hold_and_of_arguments() {
    let rules = "@id(\"all\") permit (principal, action, resource);
        @id(\"staging\") forbid (principal in Group::\"approvers\", action in [Action::\"hold.approve\", Action::\"arguments.read\"],
            resource) unless { resource.labels.contains(\"env=staging\") };";
    let (_dir, world) = world(rules).await;
    world.apply(PROD).await.unwrap();
    let is = |label: &str| Hello {
        labels: [label.parse().unwrap()].into_iter().collect(),
        ..hello(0)
    };
    let stream = HostStream::open(world.host_channel().await, is("env=prod")).await;
    report(&world, &stream, hold(FIRST, MINUTE)).await;
    world.login("pat", false);
    let first = format!("{FIRST:016x}");
    let says = "rule `staging` forbids it";
    failed(
        approve(&world, &first).await,
        Code::PermissionDenied,
        "FORBIDDEN",
        says,
    );
    assert!(process(get(&world, &first).await.unwrap()).arguments_withheld);
    let again = HostStream::open(world.host_channel().await, is("env=staging")).await;
    for _ in 0..200 {
        if !process(get(&world, &first).await.unwrap()).arguments_withheld {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    approve(&world, &first).await.unwrap();
    drop(again);
}

async fn whoami(world: &World) -> v1::GetIdentityResponse {
    let mut client = IdentityServiceClient::new(world.channel().await);
    let said = client.get_identity(GetIdentityRequest {}).await;
    said.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_told_who_they_are_and_what_they_may_do() {
    let (_dir, world) = example().await;
    let rights = |said: &v1::GetIdentityResponse| -> Vec<(String, bool)> {
        said.rights
            .iter()
            .map(|right| (right.action.clone(), right.depends))
            .collect()
    };
    let root = whoami(&world).await;
    assert_eq!(
        (
            root.user.as_str(),
            root.transport.as_str(),
            root.is_operator
        ),
        ("root", "socket", true)
    );
    assert_eq!(rights(&root).len(), Action::ALL.len());
    world.login("bob", false);
    let bob = whoami(&world).await;
    // Everybody looks after themselves, and nothing else.
    let own = [
        "session.list",
        "session.read",
        "session.revoke",
        "token.list",
        "token.read",
        "token.revoke",
    ];
    let own = own.map(|action| (action.to_owned(), true));
    let mine = [("identity.read".to_owned(), false)].into_iter().chain(own);
    assert_eq!(rights(&bob), mine.collect::<Vec<_>>());
    world.login("pat", false);
    let pat = whoami(&world).await;
    assert_eq!(
        (pat.groups.as_slice(), pat.is_operator),
        (&["approvers".to_owned()][..], false)
    );
    assert!(rights(&pat).contains(&("hold.approve".to_owned(), true)));
    assert!(rights(&pat).contains(&("arguments.read".to_owned(), false)));
    let approve = pat
        .rights
        .iter()
        .find(|right| right.action == "hold.approve")
        .unwrap();
    assert_eq!(approve.rules, ["approvers"]);
}
