//! What is taken back waits for nothing: not for a policy that cannot be read, not for a state that came before, not for a kernel
//! that refused.

use std::{sync::mpsc::channel, time::Duration};

use stayhand_guardrail::{
    host::{Answer, HoldAnswer, HostState, Phase},
    id::{Generation, GrantId, HoldId},
};
use stayhand_proto::message::Withdrawal;
use uuid::Uuid;

use super::{
    tests::{at, begin, restart_with, state},
    wake::{Queue, Wake},
};
use crate::{floor::Floor, holds::Message};

fn of(generation: u64, grants: &[u128]) -> Withdrawal {
    Withdrawal {
        generation: Generation(generation),
        grants: grants
            .iter()
            .map(|id| GrantId(Uuid::from_u128(*id)))
            .collect(),
        refusals: vec![],
    }
}

fn unreadable(generation: u64, leases: &[u128]) -> HostState {
    let mut state = state(generation, leases);
    state.policies[0].source.push_str("  nonsense: 1\n");
    state
}

#[test]
fn a_revoked_lease_is_gone_although_the_policy_of_the_same_state_is_refused() {
    let (rig, mut reconciler) = begin(Floor::default());
    reconciler.desired(state(1, &[7, 8]), &at(0));
    reconciler.desired(unreadable(2, &[8]), &at(1));
    let installed = rig.last();
    assert_eq!(installed.leases.len(), 1);
    assert_eq!(installed.leases[0].grant, GrantId(Uuid::from_u128(8)));
    assert_eq!(
        installed.generation,
        Generation(1),
        "nothing else of it counts"
    );
    let ack = rig.acks.borrow().clone().unwrap();
    assert!(matches!(ack.phase, Phase::Rejected { .. }), "{ack:?}");
    assert_eq!(ack.errors[0].name, "policies/prod");
    // Nor does a boot bring it back.
    let (rig, mut reconciler) = restart_with(rig, Floor::default(), at(2));
    reconciler.start(&at(2));
    assert_eq!(rig.last().leases.len(), 1);
}

#[test]
fn a_new_lease_does_not_come_with_a_policy_that_is_refused() {
    let (rig, mut reconciler) = begin(Floor::default());
    reconciler.desired(state(1, &[7]), &at(0));
    reconciler.desired(unreadable(2, &[7, 8]), &at(1));
    assert_eq!((rig.installs(), rig.last().leases.len()), (1, 1));
}

#[test]
fn what_was_withdrawn_does_not_come_back_with_a_state_from_before() {
    let (rig, mut reconciler) = begin(Floor::default());
    reconciler.desired(state(1, &[7, 8]), &at(0));
    reconciler.step(Some(Wake::Withdrawal(of(3, &[7]), at(1))), &at(1));
    assert_eq!(rig.last().leases.len(), 1);
    reconciler.desired(state(2, &[7, 8, 9]), &at(2));
    let has: Vec<u128> = rig
        .last()
        .leases
        .iter()
        .map(|one| one.grant.0.as_u128())
        .collect();
    assert_eq!(has, [8, 9]);
    reconciler.desired(state(3, &[8, 9]), &at(3));
    assert_eq!(rig.word(), (3, Phase::Enforced));
    // Withdrawn once, and given again later by a state that says so.
    reconciler.desired(state(4, &[7]), &at(4));
    assert_eq!(rig.last().leases.len(), 1);
}

#[test]
fn a_withdrawal_of_what_is_not_there_touches_nothing() {
    let (rig, mut reconciler) = begin(Floor::default());
    reconciler.step(Some(Wake::Withdrawal(of(3, &[7]), at(1))), &at(1));
    reconciler.desired(state(3, &[8]), &at(2));
    reconciler.step(Some(Wake::Withdrawal(of(4, &[7]), at(3))), &at(3));
    assert_eq!(rig.installs(), 1);
    assert_eq!(rig.word(), (3, Phase::Enforced));
}

#[test]
fn a_kernel_that_refused_is_asked_again_at_the_next_look() {
    let (rig, mut reconciler) = begin(Floor::default());
    reconciler.desired(state(1, &[7]), &at(0));
    rig.kernel.lock().unwrap().refuses = Some("no");
    reconciler.step(Some(Wake::Withdrawal(of(2, &[7]), at(1))), &at(1));
    assert_eq!(rig.last().leases.len(), 1);
    rig.kernel.lock().unwrap().refuses = None;
    reconciler.look(1, &at(4));
    assert!(rig.last().leases.is_empty());
}

#[test]
fn a_refusal_goes_on_at_once_and_takes_the_place_of_an_approval() {
    let (rig, mut reconciler) = begin(Floor::default());
    let answer = |hold, answer| HoldAnswer {
        hold: HoldId(hold),
        answer,
        by: Some("carol".parse().unwrap()),
        reason: String::new(),
    };
    let mut first = state(1, &[]);
    first.answers = vec![answer(5, Answer::Approved), answer(6, Answer::Approved)];
    reconciler.desired(first, &at(0));
    let withdrawal = Withdrawal {
        refusals: vec![answer(6, Answer::Refused)],
        ..of(2, &[])
    };
    reconciler.step(Some(Wake::Withdrawal(withdrawal, at(1))), &at(1));
    let Some(Message::Answers(last)) = rig.holds.try_iter().last() else {
        panic!("nothing was passed on");
    };
    assert_eq!(
        last,
        [answer(5, Answer::Approved), answer(6, Answer::Refused)]
    );
}

#[test]
fn what_is_taken_back_overtakes_states_that_wait_and_of_those_only_the_newest_counts() {
    let (wakes, waiting) = channel();
    let mut queue = Queue::default();
    for generation in 1..4 {
        let state = Box::new(state(generation, &[]));
        wakes.send(Wake::State(state, at(0))).unwrap();
    }
    for generation in [5, 6] {
        wakes
            .send(Wake::Withdrawal(of(generation, &[7]), at(0)))
            .unwrap();
    }
    let mut next = || queue.next(&waiting, Duration::ZERO);
    for wanted in [5, 6] {
        let wake = next().unwrap();
        let Wake::Withdrawal(one, _) = wake else {
            panic!("{wake:?}");
        };
        assert_eq!(one.generation, Generation(wanted));
    }
    let wake = next().unwrap();
    let Wake::State(state, _) = wake else {
        panic!("{wake:?}");
    };
    assert_eq!(state.generation, Generation(3));
    assert!(next().is_err());
}
