//! One host's deliveries, against a host of a few lines that takes what comes.

use stayhand_guardrail::{
    host::{Lease, PolicyRevision},
    id::Revision,
    policy::HostLabels,
    time::UnixMs,
};
use stayhand_proto::message::Misfitting;
use uuid::Uuid;

use super::*;

fn state(generation: u64, policy: u64, leases: &[u128]) -> HostState {
    HostState {
        generation: Generation(generation),
        policies: vec![PolicyRevision {
            name: "prod".parse().unwrap(),
            revision: Revision(policy),
            source: "#".repeat(10_000),
        }],
        leases: leases.iter().map(|grant| lease(*grant)).collect(),
        ..HostState::default()
    }
}

fn lease(grant: u128) -> Lease {
    Lease {
        grant: GrantId(Uuid::from_u128(grant)),
        user: "alice".parse().unwrap(),
        permissions: vec!["prod/db".parse().unwrap()],
        expire_time: UnixMs(9),
        server_time: UnixMs(1),
    }
}

fn hello(capabilities: &[&str], held: Option<Held>) -> Hello {
    Hello {
        agent_version: "1".into(),
        kernel_release: "6.12".into(),
        boot_id: Uuid::from_u128(1),
        hooks: vec![],
        enforced_generation: held.as_ref().map_or(Generation(0), |held| held.generation),
        labels: HostLabels::default(),
        floor: vec![],
        watches_shadows: true,
        protocol: 1,
        capabilities: capabilities.iter().map(|one| (*one).to_owned()).collect(),
        held,
        fresh_for: None,
    }
}

/// A host that understands everything and holds nothing.
fn fresh() -> Delivering {
    Delivering::to(&hello(&[DELTAS, WITHDRAWALS], None)).unwrap()
}

fn delivery(message: Option<ToHostMessage>) -> Delivery {
    match message {
        Some(ToHostMessage::Delivery(delivery)) => delivery,
        other => panic!("{other:?}"),
    }
}

fn ack(phase: Phase, generation: u64, digest: Option<StateDigest>) -> Ack {
    Ack {
        digest,
        ..Ack::new(Generation(generation), phase)
    }
}

/// The host that took this delivery of this state and said so.
fn settled(delivering: &mut Delivering, state: HostState) -> Delivery {
    let sent = delivery(delivering.next(state));
    let said = ack(Phase::Enforced, sent.to.0, Some(sent.digest_after));
    delivering.acknowledged(&said, sent.nonce).unwrap();
    sent
}

#[test]
fn an_agent_that_does_not_say_deltas_gets_none() {
    assert!(Delivering::to(&hello(&[], None)).is_none());
    assert!(Delivering::to(&hello(&[WITHDRAWALS, "something-new"], None)).is_none());
}

#[test]
fn first_everything_comes_and_then_what_differs() {
    let mut delivering = fresh();
    let first = settled(&mut delivering, state(5, 1, &[7]));
    assert_eq!((first.from, first.upserted.len()), (None, 2));
    let next = settled(&mut delivering, state(6, 1, &[7, 8]));
    assert_eq!((next.from, next.to), (Some(Generation(5)), Generation(6)));
    assert_eq!(next.upserted.len(), 1, "the policy is there already");
    assert!(next.upserted[0].body.len() < 200);
    assert_eq!(delivering.wants(), Some(Generation(6)));
}

#[test]
fn a_host_that_comes_back_is_sent_what_it_lacks_and_nothing_if_that_is_nothing() {
    let versions = Resources::of(state(5, 1, &[7])).versions().clone();
    let held = || Held {
        generation: Generation(5),
        versions: versions.clone(),
    };
    let mut delivering = Delivering::to(&hello(&[DELTAS], Some(held()))).unwrap();
    assert_eq!(delivering.wants(), Some(Generation(0)), "compared once");
    assert_eq!(delivering.next(state(5, 1, &[7])), None);
    assert_eq!(delivering.wants(), Some(Generation(5)));
    let mut delivering = Delivering::to(&hello(&[DELTAS], Some(held()))).unwrap();
    let sent = delivery(delivering.next(state(9, 1, &[])));
    assert_eq!((sent.from, sent.upserted.len()), (Some(Generation(5)), 0));
    assert_eq!(sent.removed.len(), 1);
    // What it wrote down lost something that its older agent did not know.
    let mut delivering = Delivering::to(&hello(&[DELTAS], Some(held()))).unwrap();
    let healed = delivery(delivering.next(state(5, 2, &[7])));
    assert_eq!(healed.upserted[0].name, "policies/prod");
}

