//! Operators over the network: who may come in through which door, that everybody is the same person through all of them, and that
//! whatever is taken away counts for nothing at once.

use std::time::Duration;

use stayhand_proto::v1::{
    self, CreateBreakGlassRequest, ExchangeTokenRequest, GetIdentityRequest, OpenedSession,
    access_token_service_client::AccessTokenServiceClient, event::Kind,
    grant_service_client::GrantServiceClient, hold_service_client::HoldServiceClient,
    identity_service_client::IdentityServiceClient, session_service_client::SessionServiceClient,
    sign_in_service_client::SignInServiceClient,
};
use stayhand_transport::{
    AccessToken, Authorities, Credentials, Dialling, Key, Secret, operator, signing_in,
    signing_in_again,
};
use tonic::{Code, Status, transport::Channel};

use crate::{
    agent::{HostStream, hello},
    holds::{FIRST, MINUTE, SECOND, hold, report},
    outsider::{reach, world},
    world::{PROD, World, create, failed, seconds},
};

/// Somebody at the other end of the network.
pub(crate) struct Remote {
    pub(crate) opened: OpenedSession,
    key: Key,
}

impl Remote {
    fn dialling(&self) -> Dialling {
        let credentials = Credentials {
            certificate: self.opened.certificate.clone(),
            key: Key::from_pem(&self.key.pem()).unwrap(),
        };
        operator(self.authorities(), &credentials).unwrap()
    }

    fn authorities(&self) -> Authorities {
        Authorities::new(self.opened.authorities.clone()).unwrap()
    }

    pub(crate) async fn channel(&self, world: &World) -> Channel {
        reach(world, self.dialling()).await.unwrap().channel
    }

    async fn whoami(&self, world: &World) -> Result<v1::GetIdentityResponse, Status> {
        whoami(self.channel(world).await).await
    }

    fn id(&self) -> String {
        self.opened.session.as_ref().unwrap().name.clone()
    }
}

async fn whoami(channel: Channel) -> Result<v1::GetIdentityResponse, Status> {
    let mut client = IdentityServiceClient::new(channel);
    let asked = client.get_identity(GetIdentityRequest {}).await;
    asked.map(tonic::Response::into_inner)
}

async fn try_break_glass(channel: Channel, ttl: i64) -> Result<Remote, Status> {
    let key = Key::generate().unwrap();
    let ask = CreateBreakGlassRequest {
        certificate_request: key.request().unwrap(),
        ttl: seconds(ttl),
        reason: "on call".into(),
    };
    let made = SessionServiceClient::new(channel)
        .create_break_glass(ask)
        .await?;
    let opened = made.into_inner().opened.unwrap();
    Ok(Remote { opened, key })
}

/// A certificate of whoever the world is logged in as.
pub(crate) async fn break_glass(world: &World) -> Remote {
    try_break_glass(world.channel().await, 3_600).await.unwrap()
}

pub(crate) async fn token(world: &World, allow: &[&str]) -> (String, AccessToken) {
    let ask = v1::CreateAccessTokenRequest {
        purpose: "deployments".into(),
        actions: allow.iter().map(|word| (*word).to_owned()).collect(),
        ttl: seconds(3_600),
    };
    let made = AccessTokenServiceClient::new(world.channel().await)
        .create_access_token(ask)
        .await
        .unwrap()
        .into_inner();
    (made.token.unwrap().name, made.secret.parse().unwrap())
}

async fn exchange(world: &World, token: &AccessToken) -> Result<Remote, Status> {
    let key = Key::generate().unwrap();
    let ask = ExchangeTokenRequest {
        token: format!("accessTokens/{}", token.id),
        secret: token.secret.reveal().to_vec(),
        certificate_request: key.request().unwrap(),
    };
    let dialled = reach(world, signing_in(token.pin).unwrap()).await.unwrap();
    let mut client = SignInServiceClient::new(dialled.channel);
    let opened = client.exchange_token(ask).await?.into_inner().opened;
    Ok(Remote {
        opened: opened.unwrap(),
        key,
    })
}

fn revoke_one(name: String) -> v1::RevokeSessionsRequest {
    v1::RevokeSessionsRequest {
        name,
        reason: "laptop lost".into(),
        ..Default::default()
    }
}

fn revoke_all(user: &str) -> v1::RevokeSessionsRequest {
    v1::RevokeSessionsRequest {
        user: user.into(),
        reason: "left".into(),
        ..Default::default()
    }
}

