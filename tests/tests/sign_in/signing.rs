//! Who is signed in as whom, and who is not.

use std::time::Duration;

use serde_json::Value;
use stayhand_proto::v1::{
    BeginDeviceSignInRequest, PollDeviceSignInRequest, sign_in_service_client::SignInServiceClient,
};
use stayhand_transport::{Key, dial, signing_in};
use tonic::Code;

use crate::{
    browser::Browser,
    place::{Login, Place, Ran, is_private},
};

/// What the provider calls carol. It has nothing of her name, and its other claims say `root`.
const SUBJECT: &str = "248289761001";

const WHY: &str = "needs Node and the provider: cargo xtask test runs it";

/// Carol is signed in, and nobody else. Returns what she is told of herself.
fn carol_is(place: &Place, signed_in: &Ran) -> Value {
    assert_eq!(signed_in.code, 0, "{signed_in:#?}");
    assert!(signed_in.err.contains("as carol"), "{signed_in:#?}");
    let me = place.run(&["whoami", "-o", "json"]).json();
    assert_eq!(
        (&me["user"], &me["transport"]),
        (&"carol".into(), &"oidc".into())
    );
    me
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node and the provider: cargo xtask test runs it"]
async fn only_whoever_is_linked_is_signed_in_and_as_nobody_else() {
    let place = Place::new(SUBJECT);
    let pin = place.pin();
    let first = ["--pin", &pin, &place.address];
    // Nobody is linked to the subject: what the provider says of name and mail counts for nothing.
    let login = Login::begin(&place, &first);
    let mut browser = Browser::new(&place.provider_authority);
    assert_eq!(browser.open(&login.uri).await, 200, "{WHY}");
    let refused = login.end();
    refused.fails(5, "nobody is linked to subject `248289761001`");
    refused.fails(5, "\"248289761001\" = \"LOGIN NAME\"");
    place
        .run(&["whoami"])
        .fails(6, "/run/stayhand/control.sock");

    place.link(SUBJECT, "carol");
    let login = Login::begin(&place, &first);
    assert_eq!(browser.open(&login.uri).await, 200);
    let signed_in = login.end();
    let me = carol_is(&place, &signed_in);
    assert_eq!(me["operator"], true);
    let profile = place.at(".config/stayhand/session.toml");
    assert!(is_private(&profile));
    let events = place.local(&["events", "tail", "--last", "50", "-o", "jsonl"]);
    assert!(events.out.contains("session.refused"), "{events:#?}");
    assert!(events.out.contains("session.opened"), "{events:#?}");

    // Again without saying where, and out.
    let login = Login::begin(&place, &[]);
    assert_eq!(browser.open(&login.uri).await, 200);
    assert_eq!(login.end().code, 0);
    let out = place.run(&["logout"]);
    assert!(out.err.contains("signed out"), "{out:#?}");
    assert!(!profile.exists());
    let left = place.local(&["session", "ls", "-o", "json"]).json();
    assert_eq!(
        left["items"].as_array().unwrap().len(),
        1,
        "the first one: {left}"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node and the provider: cargo xtask test runs it"]
async fn a_code_is_worth_something_to_whoever_asked_for_it_and_nobody_else() {
    let place = Place::new(SUBJECT);
    place.link(SUBJECT, "carol");
    let pin = place.pin();
    let first = ["--pin", &pin, &place.address];
    let (mut browser, mut other) = (
        Browser::new(&place.provider_authority),
        Browser::new(&place.provider_authority),
    );
    let (login, another) = (Login::begin(&place, &first), Login::begin(&place, &first));
    let back = browser.code(&login.uri).await;
    // Somebody else's program gets nothing with it: the state is another one, and behind that the verifier.
    let mut elsewhere = back.clone();
    let port = other.code(&another.uri).await.port();
    elsewhere.set_port(port).unwrap();
    assert_eq!(other.get(elsewhere.clone()).await.status().as_u16(), 400);
    let state = other.code(&another.uri).await;
    let state = state
        .query_pairs()
        .find(|(name, _)| name == "state")
        .unwrap()
        .1
        .into_owned();
    let code = back
        .query_pairs()
        .find(|(name, _)| name == "code")
        .unwrap()
        .1
        .into_owned();
    elsewhere
        .query_pairs_mut()
        .clear()
        .append_pair("code", &code)
        .append_pair("state", &state);
    assert_eq!(other.get(elsewhere).await.status().as_u16(), 200);
    another
        .end()
        .fails(5, "the identity provider does not confirm it");
    // Who asked for it loses nothing by that.
    assert_eq!(browser.get(back).await.status().as_u16(), 200);
    assert_eq!(login.end().code, 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node and the provider: cargo xtask test runs it"]
async fn whoever_says_no_at_the_provider_and_whoever_is_not_there_is_told() {
    let mut place = Place::new(SUBJECT);
    place.link(SUBJECT, "carol");
    let pin = place.pin();
    let first = ["--pin", &pin, &place.address];
    let login = Login::begin(&place, &first);
    let mut back = Browser::new(&place.provider_authority)
        .code(&login.uri)
        .await;
    let state = back
        .query_pairs()
        .find(|(name, _)| name == "state")
        .unwrap()
        .1
        .into_owned();
    back.query_pairs_mut()
        .clear()
        .append_pair("state", &state)
        .append_pair("error", "access_denied");
    assert_eq!(
        Browser::new(&place.provider_authority)
            .get(back)
            .await
            .status()
            .as_u16(),
        200
    );
    login.end().fails(5, "did not sign you in: access_denied");
    // Another authority is nobody to be believed, whatever it sends.
    let other = "A".repeat(43);
    let stranger = Login::begin(&place, &["--pin", &other, &place.address]);
    stranger
        .end()
        .fails(5, "is not the control plane that is expected there");
    place.stop_provider();
    // What was known of it is still believed for a while; a code cannot be redeemed any more.
    let place = {
        let mut fresh = Place::new(SUBJECT);
        fresh.stop_provider();
        fresh
    };
    let (pin, address) = (place.pin(), place.address.clone());
    let late = Login::begin(&place, &["--pin", &pin, &address]);
    late.end().fails(6, "cannot be asked");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node and the provider: cargo xtask test runs it"]
async fn a_session_that_is_ended_is_told_so_and_the_other_doors_stay() {
    let place = Place::new(SUBJECT);
    place.link(SUBJECT, "carol");
    let pin = place.pin();
    let login = Login::begin(&place, &["--pin", &pin, &place.address]);
    assert_eq!(
        Browser::new(&place.provider_authority)
            .open(&login.uri)
            .await,
        200
    );
    assert_eq!(login.end().code, 0);
    // Break-glass and a token, by whom the kernel names: root.
    let (glass, token) = (place.at("glass.toml"), place.at("deploy.token"));
    let shown = |path: &std::path::Path| path.display().to_string();
    let made = place.local(&[
        "session",
        "break-glass",
        "--out",
        &shown(&glass),
        "--reason",
        "on call",
    ]);
    assert_eq!(made.code, 0, "{made:#?}");
    assert!(is_private(&glass));
    let made = place.local(&["token", "create", "deployments", "--allow", "flag.set"]);
    std::fs::write(&token, &made.out).unwrap();
    let readable = place.run(&[
        "--server",
        &place.address,
        "--token-file",
        &shown(&token),
        "whoami",
    ]);
    readable.fails(1, "can be read by others");
    std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let flag = ["flag", "set", "busy", "--for", "1h", "--reason", "release"];
    let by_token = ["--server", &place.address, "--token-file", &shown(&token)];
    let set = place.run(&[&by_token[..], &flag].concat());
    assert_eq!(set.code, 0, "{set:#?}");
    place
        .run(&[&by_token[..], &["flag", "ls"]].concat())
        .fails(5, "the token for `deployments`");

    let ended = place.local(&["session", "revoke", "--user", "carol", "--reason", "left"]);
    assert!(
        ended.err.contains("1 session and 0 tokens count no more"),
        "{ended:#?}"
    );
    place
        .run(&["whoami"])
        .fails(5, "your session was ended by root: left");
    let me = place
        .run(&["--session-file", &shown(&glass), "whoami", "-o", "json"])
        .json();
    assert_eq!(
        (&me["user"], &me["transport"]),
        (&"root".into(), &"break-glass".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node and the provider: cargo xtask test runs it"]
async fn without_a_browser_a_code_signs_in_only_where_that_is_turned_on() {
    let off = Place::new(SUBJECT);
    off.link(SUBJECT, "carol");
    let (pin, address) = (off.pin(), off.address.clone());
    off.run(&["login", "--device-code", "--pin", &pin, &address])
        .fails(4, "turned off here (`oidc.device_flow`");

    let place = Place::configured(SUBJECT, "device_flow = true");
    let pin = place.pin();
    let first = ["--pin", &pin, &place.address];
    let (stranger, aborted) = (
        Login::with_code(&place, &first),
        Login::with_code(&place, &first),
    );
    assert_ne!(stranger.user_code(), aborted.user_code());
    let mut browser = Browser::new(&place.provider_authority);
    let page = browser
        .enter(&stranger.uri, stranger.user_code(), "confirm")
        .await;
    assert!(page.contains("Sign-in Success"), "{WHY}: {page}");
    let page = browser
        .enter(&aborted.uri, aborted.user_code(), "abort")
        .await;
    assert!(page.contains("interrupted"), "{page}");
    // Entering a code makes nobody somebody here, and refusing it is told.
    stranger
        .end()
        .fails(5, "nobody is linked to subject `248289761001`");
    aborted.end().fails(5, "access_denied");

    place.link(SUBJECT, "carol");
    let login = Login::with_code(&place, &first);
    let page = browser
        .enter(&login.uri, login.user_code(), "confirm")
        .await;
    assert!(page.contains("Sign-in Success"), "{page}");
    let signed_in = login.end();
    carol_is(&place, &signed_in);
    assert!(is_private(&place.at(".config/stayhand/session.toml")));
    let events = place.local(&["events", "tail", "--last", "50", "-o", "jsonl"]);
    let of = |line: &&str| line.contains("session.opened");
    let opened = events.out.lines().find(of).unwrap();
    assert!(
        opened.contains("a code that was entered elsewhere"),
        "{opened}"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node and the provider: cargo xtask test runs it"]
async fn a_code_is_worth_one_session_to_whoever_asked_for_it_and_few_are_asked_for_at_once() {
    let place = Place::configured(SUBJECT, "device_flow = true");
    place.link(SUBJECT, "carol");
    let dialling = signing_in(place.pin().parse().unwrap()).unwrap();
    let dialled = dial(&place.address, dialling).await.unwrap();
    let mut client = SignInServiceClient::new(dialled.channel);
    let certificate_request = Key::generate().unwrap().request().unwrap();
    let poll = |sign_in: &str| PollDeviceSignInRequest {
        sign_in: sign_in.to_owned(),
        certificate_request: certificate_request.clone(),
    };
    let stranger = client.poll_device_sign_in(poll("made up")).await;
    assert_eq!(stranger.unwrap_err().code(), Code::FailedPrecondition);

    let begin = BeginDeviceSignInRequest {};
    let first = client.begin_device_sign_in(begin).await.unwrap();
    let first = first.into_inner();
    // What cannot be read uses nothing up.
    let malformed = PollDeviceSignInRequest {
        certificate_request: vec![1],
        ..poll(&first.sign_in)
    };
    let malformed = client.poll_device_sign_in(malformed).await;
    assert_eq!(malformed.unwrap_err().code(), Code::InvalidArgument);
    let early = client.poll_device_sign_in(poll(&first.sign_in)).await;
    assert_eq!(early.unwrap().into_inner().opened, None);

    let page = Browser::new(&place.provider_authority)
        .enter(&first.verification_uri, &first.user_code, "confirm")
        .await;
    assert!(page.contains("Sign-in Success"), "{page}");
    let mut opened = None;
    for _ in 0..100 {
        let polled = client.poll_device_sign_in(poll(&first.sign_in)).await;
        opened = polled.unwrap().into_inner().opened;
        if opened.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(opened.is_some(), "nothing came of the code");
    let again = client.poll_device_sign_in(poll(&first.sign_in)).await;
    assert_eq!(again.unwrap_err().code(), Code::FailedPrecondition);

    let mut more = 0;
    let refused = loop {
        match client.begin_device_sign_in(begin).await {
            Ok(_) => more += 1,
            Err(refused) => break refused,
        }
    };
    assert_eq!((more, refused.code()), (8, Code::ResourceExhausted));
}