#[test]
fn while_one_is_on_its_way_what_is_new_is_put_together() {
    let mut delivering = fresh();
    let first = delivery(delivering.next(state(5, 1, &[])));
    for generation in 6..20 {
        assert_eq!(
            delivering.next(state(generation, 1, &[generation.into()])),
            None
        );
    }
    let about_another = ack(Phase::Received, 5, None);
    delivering
        .acknowledged(&about_another, first.nonce + 1)
        .unwrap();
    assert_eq!(delivering.next(state(20, 1, &[20])), None);
    delivering
        .acknowledged(&about_another, first.nonce)
        .unwrap();
    let second = delivery(delivering.next(state(20, 1, &[20])));
    assert_eq!(
        (second.from, second.to),
        (Some(Generation(5)), Generation(20))
    );
    assert_eq!(second.upserted.len(), 1);
}

#[test]
fn a_host_that_says_nothing_keeps_nothing_from_being_sent_for_ever() {
    let mut delivering = fresh();
    delivery(delivering.next(state(5, 1, &[])));
    for _ in 1..PATIENCE_BOOKMARKS {
        delivering.bookmark();
        assert_eq!(delivering.next(state(6, 1, &[])), None);
    }
    delivering.bookmark();
    delivery(delivering.next(state(6, 1, &[])));
}

#[test]
fn what_is_taken_back_does_not_wait_for_a_larger_state() {
    let mut delivering = fresh();
    settled(&mut delivering, state(5, 1, &[7, 8]));
    delivery(delivering.next(state(6, 2, &[7, 8])));
    let refusal = HoldAnswer {
        hold: HoldId(3),
        answer: Answer::Refused,
        by: Some("carol".parse().unwrap()),
        reason: String::new(),
    };
    let revoked = HostState {
        answers: vec![
            HoldAnswer {
                hold: HoldId(4),
                answer: Answer::Approved,
                ..refusal.clone()
            },
            refusal.clone(),
        ],
        ..state(7, 2, &[8])
    };
    assert_eq!(
        delivering.wants(),
        Some(Generation(6)),
        "although one is on its way"
    );
    let Some(ToHostMessage::Withdrawal(withdrawal)) = delivering.next(revoked.clone()) else {
        panic!("the revocation waits");
    };
    assert_eq!(withdrawal.grants, [GrantId(Uuid::from_u128(7))]);
    assert_eq!(withdrawal.refusals, [refusal]);
    assert_eq!(withdrawal.generation, Generation(7));
    assert_eq!(delivering.next(revoked), None, "once");
}

#[test]
fn what_is_taken_back_with_another_policy_goes_before_it() {
    let mut delivering = fresh();
    settled(&mut delivering, state(5, 1, &[7]));
    let both = state(6, 2, &[]);
    let first = delivering.next(both.clone());
    assert!(
        matches!(first, Some(ToHostMessage::Withdrawal(_))),
        "{first:?}"
    );
    let then = delivery(delivering.next(both));
    assert_eq!(then.removed.len(), 1);
    // Small as it is, it is no slower than a withdrawal.
    let mut delivering = fresh();
    settled(&mut delivering, state(5, 1, &[7]));
    delivery(delivering.next(state(6, 1, &[])));
}

#[test]
fn what_does_not_fit_brings_everything_and_not_more_than_once_between_two_bookmarks() {
    let mut delivering = fresh();
    settled(&mut delivering, state(5, 1, &[7]));
    let gap = |nonce| Relist {
        nonce,
        why: Misfitting::Gap,
        held_generation: Generation(3),
        held_digest: StateDigest::of_body(b""),
    };
    delivering.misfits(&gap(1));
    assert_eq!(delivering.wants(), Some(Generation(0)));
    let whole = delivery(delivering.next(state(5, 1, &[7])));
    assert_eq!((whole.from, whole.nonce), (None, 2));
    delivering.misfits(&gap(1));
    assert!(delivering.in_flight.is_some(), "about one from before");
    delivering.misfits(&gap(2));
    assert_eq!(delivering.wants(), Some(Generation(5)), "not again at once");
    assert_eq!(delivering.bookmark(), None);
    assert_eq!(delivery(delivering.next(state(5, 1, &[7]))).from, None);
}

