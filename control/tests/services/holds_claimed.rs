//! Holds of which a host says what it cannot know, or more than it may.

use std::time::Duration;

use stayhand_control::{
    limits::HOLDS_PER_HOST_MAX,
    store::{StateDir, Store},
};
use stayhand_guardrail::{
    hold::{Cancel, Decided, Hold, HoldState},
    id::Revision,
    limits::HOLD_TIMEOUT_MAX,
    sensitivity::Sensitivity,
    time::{DurationMs, UnixMs},
};
use stayhand_proto::{
    message::FromHost,
    v1::{self, GetHostRequest, hold::State},
};
use tonic::Code;

use crate::{
    agent::{HostStream, hello},
    holds::{FIRST, MINUTE, SECOND, approve, get, hold, now, report, world},
    outsider::{self, Outsider},
    world::{PROD, World, failed},
};

/// The host, once something is said to be wrong with it.
async fn in_trouble(world: &World, name: &str) -> v1::Host {
    for _ in 0..200 {
        let request = GetHostRequest { name: name.into() };
        let seen = world.hosts().await.get_host(request).await.unwrap();
        let seen = seen.into_inner();
        if !seen.problems.is_empty() {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("nothing is wrong with {name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_cannot_approve() {
    let (world, stream) = world().await;
    report(&world, &stream, hold(FIRST, MINUTE)).await;
    let decided = Decided {
        by: "carol".parse().unwrap(),
        reason: "forged".into(),
        at: now(),
    };
    let forged = HoldState::Approved {
        decided,
        released: Some(now()),
    };
    stream
        .say(FromHost::Hold(Box::new(Hold {
            state: forged,
            ..hold(FIRST, MINUTE)
        })))
        .await;
    report(&world, &stream, hold(SECOND, MINUTE)).await;
    let seen = get(&world, &format!("{FIRST:016x}")).await.unwrap();
    assert_eq!(
        (seen.state(), seen.answered_by.as_str()),
        (State::Pending, "")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_transport_says_whose_hold_it_is() {
    let (world, stream) = world().await;
    report(&world, &stream, hold(FIRST, MINUTE)).await;
    let seen = get(&world, "aaaa").await.unwrap();
    assert_eq!(seen.host, world.host_name());
    assert_eq!(seen.process.unwrap().arguments[1], b"\x1b[2J\n\xff");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_says_of_a_sensitivity_counts_only_where_no_revision_is_known() {
    let (world, stream) = world().await;
    let sensitive = PROD.replace("ask carol }", "ask carol, sensitivity: critical }");
    world.apply(&sensitive).await.unwrap();
    let claimed = |id, revision, sensitivity| {
        let mut hold = hold(id, MINUTE);
        hold.rule.revision = Revision(revision);
        hold.sensitivity = sensitivity;
        hold
    };
    let seen = async |id: u64| {
        let hold = get(&world, &format!("{id:016x}")).await.unwrap();
        hold.sensitivity()
    };
    for (id, claim) in [
        (1, None),
        (2, Some(Sensitivity::Low)),
        (3, Some(Sensitivity::Critical)),
    ] {
        report(&world, &stream, claimed(FIRST + id, 2, claim)).await;
        assert_eq!(seen(FIRST + id).await, v1::Sensitivity::Critical, "{id}");
        // The revision before said nothing.
        report(&world, &stream, claimed(SECOND + id * 16, 1, claim)).await;
        let said = seen(SECOND + id * 16).await;
        assert_eq!(said, v1::Sensitivity::Unspecified, "{id}");
    }
    // Neither a word that comes later nor a later revision changes it.
    let again = claimed(FIRST + 1, 2, Some(Sensitivity::Low));
    report(&world, &stream, again).await;
    world.apply(PROD).await.unwrap();
    let unknown = claimed(FIRST + 9, 99, Some(Sensitivity::High));
    report(&world, &stream, unknown).await;
    assert_eq!(seen(FIRST + 1).await, v1::Sensitivity::Critical);
    // Nobody can say otherwise, and nobody may approve it.
    assert_eq!(seen(FIRST + 9).await, v1::Sensitivity::High);
    failed(
        approve(&world, &format!("{:016x}", FIRST + 9)).await,
        Code::FailedPrecondition,
        "UNKNOWN_RULE",
        "refuse it",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_which_nothing_is_known_here_is_nobodys_whatever_a_host_says() {
    let (world, stream) = world().await;
    let decided = Decided {
        by: "carol".parse().unwrap(),
        reason: "forged".into(),
        at: now(),
    };
    let approved = |released| HoldState::Approved {
        decided: decided.clone(),
        released,
    };
    let forged = [
        approved(None),
        approved(Some(now())),
        HoldState::Refused {
            decided: decided.clone(),
        },
        HoldState::Lapsed {
            why: "stage 1: nobody approved".into(),
            at: now(),
        },
    ];
    let count = forged.len();
    for (id, state) in (1..).zip(forged) {
        let forged = Hold {
            state,
            ..hold(id, MINUTE)
        };
        stream.say(FromHost::Hold(Box::new(forged))).await;
    }
    // What a host can know by itself is taken from it, however late it comes.
    let at = now();
    let own = [
        HoldState::TimedOut { at },
        HoldState::Void { at },
        HoldState::Cancelled {
            cause: Cancel::FatalSignal,
            at,
        },
    ];
    for (id, state) in (101..).zip(own) {
        let own = Hold {
            state,
            ..hold(id, MINUTE)
        };
        report(&world, &stream, own).await;
    }
    for id in 1..=4u64 {
        failed(
            get(&world, &format!("{id:016x}")).await,
            Code::NotFound,
            "UNKNOWN_ID",
            "no id starts with",
        );
    }
    let shown = in_trouble(&world, &world.host_name()).await.problems;
    assert!(
        shown[0].starts_with(&format!("{count} of its")),
        "{shown:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_hold_waits_for_longer_than_any_rule_whatever_its_host_says() {
    let (world, stream) = world().await;
    let seconds = |at: UnixMs| i64::try_from(at.0 / 1_000).unwrap();
    let before = now();
    // Until the year 9999, and of a host whose clock is an hour ahead as long as a rule can say.
    let ahead = HOLD_TIMEOUT_MAX.0 + 3_600_000;
    for (id, left) in [(FIRST, u64::MAX), (SECOND, ahead)] {
        report(&world, &stream, hold(id, DurationMs(left))).await;
        let seen = get(&world, &format!("{id:016x}")).await.unwrap();
        let until = seen.expire_time.unwrap().seconds;
        let from = seconds(before.plus(HOLD_TIMEOUT_MAX));
        let to = seconds(now().plus(HOLD_TIMEOUT_MAX));
        assert!((from..=to).contains(&until), "{from} {until} {to}");
    }
    let short = hold(7, MINUTE);
    let said = seconds(short.expire_time);
    report(&world, &stream, short).await;
    let seen = get(&world, &format!("{:016x}", 7)).await.unwrap();
    assert_eq!(seen.expire_time.unwrap().seconds, said);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_with_more_holds_than_a_kernel_takes_is_told_of_and_spoils_no_other_hosts_hold() {
    let mut world = outsider::world().await;
    world.apply(PROD).await.unwrap();
    let token = outsider::token(&world, v1::CreateJoinTokenRequest::default()).await;
    let member = Outsider::new("db1").join(&world, &token).await.unwrap();
    world.stop().await;
    {
        // One by one they would be as many waits for the disk.
        let state = StateDir::acquire(&world.config().state.directory).unwrap();
        let store = Store::open(state, "control".parse().unwrap(), uuid::Uuid::nil(), None);
        let store = store.await.unwrap();
        let mut write = store.begin().await.unwrap();
        for id in 1..=u64::from(HOLDS_PER_HOST_MAX) {
            let full = Hold {
                host: "db1".parse().unwrap(),
                ..hold(id, DurationMs::from_secs(3_600))
            };
            write.put_hold(&full).await.unwrap();
        }
        write.commit().await.unwrap();
        store.close().await;
    }
    world.start().await;
    let mut stream = HostStream::open(member.channel(&world).await, hello(0)).await;
    stream.state().await;
    let more = FromHost::Hold(Box::new(hold(FIRST, MINUTE)));
    stream.say(more).await;
    let shown = in_trouble(&world, "hosts/db1").await.problems;
    assert!(shown[0].starts_with("1 of its words"), "{shown:?}");
    failed(
        get(&world, &format!("{FIRST:016x}")).await,
        Code::NotFound,
        "UNKNOWN_ID",
        "no id starts with",
    );
    // Another host's counts, and so does what this one says of those that it has.
    let neighbour = HostStream::open(world.host_channel().await, hello(0)).await;
    report(&world, &neighbour, hold(SECOND, MINUTE)).await;
    let gone = HoldState::Cancelled {
        cause: Cancel::ProcessGone,
        at: now(),
    };
    let gone = Hold {
        state: gone,
        ..hold(1, MINUTE)
    };
    report(&world, &stream, gone).await;
    report(&world, &stream, hold(FIRST, MINUTE)).await;
}