/// Waits until a watch of holds ends.
async fn watch(channel: Channel) -> tonic::Streaming<v1::Hold> {
    let request = v1::WatchHoldsRequest {};
    let watched = HoldServiceClient::new(channel).watch_holds(request).await;
    watched.unwrap().into_inner()
}

async fn cut(mut stream: tonic::Streaming<v1::Hold>) {
    let ended = async { while let Ok(Some(_)) = stream.message().await {} };
    tokio::time::timeout(Duration::from_secs(1), ended)
        .await
        .expect("it is still served a second later");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_signs_in_gets_nothing_else_before() {
    let world = world().await;
    let known = break_glass(&world).await;
    let dialled = reach(&world, signing_in_again(known.authorities()).unwrap()).await;
    let refused = whoami(dialled.unwrap().channel).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unimplemented);
    // A host's certificate is no operator's, and the reverse.
    let credentials = Credentials {
        certificate: known.opened.certificate.clone(),
        key: Key::from_pem(&known.key.pem()).unwrap(),
    };
    let as_host = stayhand_transport::member(known.authorities(), &credentials).unwrap();
    let spoken = match reach(&world, as_host).await {
        // The client may be done before the server has looked.
        Ok(dialled) => whoami(dialled.channel).await.map(|_| ()),
        Err(_) => return,
    };
    assert!(spoken.is_err(), "it was served as a host");
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_the_same_person_through_every_door() {
    let world = world().await;
    world.apply(PROD).await.unwrap();
    world.login("carol", false);
    let remote = break_glass(&world).await;
    let (_, secret) = token(&world, &["grant.create"]).await;
    let program = exchange(&world, &secret).await.unwrap();
    let here = whoami(world.channel().await).await.unwrap();
    let there = remote.whoami(&world).await.unwrap();
    let acting = program.whoami(&world).await.unwrap();
    for (seen, transport) in [
        (&here, "socket"),
        (&there, "break-glass"),
        (&acting, "token"),
    ] {
        assert_eq!(
            (seen.user.as_str(), seen.transport.as_str()),
            ("carol", transport)
        );
        assert_eq!(seen.groups, here.groups);
    }
    assert_eq!(acting.token_purpose, "deployments");
    // What is the own is the own through every door.
    for channel in [
        world.channel().await,
        remote.channel(&world).await,
        program.channel(&world).await,
    ] {
        let own = v1::CreateGrantRequest {
            user: "carol".into(),
            ..create()
        };
        let refused = GrantServiceClient::new(channel).create_grant(own).await;
        failed(
            refused,
            Code::PermissionDenied,
            "OWN_GRANT",
            "ask another operator",
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_answers_the_own_hold_through_another_door() {
    let world = world().await;
    world.apply(PROD).await.unwrap();
    let stream = HostStream::open(world.host_channel().await, hello(0)).await;
    let mut own = hold(FIRST, MINUTE);
    own.subject.user = Some("carol".parse().unwrap());
    own.subject.auid = 1002;
    report(&world, &stream, own).await;
    world.login("carol", false);
    let remote = break_glass(&world).await;
    let ask = v1::ApproveHoldRequest {
        name: format!("holds/{FIRST:016x}"),
        reason: "mine".into(),
    };
    let mut holds = HoldServiceClient::new(remote.channel(&world).await);
    failed(
        holds.approve_hold(ask.clone()).await,
        Code::PermissionDenied,
        "OWN_HOLD",
        "ask another approver",
    );
    world.login("root", false);
    let other = break_glass(&world).await;
    let mut holds = HoldServiceClient::new(other.channel(&world).await);
    let approved = holds.approve_hold(ask).await.unwrap().into_inner();
    assert_eq!(approved.state(), v1::hold::State::Approved);
}

async fn approve_as(remote: &Remote, world: &World, id: u64) -> Result<v1::Hold, Status> {
    let ask = v1::ApproveHoldRequest {
        name: format!("holds/{id:016x}"),
        reason: "seen".into(),
    };
    let mut holds = HoldServiceClient::new(remote.channel(world).await);
    let approved = holds.approve_hold(ask).await;
    approved.map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_name_on_a_host_is_told_from_an_approver_by_uid_or_not_approved() {
    const NAMED: u64 = 0xaaaa_0000_0000_0003;
    let world = World::with(|config| {
        config.network.listen = Some("127.0.0.1:0".parse().unwrap());
        config.operators.users.push("zoe".parse().unwrap());
    })
    .await;
    world.apply(PROD).await.unwrap();
    let stream = HostStream::open(world.host_channel().await, hello(0)).await;
    world.login("carol", false);
    let carol = break_glass(&world).await;
    // Nobody of that name is known on this machine.
    world.login("zoe", false);
    let zoe = break_glass(&world).await;
    world.login("root", false);
    for (id, auid) in [(FIRST, 5_000), (SECOND, 1002)] {
        let mut nameless = hold(id, MINUTE);
        nameless.subject.user = None;
        nameless.subject.auid = auid;
        report(&world, &stream, nameless).await;
    }
    report(&world, &stream, hold(NAMED, MINUTE)).await;
    failed(
        approve_as(&zoe, &world, FIRST).await,
        Code::PermissionDenied,
        "OWN_HOLD",
        "no login on the control plane's machine",
    );
    failed(
        approve_as(&carol, &world, SECOND).await,
        Code::PermissionDenied,
        "OWN_HOLD",
        "is the one who is held",
    );
    for (who, id) in [(&carol, FIRST), (&zoe, NAMED)] {
        let approved = approve_as(who, &world, id).await.unwrap();
        assert_eq!(approved.state(), v1::hold::State::Approved);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_name_service_cannot_be_asked_nobody_gets_in_who_may_be_guarded() {
    let world = World::with(|config| {
        config.network.listen = Some("127.0.0.1:0".parse().unwrap());
        config.operators.users.push("dora".parse().unwrap());
    })
    .await;
    world.login("dora", false);
    let remote = break_glass(&world).await;
    world.login("root", false);
    // Dora is in dev.
    world.apply(PROD).await.unwrap();
    let says = "`dora` is guarded";
    let refused = remote.whoami(&world).await;
    failed(refused, Code::PermissionDenied, "GUARDED", says);
    world.names_are_down(true);
    let refused = remote.whoami(&world).await;
    let failure = failed(
        refused,
        Code::Unavailable,
        "NAMES_UNKNOWN",
        "name service cannot be asked",
    );
    assert!(failure.remedy.contains("try again"), "{failure:?}");
    for user in ["dora", "root"] {
        world.login(user, false);
        let refused = whoami(world.channel().await).await;
        failed(refused, Code::Unavailable, "NAMES_UNKNOWN", "try again");
    }
    // Whom nobody logged in as, and whom a file names, a policy can only name as a service.
    world.unpinned();
    whoami(world.channel().await).await.unwrap();
    world.names_are_down(false);
    let refused = remote.whoami(&world).await;
    failed(refused, Code::PermissionDenied, "GUARDED", says);
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_a_policy_guards_is_nobody_over_the_network_either() {
    let world = world().await;
    world.login("dora", false);
    let refused = try_break_glass(world.channel().await, 60).await.err();
    let refused = refused.expect("dora is no operator");
    assert_eq!(refused.code(), Code::PermissionDenied);
    world.login("carol", false);
    let remote = break_glass(&world).await;
    remote.whoami(&world).await.unwrap();
    world.login("root", false);
    let guarded = PROD.replace("users: [alice]", "users: [alice, carol]");
    world.apply(&guarded).await.unwrap();
    failed(
        remote.whoami(&world).await,
        Code::PermissionDenied,
        "GUARDED",
        "`carol` is guarded",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_break_glass_certificate_is_made_by_whom_the_kernel_names_and_nobody_else() {
    let world = world().await;
    world.login("carol", false);
    let remote = break_glass(&world).await;
    let again = try_break_glass(remote.channel(&world).await, 60)
        .await
        .err();
    let failure = failed::<()>(
        Err(again.expect("it would outlive the first")),
        Code::PermissionDenied,
        "FORBIDDEN",
        "rule `break-glass-by-socket` forbids it",
    );
    assert!(
        failure.remedy.contains("control plane's machine"),
        "{failure:?}"
    );
    let long = try_break_glass(world.channel().await, 90 * 86_400)
        .await
        .err();
    failed::<()>(
        Err(long.unwrap()),
        Code::InvalidArgument,
        "INVALID_FIELD",
        "up to 31d",
    );
    // It is loud: made, and used.
    remote.whoami(&world).await.unwrap();
    world.login("root", false);
    let told: Vec<(String, String)> = world
        .all_events()
        .await
        .into_iter()
        .filter_map(|event| match event.kind? {
            Kind::SessionChanged(changed) => Some((changed.change, changed.user)),
            _ => None,
        })
        .collect();
    let of_carol = |change: &str| (change.to_owned(), "carol".to_owned());
    assert_eq!(told, [of_carol("opened"), of_carol("used")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_ended_is_cut_off_at_once_and_others_are_not() {
    let world = world().await;
    let (lost, kept) = (break_glass(&world).await, break_glass(&world).await);
    let cut_off = watch(lost.channel(&world).await).await;
    let spared = kept.channel(&world).await;
    let mut sessions = SessionServiceClient::new(world.channel().await);
    sessions
        .revoke_sessions(revoke_one(lost.id()))
        .await
        .unwrap();
    cut(cut_off).await;
    failed(
        lost.whoami(&world).await,
        Code::Unauthenticated,
        "SESSION_REVOKED",
        "ended by root: laptop lost",
    );
    whoami(spared).await.unwrap();
    let again = sessions.revoke_sessions(revoke_one(lost.id())).await;
    failed(again, Code::NotFound, "UNKNOWN_SESSION", "does not count");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_of_somebodys_ends_together_and_only_who_may_ends_it() {
    let world = world().await;
    world.login("carol", false);
    let remote = break_glass(&world).await;
    let (name, secret) = token(&world, &["read"]).await;
    let program = exchange(&world, &secret).await.unwrap();
    let (one, two) = (
        watch(remote.channel(&world).await).await,
        watch(program.channel(&world).await).await,
    );
    // Bob may do nothing here but look after himself.
    world.login("bob", false);
    let mut sessions = SessionServiceClient::new(world.channel().await);
    let refused = sessions.revoke_sessions(revoke_all("carol")).await;
    failed(
        refused,
        Code::PermissionDenied,
        "NOT_PERMITTED",
        "session.revoke",
    );
    let refused = sessions.revoke_sessions(revoke_all("nobody")).await;
    failed(
        refused,
        Code::PermissionDenied,
        "NOT_PERMITTED",
        "session.revoke",
    );
    let seen = sessions
        .list_sessions(v1::ListSessionsRequest::default())
        .await;
    assert_eq!(seen.unwrap().into_inner().sessions, []);
    world.login("root", false);
    let ended = sessions.revoke_sessions(revoke_all("carol")).await;
    let ended = ended.unwrap().into_inner();
    assert_eq!((ended.sessions.len(), ended.tokens), (2, vec![name]));
    cut(one).await;
    cut(two).await;
    let refused = exchange(&world, &secret).await.err().unwrap();
    failed::<()>(
        Err(refused),
        Code::PermissionDenied,
        "TOKEN_REFUSED",
        "was taken away",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_does_what_it_is_for_and_nothing_that_is_a_persons() {
    let world = world().await;
    world.apply(PROD).await.unwrap();
    world.login("carol", false);
    for persons in [
        "hold.approve",
        "policy.approve",
        "token.create",
        "break-glass.create",
    ] {
        let ask = v1::CreateAccessTokenRequest {
            purpose: "deployments".into(),
            actions: vec!["grant.create".into(), persons.into()],
            ttl: seconds(60),
        };
        let mut tokens = AccessTokenServiceClient::new(world.channel().await);
        let refused = tokens.create_access_token(ask).await;
        failed(refused, Code::InvalidArgument, "INVALID_FIELD", persons);
    }
    let (_, secret) = token(&world, &["grant.create"]).await;
    let program = exchange(&world, &secret).await.unwrap();
    let channel = program.channel(&world).await;
    GrantServiceClient::new(channel.clone())
        .create_grant(create())
        .await
        .unwrap();
    let failure = failed(
        GrantServiceClient::new(channel.clone())
            .list_grants(v1::ListGrantsRequest::default())
            .await,
        Code::PermissionDenied,
        "OUT_OF_SCOPE",
        "the token for `deployments`",
    );
    assert!(failure.remedy.contains("--allow"), "{failure:?}");
    let stream = HostStream::open(world.host_channel().await, hello(0)).await;
    report(&world, &stream, hold(FIRST, MINUTE)).await;
    let approve = v1::ApproveHoldRequest {
        name: format!("holds/{FIRST:016x}"),
        reason: "because".into(),
    };
    let says = "the token for `deployments`";
    failed(
        HoldServiceClient::new(channel.clone())
            .approve_hold(approve)
            .await,
        Code::PermissionDenied,
        "OUT_OF_SCOPE",
        says,
    );
    let more = v1::CreateAccessTokenRequest {
        purpose: "more".into(),
        actions: vec!["read".into()],
        ttl: seconds(60),
    };
    failed(
        AccessTokenServiceClient::new(channel)
            .create_access_token(more)
            .await,
        Code::PermissionDenied,
        "OUT_OF_SCOPE",
        says,
    );
    let rights = program.whoami(&world).await.unwrap().rights;
    let rights: Vec<&str> = rights.iter().map(|right| right.action.as_str()).collect();
    assert_eq!(rights, ["identity.read", "grant.create"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_worth_no_more_than_its_maker() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("authorization.cedar");
    let rules = "@id(\"some\") permit (principal == User::\"ann\", action == Action::\"token.create\", resource);
        @id(\"root\") permit (principal == User::\"root\", action, resource);";
    std::fs::write(&file, rules).unwrap();
    let world = World::with(|config| {
        config.authorization.policies = Some(file);
        config.network.listen = Some("127.0.0.1:0".parse().unwrap());
    })
    .await;
    world.login("ann", false);
    let (_, secret) = token(&world, &["grant.list"]).await;
    let program = exchange(&world, &secret).await.unwrap();
    let mut grants = GrantServiceClient::new(program.channel(&world).await);
    let refused = grants.list_grants(v1::ListGrantsRequest::default()).await;
    failed(
        refused,
        Code::PermissionDenied,
        "NOT_PERMITTED",
        "grant.list",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_gets_nothing_and_what_is_worth_nothing_is_told() {
    let world = world().await;
    world.login("carol", false);
    let (name, secret) = token(&world, &["read"]).await;
    let wrong = AccessToken::new(secret.pin, secret.id, Secret::new([7; 32]));
    let refused = exchange(&world, &wrong).await.err().unwrap();
    failed::<()>(
        Err(refused),
        Code::PermissionDenied,
        "UNKNOWN_TOKEN",
        "not known",
    );
    let mut tokens = AccessTokenServiceClient::new(world.channel().await);
    let revoke = v1::RevokeAccessTokenRequest { name };
    tokens.revoke_access_token(revoke.clone()).await.unwrap();
    let again = tokens.revoke_access_token(revoke).await;
    failed(again, Code::NotFound, "UNKNOWN_TOKEN", "worth nothing");
    for _ in 0..3 {
        let refused = exchange(&world, &secret).await.err().unwrap();
        failed::<()>(
            Err(refused),
            Code::PermissionDenied,
            "TOKEN_REFUSED",
            "was taken away",
        );
    }
    world.login("root", false);
    let refusals = world.all_events().await.into_iter().filter(|event| {
        matches!(&event.kind, Some(Kind::AccessTokenChanged(changed)) if changed.change == "refused")
    });
    assert_eq!(
        refusals.count(),
        1,
        "once, and not as often as somebody likes"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_over_ends_its_streams_and_counts_for_nothing() {
    let world = world().await;
    let brief = try_break_glass(world.channel().await, 3).await.unwrap();
    let stream = watch(brief.channel(&world).await).await;
    let mut stream = stream;
    let ended = async { while let Ok(Some(_)) = stream.message().await {} };
    // Its own time, and not that in which whoever comes too late is told so.
    tokio::time::timeout(Duration::from_secs(7), ended)
        .await
        .expect("it goes on");
    failed(
        brief.whoami(&world).await,
        Code::Unauthenticated,
        "SESSION_OVER",
        "sign in again",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_provider_nobody_signs_in_and_is_told_what_else_there_is() {
    let world = world().await;
    let known = break_glass(&world).await;
    let dialled = reach(&world, signing_in_again(known.authorities()).unwrap()).await;
    let mut client = SignInServiceClient::new(dialled.unwrap().channel);
    let ask = v1::BeginSignInRequest {
        redirect_uri: "http://127.0.0.1:1/".into(),
        code_challenge: "A".repeat(43),
    };
    failed(
        client.begin_sign_in(ask).await,
        Code::FailedPrecondition,
        "NO_PROVIDER",
        "--token-file",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_stays_for_whoever_knows_no_other_and_takes_their_sessions_with_it() {
    let world = world().await;
    let remote = break_glass(&world).await;
    let stream = watch(remote.channel(&world).await).await;
    let mut authorities =
        v1::authority_service_client::AuthorityServiceClient::new(world.channel().await);
    let rotate = v1::RotateAuthorityRequest {
        reason: "yearly".into(),
    };
    authorities.rotate_authority(rotate).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    remote.whoami(&world).await.expect("nobody is cut off");
    let retire = v1::RetireAuthorityRequest {
        name: "authorities/1".into(),
        reason: "its key is known".into(),
    };
    authorities.retire_authority(retire).await.unwrap();
    cut(stream).await;
}