#[test]
fn a_host_that_enforces_something_else_than_was_sent_is_sent_everything() {
    let mut delivering = fresh();
    let sent = delivery(delivering.next(state(5, 1, &[7])));
    let other = Some(StateDigest::of_body(b"other"));
    let received = ack(Phase::Received, 5, None);
    assert_eq!(delivering.acknowledged(&received, sent.nonce), Ok(()));
    let wrong = ack(Phase::Enforced, 5, other);
    assert!(delivering.acknowledged(&wrong, sent.nonce).is_err());
    assert_eq!(delivery(delivering.next(state(5, 1, &[7]))).from, None);
}

#[test]
fn a_bookmark_says_what_the_host_should_hold() {
    let mut delivering = fresh();
    assert_eq!(delivering.bookmark(), None);
    let sent = delivery(delivering.next(state(5, 1, &[7])));
    assert_eq!(delivering.bookmark(), Some(sent.digest_after));
}

#[test]
fn never_an_older_state_than_before() {
    let mut delivering = fresh();
    settled(&mut delivering, state(5, 1, &[]));
    assert_eq!(delivering.next(state(4, 1, &[7])), None);
}

/// Every withdrawal of a state in the order in which they come, and what comes after them.
fn withdrawals(
    delivering: &mut Delivering,
    wanted: &HostState,
) -> (Vec<Withdrawal>, Option<ToHostMessage>) {
    let mut all = vec![];
    loop {
        match delivering.next(wanted.clone()) {
            Some(ToHostMessage::Withdrawal(one)) => all.push(one),
            then => return (all, then),
        }
    }
}

/// More of them than two messages take.
fn many() -> Vec<u128> {
    let full = u128::try_from(ITEMS_MAX).unwrap();
    (1..=2 * full + 1).collect()
}

#[test]
fn everything_that_is_taken_back_goes_first_in_as_many_messages_as_it_takes() {
    // While a larger state is on its way, and others are published meanwhile.
    let mut delivering = fresh();
    settled(&mut delivering, state(5, 1, &many()));
    delivery(delivering.next(state(6, 2, &many())));
    let first = delivering.next(state(7, 2, &[]));
    let Some(ToHostMessage::Withdrawal(first)) = first else {
        panic!("{first:?}");
    };
    assert_eq!(first.grants.len(), ITEMS_MAX);
    assert_eq!(delivering.wants(), Some(Generation(6)), "the rest comes");
    let (rest, then) = withdrawals(&mut delivering, &state(8, 2, &[]));
    assert_eq!((rest.len(), then), (2, None));
    assert_eq!(delivering.wants(), Some(Generation(8)), "that was all");
    let told = std::iter::once(&first).chain(&rest);
    let told: Vec<GrantId> = told.flat_map(|one| one.grants.clone()).collect();
    assert_eq!(told.len(), many().len(), "nothing twice");
    assert_eq!(told.iter().collect::<BTreeSet<_>>().len(), many().len());

    // Before a larger state.
    let mut delivering = fresh();
    settled(&mut delivering, state(5, 1, &many()));
    let (told, then) = withdrawals(&mut delivering, &state(6, 2, &[]));
    assert_eq!(told.len(), 3);
    assert_eq!(delivery(then).removed.len(), many().len());
}

#[test]
fn no_refusal_waits_because_there_are_many() {
    let mut delivering = fresh();
    settled(&mut delivering, state(5, 1, &[]));
    let refusal = |hold| HoldAnswer {
        hold: HoldId(hold),
        answer: Answer::Refused,
        by: None,
        reason: String::new(),
    };
    let last = u64::try_from(ITEMS_MAX).unwrap() + 1;
    let refused = HostState {
        answers: (1..=last).map(refusal).collect(),
        ..state(6, 2, &[])
    };
    let (told, then) = withdrawals(&mut delivering, &refused);
    let told: Vec<usize> = told.iter().map(|one| one.refusals.len()).collect();
    assert_eq!(told, [ITEMS_MAX, 1]);
    delivery(then);
}

#[test]
fn what_was_taken_back_and_came_again_is_taken_back_again() {
    let mut delivering = fresh();
    settled(&mut delivering, state(5, 1, &[7]));
    for generation in [6, 9] {
        let (told, then) = withdrawals(&mut delivering, &state(generation, generation, &[]));
        assert_eq!(told.len(), 1, "{generation}");
        let gone = delivery(then);
        let said = ack(Phase::Enforced, gone.to.0, Some(gone.digest_after));
        delivering.acknowledged(&said, gone.nonce).unwrap();
        settled(&mut delivering, state(generation + 1, generation, &[7]));
    }
}
