//! What hosts and the control plane say to each other survives the way, and nothing is longer than what a host would parse.

use prost::Message as _;
use stayhand_guardrail::{
    hold::HoldState,
    host::{Ack, Answer, HoldAnswer, HostState, Lease, Phase, PolicyRevision},
    id::{AuthoritiesRevision, Generation, GrantId, HoldId, Revision},
    resource::{ResourceError, StateDigest},
    time::{DurationMs, UnixMs},
};
use uuid::Uuid;

use super::{hold, refused};
use crate::{
    limits::FRESH_FOR_MAX,
    message::{
        Delivery, FromHost, Held, Hello, HostHealth, Misfitting, Relist, Resource, ToHost,
        ToHostMessage, Withdrawal,
    },
    resources::Versions,
    v1,
};

#[test]
#[expect(clippy::too_many_lines, reason = "every kind of word once")]
fn every_word_between_host_and_control_plane_survives_the_way() {
    let server_time = UnixMs(1_700_000_000_007);
    let state = HostState {
        generation: Generation(4),
        policies: vec![PolicyRevision {
            name: "prod".parse().unwrap(),
            revision: Revision(1),
            source: "a: ü".into(),
        }],
        leases: vec![Lease {
            grant: GrantId(Uuid::from_u128(5)),
            user: "alice".parse().unwrap(),
            permissions: vec![
                "prod/db".parse().unwrap(),
                "prod/logs(service=nginx)".parse().unwrap(),
            ],
            expire_time: UnixMs(1_700_000_000_999),
            server_time,
        }],
        flags: [("high-traffic".parse().unwrap(), UnixMs(9_000))].into(),
        shadows: vec![PolicyRevision {
            name: "prod".parse().unwrap(),
            revision: Revision(2),
            source: "a: o".into(),
        }],
        answers: [
            (Answer::Approved, Some("carol")),
            (Answer::Refused, Some("carol")),
            (Answer::Refused, None),
        ]
        .map(|(answer, by)| HoldAnswer {
            hold: HoldId(9),
            answer,
            by: by.map(|by| by.parse().unwrap()),
            reason: "yes".into(),
        })
        .to_vec(),
        fresh_for: Some(DurationMs(90_500)),
        digest: None,
    };
    let digest = StateDigest::of_body(b"x");
    let delivery = |from| Delivery {
        nonce: 5,
        from,
        to: Generation(4),
        upserted: vec![Resource {
            name: "policies/prod".into(),
            body: vec![1, 2],
        }],
        removed: vec!["leases/7".into()],
        digest_after: digest,
    };
    let bookmark = |digest| ToHostMessage::Bookmark {
        generation: Generation(7),
        authorities: AuthoritiesRevision(3),
        digest,
        beat: 12,
    };
    let withdrawal = Withdrawal {
        generation: Generation(4),
        grants: vec![GrantId(Uuid::from_u128(5))],
        refusals: state.answers[1..].to_vec(),
    };
    for message in [
        ToHostMessage::State(state),
        bookmark(None),
        bookmark(Some(digest)),
        ToHostMessage::Delivery(delivery(None)),
        ToHostMessage::Delivery(delivery(Some(Generation(0)))),
        ToHostMessage::Withdrawal(withdrawal),
    ] {
        let down = ToHost {
            server_time,
            protocol: 3,
            message,
        };
        assert_eq!(
            ToHost::try_from(v1::SyncResponse::from(down.clone())),
            Ok(down)
        );
    }
    let hello = Hello {
        agent_version: "0.1.0".into(),
        kernel_release: "6.12".into(),
        boot_id: Uuid::from_u128(4),
        hooks: vec!["file_open".into()],
        enforced_generation: Generation(0),
        labels: ["env=prod", "region=eu"]
            .map(|one| one.parse().unwrap())
            .into_iter()
            .collect(),
        floor: vec!["floor.base sha256:00".into()],
        watches_shadows: true,
        protocol: 1,
        capabilities: ["deltas".to_owned()].into(),
        fresh_for: Some(DurationMs(90_500)),
        held: Some(Held {
            generation: Generation(3),
            versions: Versions([("flags/x".to_owned(), digest)].into()),
        }),
    };
    for up in [
        FromHost::Hello(hello),
        FromHost::from(Ack::new(Generation(4), Phase::Received)),
        FromHost::Ack {
            ack: Ack {
                generation: Generation(4),
                phase: Phase::Rejected {
                    reasons: vec!["no".into()],
                },
                digest: Some(digest),
                errors: vec![ResourceError {
                    name: "policies/prod".into(),
                    reason: "no".into(),
                }],
                fresh_for: Some(DurationMs(90_500)),
            },
            nonce: 8,
        },
        FromHost::Relist(Relist {
            nonce: 8,
            why: Misfitting::Digest,
            held_generation: Generation(3),
            held_digest: digest,
        }),
        FromHost::Hold(Box::new(hold(HoldState::Pending))),
        FromHost::Heartbeat {
            events_lost: 3,
            health: None,
            beat: 0,
        },
        FromHost::Heartbeat {
            events_lost: 3,
            health: Some(HostHealth {
                hooks: vec!["file_open".into()],
                hooks_gone: vec!["capable".into()],
                problems: vec!["no hook".into()],
            }),
            beat: 12,
        },
    ] {
        let bytes = v1::SyncRequest::from(up.clone()).encode_to_vec();
        assert_eq!(
            FromHost::try_from(v1::SyncRequest::decode(bytes.as_slice()).unwrap()),
            Ok(up)
        );
    }
}

