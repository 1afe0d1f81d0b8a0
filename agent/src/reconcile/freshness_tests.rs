//! For how long leases count comes with the state, and a state that is not in the kernel is tried until it is: otherwise nothing would
//! prove any more that this host has the newest one.

use stayhand_guardrail::{
    host::{HostState, Phase},
    id::Generation,
    time::DurationMs,
};

use super::tests::{at, begin, restart_with, state};
use crate::floor::Floor;

/// Nobody sends it again, and while the kernel does not have it no proof comes that it has the newest.
#[test]
fn what_could_not_be_installed_for_a_moment_is_tried_again_unless_something_newer_came() {
    let (rig, mut reconciler) = begin(Floor::default());
    reconciler.desired(state(1, &[]), &at(0));
    rig.kernel.lock().unwrap().refuses = Some("not now");
    reconciler.desired(state(2, &[7]), &at(1));
    for looks in 1..=3 {
        reconciler.look(looks, &at(1 + looks));
    }
    assert_eq!(rig.health.now().generation, Generation(1));
    rig.kernel.lock().unwrap().refuses = None;
    for looks in 4..=6 {
        reconciler.look(looks, &at(1 + looks));
    }
    assert_eq!(rig.health.now().generation, Generation(2));
    assert_eq!(rig.last().leases.len(), 1);
    rig.kernel.lock().unwrap().refuses = Some("not now");
    reconciler.desired(state(3, &[]), &at(10));
    rig.kernel.lock().unwrap().refuses = None;
    reconciler.desired(state(4, &[]), &at(11));
    let installs = rig.installs();
    for looks in 7..=9 {
        reconciler.look(looks, &at(11 + looks));
    }
    assert_eq!(
        (rig.installs(), rig.health.now().generation),
        (installs, Generation(4))
    );
}

#[test]
fn for_how_long_leases_count_is_installed_said_and_kept_although_nothing_else_differs() {
    let (rig, mut reconciler) = begin(Floor::default());
    let with = |generation, seconds: Option<u64>| HostState {
        fresh_for: seconds.map(DurationMs::from_secs),
        ..state(generation, &[7])
    };
    for (generation, seconds) in [(1, None), (2, Some(90)), (3, Some(60)), (4, None)] {
        let wanted = seconds.map(DurationMs::from_secs);
        reconciler.desired(with(generation, seconds), &at(generation));
        assert_eq!(rig.last().fresh_for, wanted);
        assert_eq!(rig.health.now().fresh_for, wanted);
        let ack = rig.acks.borrow().clone().unwrap();
        assert_eq!((ack.phase, ack.fresh_for), (Phase::Enforced, wanted));
    }
    reconciler.desired(with(5, Some(90)), &at(5));
    let (rig, mut reconciler) = restart_with(rig, Floor::default(), at(9_000));
    reconciler.start(&at(9_000));
    assert_eq!(rig.last().fresh_for, Some(DurationMs::from_secs(90)));
}
