//! What comes of what is sent: the very state that was meant, or nothing and a request for everything.

use std::sync::mpsc::Receiver;

use stayhand_guardrail::{
    host::{HostState, Lease, Phase, PolicyRevision},
    id::{Generation, GrantId, Revision},
    resource::StateDigest,
    time::UnixMs,
};
use stayhand_proto::{
    message::{Delivery, Held, Misfitting, Resource, ToHost, ToHostMessage},
    protocol::{DELTAS, PROTOCOL, WITHDRAWALS},
    resources::Resources,
    v1::SyncResponse,
};
use uuid::Uuid;

use super::*;
use crate::{
    health::Part,
    testing::{NOW, spool},
};

fn uplink(place: &std::path::Path) -> (Uplink, Receiver<Wake>) {
    testing::uplink(place, spool(place))
}

fn state(generation: u64, leases: &[u128]) -> HostState {
    HostState {
        generation: Generation(generation),
        policies: vec![PolicyRevision {
            name: "prod".parse().unwrap(),
            revision: Revision(1),
            source: "a: b\n".into(),
        }],
        leases: leases
            .iter()
            .map(|grant| Lease {
                grant: GrantId(Uuid::from_u128(*grant)),
                user: "alice".parse().unwrap(),
                permissions: vec!["prod/db".parse().unwrap()],
                expire_time: UnixMs(NOW.0 + 1_000),
                server_time: NOW,
            })
            .collect(),
        ..HostState::default()
    }
}

fn now() -> Now {
    Now {
        boot_ns: 1,
        tai_ns: 1,
        unix: NOW,
    }
}

impl Uplink {
    fn comes(&self, message: ToHostMessage) -> Option<FromHost> {
        let response = ToHost {
            server_time: NOW,
            protocol: PROTOCOL,
            message,
        };
        self.received(response, now()).unwrap()
    }

    fn delivered_whole(&self, nonce: u64, state: HostState) -> Option<FromHost> {
        let to = state.generation;
        let delivery = Delivery {
            nonce,
            ..Resources::of(state).after(None, to)
        };
        self.comes(ToHostMessage::Delivery(delivery))
    }
}

fn handed_on(woken: &Receiver<Wake>) -> Option<HostState> {
    match woken.try_recv().ok()? {
        Wake::State(state, _) => Some(*state),
        other => panic!("{other:?}"),
    }
}

