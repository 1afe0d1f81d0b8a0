//! Who may do what, over the socket: every call is an action, the rules are asked of it and of the thing, and rules that are not
//! entirely good start nothing.

use std::process::Command;

use stayhand_control::{
    authz::{ALWAYS, Action, Authorization, CALLS, DEFAULT, SCHEMA},
    config::Changes,
    server::StartError,
};
use stayhand_guardrail::action::Operation;
use stayhand_proto::v1::{self, GetIdentityRequest};
use tonic::{Code, Request, Status, client::Grpc, codegen::http::uri::PathAndQuery};
use tonic_prost::ProstCodec;

use crate::{
    agent::{HostStream, hello},
    holds::{FIRST, MINUTE, SECOND, get, hold, report},
    locks, proposals, rollouts,
    world::{PROD, World, create, failed, seconds},
};

pub(crate) const EXAMPLE: &str = include_str!("../../../packaging/authorization.cedar");

/// [`PROD`] with two held places, the second of which is critical.
pub(crate) fn sensitive() -> String {
    let high = "{ id: nginx, effect: hold, permission: nginx, timeout: 1m, message: ask carol, sensitivity: high }";
    let critical = "{ id: keys, effect: hold, file: { ops: [read], path: /etc/keys/** }, timeout: 1m, sensitivity: critical }";
    let held = "{ id: nginx, effect: hold, permission: nginx, timeout: 1m, message: ask carol }";
    assert!(PROD.contains(held));
    PROD.replace(held, &format!("{high}\n    - {critical}"))
}

/// A world with these rules beside what always counts.
pub(crate) async fn world(rules: &str) -> (tempfile::TempDir, World) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("authorization.cedar");
    std::fs::write(&file, rules).unwrap();
    let world = World::with(|config| config.authorization.policies = Some(file)).await;
    (dir, world)
}