#[test]
fn a_withdrawal_approves_nothing() {
    let approval = HoldAnswer {
        hold: HoldId(9),
        answer: Answer::Approved,
        by: Some("carol".parse().unwrap()),
        reason: String::new(),
    };
    let wire = v1::Withdrawal {
        generation: 4,
        grants: vec![],
        refusals: vec![approval.into()],
    };
    let refused = Withdrawal::try_from(wire).unwrap_err();
    assert!(refused.to_string().contains("approval"), "{refused}");
}

/// What a host would parse is never longer than its bound, whoever sends it.
#[test]
fn a_document_over_its_bound_is_refused_before_anybody_parses_it() {
    let policy = |bytes: usize| {
        v1::PolicySource::from(PolicyRevision {
            name: "prod".parse().unwrap(),
            revision: Revision(1),
            source: "#".repeat(bytes),
        })
    };
    assert!(PolicyRevision::try_from(policy(1 << 20)).is_ok());
    for bytes in [(1 << 20) + 1, 50 << 20] {
        let refused = PolicyRevision::try_from(policy(bytes)).unwrap_err();
        assert!(
            refused.to_string().contains("more than the 1048576"),
            "{refused}"
        );
    }
}

/// An agent from before there were values reads `permissions` and nothing else of a lease.
#[test]
fn what_has_values_is_not_where_an_agent_that_knows_none_would_find_it() {
    let lease = Lease {
        grant: GrantId(Uuid::from_u128(5)),
        user: "alice".parse().unwrap(),
        permissions: vec![
            "prod/db".parse().unwrap(),
            "prod/logs(service=nginx)".parse().unwrap(),
        ],
        expire_time: UnixMs(9),
        server_time: UnixMs(0),
    };
    let wire = v1::Lease::from(lease);
    assert_eq!(wire.permissions, ["prod/db"]);
    assert_eq!(wire.permissions_with_values, ["prod/logs(service=nginx)"]);
}

#[test]
fn a_freshness_that_no_state_can_carry_is_refused_wherever_it_is_said() {
    const FIELD: &str = "freshness.fresh_for";
    let longer = DurationMs(FRESH_FOR_MAX.0 + 1);
    let wire = |ms| super::super::sync::freshness(Some(ms));
    let hello = |ms| v1::Hello {
        boot_id: Uuid::nil().to_string(),
        freshness: wire(ms),
        ..Default::default()
    };
    let ack = |fresh_for| {
        v1::Acknowledgement::from(Ack {
            fresh_for: Some(fresh_for),
            ..Ack::new(Generation(4), Phase::Enforced)
        })
    };
    let longest = Hello::try_from(hello(FRESH_FOR_MAX)).unwrap();
    assert_eq!(longest.fresh_for, Some(FRESH_FOR_MAX));
    assert!(Ack::try_from(ack(FRESH_FOR_MAX)).is_ok());
    for endless in [longer, DurationMs(u64::MAX)] {
        refused::<_, Hello>(hello(endless), FIELD);
        refused::<_, Ack>(ack(endless), FIELD);
        let state = ToHost {
            server_time: UnixMs(7),
            protocol: 3,
            message: ToHostMessage::State(HostState {
                fresh_for: Some(endless),
                ..HostState::default()
            }),
        };
        refused::<_, ToHost>(v1::SyncResponse::from(state), "state.freshness.fresh_for");
    }
}