fn relist(said: Option<FromHost>) -> (Misfitting, u64, Generation) {
    match said {
        Some(FromHost::Relist(one)) => (one.why, one.nonce, one.held_generation),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_delta_comes_out_as_the_whole_state_that_was_meant() {
    let place = tempfile::tempdir().unwrap();
    let (uplink, woken) = uplink(place.path());
    assert_eq!(uplink.delivered_whole(1, state(4, &[7])), None);
    let first = handed_on(&woken).unwrap();
    assert_eq!(first.digest, Some(Resources::of(state(4, &[7])).digest()));
    let before = Resources::of(state(4, &[7]));
    let meant = Resources::of(state(6, &[8]));
    let mut delta = meant.after(Some((Generation(4), before.versions())), Generation(6));
    delta.nonce = 2;
    assert!(delta.upserted.len() == 1 && delta.removed.len() == 1);
    assert_eq!(uplink.comes(ToHostMessage::Delivery(delta)), None);
    let digest = Some(meant.digest());
    let wanted = HostState {
        digest,
        ..state(6, &[8])
    };
    assert_eq!(handed_on(&woken).unwrap(), wanted);
    // The word on it says to which delivery it belongs.
    let ack = Ack {
        digest,
        ..Ack::new(Generation(6), Phase::Enforced)
    };
    assert!(matches!(uplink.word(ack), FromHost::Ack { nonce: 2, .. }));
    let of_the_first = Ack::new(Generation(5), Phase::Received);
    assert!(matches!(
        uplink.word(of_the_first),
        FromHost::Ack { nonce: 1, .. }
    ));
}

#[test]
fn what_does_not_fit_is_not_handed_on_and_everything_is_asked_for() {
    let place = tempfile::tempdir().unwrap();
    let (uplink, woken) = uplink(place.path());
    uplink.delivered_whole(1, state(4, &[7]));
    handed_on(&woken).unwrap();
    let before = Resources::of(state(4, &[7]));
    let meant = Resources::of(state(6, &[8]));
    let delta = |from| Delivery {
        nonce: 2,
        ..meant.after(Some((Generation(from), before.versions())), Generation(6))
    };
    let said = uplink.comes(ToHostMessage::Delivery(delta(3)));
    assert_eq!(relist(said), (Misfitting::Gap, 2, Generation(4)));
    let mut spoilt = delta(4);
    spoilt.removed.clear();
    let said = uplink.comes(ToHostMessage::Delivery(spoilt));
    assert_eq!(relist(said), (Misfitting::Digest, 2, Generation(4)));
    assert!(handed_on(&woken).is_none(), "nothing of it counts");
    let problem = uplink.health.now().problems[&Part::Delivery].clone();
    assert!(problem.contains("2 times"), "{problem}");
    uplink.delivered_whole(3, state(6, &[8]));
    assert!(handed_on(&woken).is_some());
    assert!(!uplink.health.now().problems.contains_key(&Part::Delivery));
}

#[test]
fn a_bookmark_tells_that_something_was_missed() {
    let place = tempfile::tempdir().unwrap();
    let (uplink, _woken) = uplink(place.path());
    uplink.delivered_whole(1, state(4, &[7]));
    let bookmark = |generation, digest| ToHostMessage::Bookmark {
        generation: Generation(generation),
        authorities: AuthoritiesRevision(0),
        digest,
        beat: 0,
    };
    let held = Resources::of(state(4, &[7])).digest();
    assert_eq!(uplink.comes(bookmark(4, Some(held))), None);
    assert_eq!(uplink.comes(bookmark(9, None)), None, "says nothing of it");
    let said = uplink.comes(bookmark(5, Some(held)));
    assert_eq!(relist(said), (Misfitting::Gap, 0, Generation(4)));
    let other = StateDigest::of_body(b"");
    assert_eq!(relist(uplink.comes(bookmark(4, Some(other)))).1, 0);
}

/// A proof is as old as the beat that it answers, and is none of what the kernel does not enforce.
#[test]
fn only_the_newest_state_in_the_kernel_is_proven_and_from_when_the_host_spoke() {
    let place = tempfile::tempdir().unwrap();
    let (mut uplink, _woken) = uplink(place.path());
    let proven: Arc<std::sync::Mutex<Vec<u64>>> = Arc::default();
    let told = Arc::clone(&proven);
    uplink.prove = Box::new(move |at| {
        told.lock().unwrap().push(at.boot_ns);
        Ok(())
    });
    let at = |boot_ns| Now { boot_ns, ..now() };
    let beat = |uplink: &Uplink, boot_ns| match uplink.heartbeat(at(boot_ns)) {
        FromHost::Heartbeat { beat, .. } => beat,
        other => panic!("{other:?}"),
    };
    let answered = |uplink: &Uplink, generation, digest, beat| {
        uplink.comes(ToHostMessage::Bookmark {
            generation: Generation(generation),
            authorities: AuthoritiesRevision(0),
            digest,
            beat,
        })
    };
    let times = || proven.lock().unwrap().clone();
    uplink.delivered_whole(1, state(4, &[7]));
    let held = Some(Resources::of(state(4, &[7])).digest());
    let first = beat(&uplink, 10);
    answered(&uplink, 4, None, first);
    answered(&uplink, 4, Some(StateDigest::of_body(b"")), first);
    answered(&uplink, 5, held, first);
    answered(&uplink, 4, held, 99);
    uplink
        .health
        .change(|health| health.generation = Generation(4));
    answered(&uplink, 4, held, 0);
    assert!(times().is_empty(), "nobody said that this is the newest");
    uplink
        .health
        .change(|health| health.generation = Generation(3));
    answered(&uplink, 4, held, first);
    assert!(times().is_empty(), "the kernel does not have it");
    beat(&uplink, 20);
    uplink
        .health
        .change(|health| health.generation = Generation(4));
    answered(&uplink, 4, held, 0);
    assert_eq!(times(), [10], "not from when the answer came");
    assert_eq!(uplink.health.now().proven, Some(at(10)));
    uplink.hello();
    answered(&uplink, 4, held, 2);
    assert_eq!(times(), [10], "a beat of another connection");
}

#[test]
fn a_resource_that_cannot_be_read_is_named_and_nothing_of_its_state_counts() {
    let place = tempfile::tempdir().unwrap();
    let (uplink, woken) = uplink(place.path());
    let resource = Resource {
        name: "policies/prod".into(),
        body: vec![0xff; 4],
    };
    let version = StateDigest::of_body(&resource.body);
    let delivery = Delivery {
        nonce: 1,
        from: None,
        to: Generation(4),
        upserted: vec![resource],
        removed: vec![],
        digest_after: StateDigest::of_all([("policies/prod", &version)]),
    };
    let said = uplink.comes(ToHostMessage::Delivery(delivery));
    let Some(FromHost::Ack { ack, nonce: 1 }) = said else {
        panic!("{said:?}");
    };
    assert_eq!(ack.errors[0].name, "policies/prod");
    assert!(matches!(ack.phase, Phase::Rejected { .. }));
    assert!(handed_on(&woken).is_none());
}

#[test]
fn what_is_held_is_said_and_is_what_the_journal_has_after_a_restart() {
    let place = tempfile::tempdir().unwrap();
    let (uplink, _woken) = uplink(place.path());
    let hello = |uplink: &Uplink| match uplink.hello() {
        FromHost::Hello(hello) => hello,
        other => panic!("{other:?}"),
    };
    let first = hello(&uplink);
    assert_eq!(first.held, None);
    assert!(first.can(DELTAS) && first.can(WITHDRAWALS) && first.protocol == PROTOCOL);
    uplink.delivered_whole(1, state(4, &[7]));
    let held = Some(Held {
        generation: Generation(4),
        versions: Resources::of(state(4, &[7])).versions().clone(),
    });
    assert_eq!(hello(&uplink).held, held);
    let word = uplink.word(Ack::new(Generation(4), Phase::Enforced));
    assert!(
        matches!(word, FromHost::Ack { nonce: 0, .. }),
        "numbers of another connection"
    );
    let stored = crate::reconcile::Stored {
        good: Some(state(4, &[7])),
        candidate: None,
    };
    let documents = vec![(
        crate::spool::Key::State,
        serde_json::to_vec(&stored).unwrap(),
    )];
    uplink.spool.put_documents(&documents).unwrap();
    let again = Holding::journaled(&uplink.spool);
    assert_eq!(again.connected(), held);
}

/// As the control plane before deliveries wrote it, byte by byte and never generated: server_time, and a state with generation 9,
/// policy `prod` and a lease of alice.
const WHOLE_STATE: &str = "\
0a060880e2cfaa0612530809120f0a0470726f6410011a05613a20620a1a3e0a2430303030303030302d303030302d30\
3030302d303030302d3030303030303030303030371205616c6963651a0770726f642f6462220608bce2cfaa06";

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().map(|one| one.to_digit(16).unwrap()).collect();
    let pairs = digits.chunks(2);
    pairs
        .map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap())
        .collect()
}