/// Makes a call, of whatever kind, and takes its first answer.
async fn call<M>(world: &World, call: &str, message: M) -> Result<(), Status>
where
    M: prost::Message + Default + 'static,
{
    let (service, method) = call.split_once('.').unwrap();
    let path: PathAndQuery = format!("/stayhand.v1.{service}/{method}").parse().unwrap();
    let mut client = Grpc::new(world.channel().await);
    client.ready().await.unwrap();
    let codec = ProstCodec::<M, ()>::default();
    let answers = client.server_streaming(Request::new(message), path, codec);
    answers.await?.into_inner().message().await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guarded_subject_is_refused_every_call_by_name_of_the_rule() {
    let (_dir, world) = world("@id(\"all\") permit (principal, action, resource);").await;
    world.login("root", true);
    for (name, action) in CALLS {
        let refused = call(&world, name, ()).await;
        let failure = failed(
            refused,
            Code::PermissionDenied,
            "GUARDED",
            "`root` is guarded",
        );
        assert_eq!(failure.details["action"], action.as_str(), "{name}");
        assert_eq!(failure.details["rules"], "guarded-subjects", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_refused_every_call_by_its_action_before_anything_is_looked_up() {
    let world = World::with_policy().await;
    world.login("bob", false);
    for (name, action) in CALLS {
        let refused = call(&world, name, ()).await;
        // Everybody may look after themselves, and who has nothing sees nothing.
        match action {
            Action::IdentityRead | Action::SessionList | Action::TokenList => {
                refused.unwrap();
                continue;
            }
            Action::SessionRevoke | Action::TokenRevoke => {
                failed(refused, Code::InvalidArgument, "INVALID_FIELD", "name");
                continue;
            }
            _ => {}
        }
        let says = "`bob` is no operator: no rule permits `bob` anything here";
        let failure = failed(refused, Code::PermissionDenied, "NOT_AN_OPERATOR", says);
        assert_eq!(failure.details["action"], action.as_str(), "{name}");
        assert!(
            failure.message.contains("rule `operators` permits it"),
            "{failure:?}"
        );
        assert!(
            failure.remedy.contains("`operators` in control.toml"),
            "{failure:?}"
        );
    }
}

/// Every call with what it takes to come to its thing.
async fn every_call(
    world: &World,
    grant: &str,
    proposal: &str,
    token: &str,
    lock: &str,
) -> Vec<(&'static str, Status)> {
    let reason = || "because".to_owned();
    let held = || format!("holds/{FIRST:016x}");
    let prod = || "policies/prod".to_owned();
    let (grant, proposal) = (|| grant.to_owned(), || proposal.to_owned());
    let (token, lock) = (|| token.to_owned(), || lock.to_owned());
    let mut refused = vec![];
    macro_rules! calls {
        ($($name:literal: $message:expr;)*) => {
            $(refused.push(($name, call(world, $name, $message).await.expect_err($name)));)*
        };
    }
    calls! {
        "AccessTokenService.CreateAccessToken": v1::CreateAccessTokenRequest { ttl: seconds(60), ..Default::default() };
        "AccessTokenService.ListAccessTokens": v1::ListAccessTokensRequest {};
        "AccessTokenService.RevokeAccessToken": v1::RevokeAccessTokenRequest { name: token() };
        "AuthorityService.ListAuthorities": v1::ListAuthoritiesRequest {};
        "AuthorityService.RetireAuthority": v1::RetireAuthorityRequest { name: "authorities/1".into(), reason: reason() };
        "AuthorityService.RotateAuthority": v1::RotateAuthorityRequest { reason: reason() };
        "EventService.TailEvents": v1::TailEventsRequest::default();
        "FlagService.ClearFlag": v1::ClearFlagRequest { name: "flags/busy".into(), reason: reason() };
        "FlagService.ListFlags": v1::ListFlagsRequest {};
        "FlagService.SetFlag": v1::SetFlagRequest { name: "flags/busy".into(), ttl: seconds(60), reason: reason() };
        "GrantService.CreateGrant": create();
        "GrantService.GetGrant": v1::GetGrantRequest { name: grant() };
        "GrantService.ListGrants": v1::ListGrantsRequest::default();
        "GrantService.RevokeGrant": v1::RevokeGrantRequest { name: grant(), reason: reason(), etag: String::new() };
        "GrantService.WatchGrant": v1::WatchGrantRequest { name: grant() };
        "HoldService.ApproveHold": v1::ApproveHoldRequest { name: held(), reason: reason() };
        "HoldService.GetHold": v1::GetHoldRequest { name: held() };
        "HoldService.ListHolds": v1::ListHoldsRequest::default();
        "HoldService.RefuseHold": v1::RefuseHoldRequest { name: held(), reason: reason() };
        "HoldService.WatchHolds": v1::WatchHoldsRequest {};
        "HostService.GetHost": v1::GetHostRequest { name: format!("hosts/{}", world.host_name()) };
        "HostService.ListHosts": v1::ListHostsRequest::default();
        "HostService.RevokeHost": v1::RevokeHostRequest { name: format!("hosts/{}", world.host_name()), reason: reason() };
        "IdentityService.GetIdentity": GetIdentityRequest {};
        "JoinTokenService.CreateJoinToken": v1::CreateJoinTokenRequest::default();
        "JoinTokenService.ListJoinTokens": v1::ListJoinTokensRequest {};
        "JoinTokenService.RevokeJoinToken": v1::RevokeJoinTokenRequest { name: "joinTokens/0000000000000001".into() };
        "LockService.CreateLock": v1::CreateLockRequest { user: "alice".into(), reason: reason(), ..Default::default() };
        "LockService.ListLocks": v1::ListLocksRequest {};
        "LockService.RemoveLock": v1::RemoveLockRequest { name: lock(), reason: reason() };
        "PolicyService.ApplyPolicy": v1::ApplyPolicyRequest { source: rollouts::changed(), ..Default::default() };
        "PolicyService.ApproveProposal": v1::ApproveProposalRequest { name: proposal(), reason: reason() };
        "PolicyService.ChangeRollout": v1::ChangeRolloutRequest { name: prod(), change: 1, reason: reason(), phase: String::new() };
        "PolicyService.GetPolicy": v1::GetPolicyRequest { name: prod(), revision: 0 };
        "PolicyService.GetProposal": v1::GetProposalRequest { name: proposal() };
        "PolicyService.ListPolicies": v1::ListPoliciesRequest::default();
        "PolicyService.ListPolicyStatus": v1::ListPolicyStatusRequest::default();
        "PolicyService.ListProposals": v1::ListProposalsRequest::default();
        "PolicyService.RefuseProposal": v1::RefuseProposalRequest { name: proposal(), reason: reason() };
        "PolicyService.RemovePolicy": v1::RemovePolicyRequest { name: prod(), reason: reason(), ..Default::default() };
        "SessionService.CreateBreakGlass": v1::CreateBreakGlassRequest { ttl: seconds(60), ..Default::default() };
        "SessionService.ListSessions": v1::ListSessionsRequest::default();
        "SessionService.RevokeSessions": v1::RevokeSessionsRequest { user: "bob".into(), reason: reason(), ..Default::default() };
    }
    refused
}

/// The heads of permits let everybody in here, so that what refuses is what each use case asks of the thing.
#[tokio::test(flavor = "multi_thread")]
async fn no_call_does_or_shows_anything_that_a_rule_about_its_thing_forbids() {
    let never = |action: Action| {
        let id = action.as_str().replace('.', "-");
        format!(
            "@id(\"never-{id}\") forbid (principal == User::\"ann\", action == Action::\"{action}\", resource);"
        )
    };
    let never = Action::ALL.map(never).join("\n");
    let rules = format!("@id(\"all\") permit (principal, action, resource);\n{never}");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("authorization.cedar");
    std::fs::write(&file, rules).unwrap();
    let world = World::with(|config| {
        config.authorization.policies = Some(file);
        let stages = "stages = [{ any = [\"user:bob\", \"user:ann\"] }]";
        config.policies = toml::from_str::<Changes>(stages).unwrap();
        config.network.listen = Some("127.0.0.1:0".parse().unwrap());
    })
    .await;
    let stream = HostStream::open(world.host_channel().await, hello(0)).await;
    let first = proposals::propose(&world, PROD).await;
    world.login("bob", false);
    proposals::approve(&world, &first.name).await.unwrap();
    world.login("root", false);
    let second = proposals::propose(&world, &rollouts::changed()).await;
    let grant = world
        .grants()
        .await
        .create_grant(create())
        .await
        .unwrap()
        .into_inner();
    report(&world, &stream, hold(FIRST, MINUTE)).await;

    let (token, _) = crate::sessions::token(&world, &["read"]).await;
    // Elsewhere, so that it is in nothing's way here.
    let lock = locks::lock(&world, locks::on("", "hosts/elsewhere"))
        .await
        .unwrap();
    world.login("ann", false);
    let refused = every_call(&world, &grant.name, &second.name, &token, &lock.name).await;
    let known: Vec<&str> = CALLS.iter().map(|(name, _)| *name).collect();
    let tried: Vec<&str> = refused.iter().map(|(name, _)| *name).collect();
    assert_eq!(tried, known);
    for ((name, status), (_, action)) in refused.into_iter().zip(CALLS) {
        let rule = format!("never-{}", action.as_str().replace('.', "-"));
        let says = format!("rule `{rule}` forbids it");
        let failure = failed::<()>(Err(status), Code::PermissionDenied, "FORBIDDEN", &says);
        assert_eq!(failure.details["action"], action.as_str(), "{name}");
        assert_eq!(failure.details["rules"], rule, "{name}");
        assert!(
            failure.message.contains(&failure.details["resource"]),
            "{name}: {failure:?}"
        );
        assert!(!failure.remedy.is_empty(), "{name}");
    }

    world.login("bob", false);
    let held = get(&world, &format!("{FIRST:016x}")).await.unwrap();
    assert_eq!(held.state(), v1::hold::State::Pending);
    let still = v1::GetGrantRequest { name: grant.name };
    let still = world
        .grants()
        .await
        .get_grant(still)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(still.state(), v1::grant::State::Active);
    let waits = v1::GetProposalRequest { name: second.name };
    let waits = world
        .policies()
        .await
        .get_proposal(waits)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(waits.state(), v1::policy_proposal::State::Pending);
    assert_eq!(locks::standing(&world).await, [lock]);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_leave_out_what_somebody_does_not_get_to_see_and_go_on_behind_it() {
    let rules = "@id(\"all\") permit (principal, action, resource);
        @id(\"odd\") forbid (principal == User::\"ann\", action == Action::\"policy.read\", resource) when { resource.name == \"prod\" };
        @id(\"held\") forbid (principal == User::\"ann\", action == Action::\"hold.read\", resource) when { resource.rule == \"nginx\" };";
    let (_dir, world) = world(rules).await;
    world.apply(&sensitive()).await.unwrap();
    world
        .apply(&PROD.replace("name: prod", "name: aaa"))
        .await
        .unwrap();
    let stream = HostStream::open(world.host_channel().await, hello(0)).await;
    report(&world, &stream, critical(SECOND)).await;
    report(&world, &stream, hold(FIRST, MINUTE)).await;
    world.login("ann", false);
    let listed = world
        .policies()
        .await
        .list_policies(v1::ListPoliciesRequest::default())
        .await;
    let listed: Vec<String> = listed
        .unwrap()
        .into_inner()
        .policies
        .into_iter()
        .map(|one| one.name)
        .collect();
    assert_eq!(listed, ["policies/aaa"]);
    // The newest is not to be seen: an empty page, and another one behind it.
    let page = |page_token: String| v1::ListHoldsRequest {
        page_size: 1,
        page_token,
        ..Default::default()
    };
    let one = world
        .holds()
        .await
        .list_holds(page(String::new()))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (one.holds.len(), one.next_page_token.is_empty()),
        (0, false)
    );
    let two = world
        .holds()
        .await
        .list_holds(page(one.next_page_token))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(two.holds[0].name, format!("holds/{SECOND:016x}"));
    let mut watch = world
        .holds()
        .await
        .watch_holds(v1::WatchHoldsRequest {})
        .await
        .unwrap()
        .into_inner();
    let seen = watch.message().await.unwrap().unwrap();
    assert_eq!(seen.name, format!("holds/{SECOND:016x}"));
}

/// Alice reads a key, which is critical.
pub(crate) fn critical(id: u64) -> stayhand_guardrail::hold::Hold {
    let mut held = hold(id, MINUTE);
    held.operation = Operation::Read;
    held.rule.rule = "keys".parse().unwrap();
    held
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_ones_own_is_refused_by_name_of_the_rule() {
    let world = World::with_policy().await;
    let own = v1::CreateGrantRequest {
        user: "root".into(),
        ..create()
    };
    let refused = world.grants().await.create_grant(own).await;
    let failure = failed(
        refused,
        Code::PermissionDenied,
        "OWN_GRANT",
        "cannot issue a grant to",
    );
    assert_eq!(failure.details["rules"], "own-requests");
    assert!(failure.remedy.contains("`own-requests`"), "{failure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_are_not_entirely_good_keep_the_control_plane_from_starting() {
    let (dir, mut world) = world(EXAMPLE).await;
    world.stop().await;
    let file = dir.path().join("authorization.cedar");
    std::fs::write(&file, EXAMPLE.replace("hold.approve", "hold.aprove")).unwrap();
    let Err(StartError::Authorization(error)) = world.start_another().await else {
        panic!("it started")
    };
    assert!(
        error
            .to_string()
            .contains("did you mean `Action::\"hold.approve\"`"),
        "{error}"
    );
}

/// The real program.
fn program(arguments: &[&std::ffi::OsStr]) -> (Option<i32>, String, String) {
    let program = env!("CARGO_BIN_EXE_stayhand-control");
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn a_check_of_the_configuration_says_where_the_rules_are_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let (config, rules) = (
        dir.path().join("control.toml"),
        dir.path().join("rules.cedar"),
    );
    std::fs::write(
        &config,
        format!(
            "[authorization]\npolicies = {:?}\n",
            rules.display().to_string()
        ),
    )
    .unwrap();
    let check = || {
        let arguments = [
            "--config".as_ref(),
            config.as_os_str(),
            "--check-config".as_ref(),
        ];
        program(&arguments)
    };
    let (code, _, told) = check();
    assert_eq!(code, Some(78));
    assert!(
        told.contains("cannot read the authorization policies") && told.contains("rules.cedar"),
        "{told}"
    );
    std::fs::write(
        &rules,
        "@id(\"a\")\npermit (principal, action, resource) when { principal.nam == \"x\" };",
    )
    .unwrap();
    let (code, _, told) = check();
    assert_eq!(code, Some(78));
    assert!(
        told.contains("rules.cedar:2:") && told.contains("did you mean `name`"),
        "{told}"
    );
    std::fs::write(&rules, EXAMPLE).unwrap();
    let (code, _, told) = check();
    assert_eq!(code, Some(0), "{told}");
}

#[test]
fn what_is_printed_is_what_counts_and_can_be_begun_with() {
    for (what, text) in [
        (None, DEFAULT),
        (Some("always"), ALWAYS),
        (Some("schema"), SCHEMA),
    ] {
        let arguments = ["--print-authorization"].into_iter().chain(what);
        let arguments: Vec<&std::ffi::OsStr> = arguments.map(std::convert::AsRef::as_ref).collect();
        assert_eq!(
            program(&arguments),
            (Some(0), text.to_owned(), String::new())
        );
    }
    Authorization::read("printed.cedar".as_ref(), DEFAULT).unwrap();
}