#[test]
fn a_control_plane_from_before_deliveries_is_served_with_whole_states() {
    let place = tempfile::tempdir().unwrap();
    let (uplink, woken) = uplink(place.path());
    let bytes = bytes_of(WHOLE_STATE);
    let wire = <SyncResponse as prost::Message>::decode(bytes.as_slice()).unwrap();
    let response: ToHost = wire.try_into().unwrap();
    assert_eq!(response.protocol, 0);
    assert_eq!(uplink.received(response, now()).unwrap(), None);
    let state = handed_on(&woken).unwrap();
    assert_eq!((state.generation, state.digest), (Generation(9), None));
    assert_eq!(state.leases[0].grant, GrantId(Uuid::from_u128(7)));
    // Its bookmarks have no digest: `3: { 1: 9 }`.
    let bookmark = [
        0x0a, 0x06, 0x08, 0x80, 0xe2, 0xcf, 0xaa, 0x06, 0x1a, 0x02, 0x08, 0x09,
    ];
    let bookmark = <SyncResponse as prost::Message>::decode(bookmark.as_slice()).unwrap();
    assert_eq!(
        uplink
            .received(bookmark.try_into().unwrap(), now())
            .unwrap(),
        None
    );
    // What it is told has nothing in it that it would not read as before.
    let said = uplink.word(Ack::new(Generation(9), Phase::Enforced));
    let bytes = prost::Message::encode_to_vec(&SyncRequest::from(said));
    assert_eq!(bytes, [0x12, 0x04, 0x08, 0x09, 0x10, 0x03]);
}

#[test]
fn a_control_plane_that_is_too_old_is_not_listened_to_and_doctor_says_so() {
    let place = tempfile::tempdir().unwrap();
    let (mut uplink, woken) = uplink(place.path());
    uplink.oldest_protocol = PROTOCOL + 1;
    let response = ToHost {
        server_time: NOW,
        protocol: PROTOCOL,
        message: ToHostMessage::State(state(4, &[])),
    };
    let error = uplink.received(response, now()).unwrap_err();
    assert!(matches!(error, UplinkError::TooOld { .. }));
    assert!(handed_on(&woken).is_none());
    uplink.say(&error, &mut String::new());
    let problem = uplink.health.now().problems[&Part::Delivery].clone();
    assert!(
        problem.contains("needs 2 or later") && problem.contains("install"),
        "{problem}"
    );
}
