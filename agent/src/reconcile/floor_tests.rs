//! The floor in the reconciler: there before any state, in every state, and never in place of one.

use stayhand_guardrail::{
    host::{HostState, Phase, PolicyRevision},
    id::{Generation, Revision},
};

use super::tests::{Rig, at, begin, restart_with, state};
use crate::{
    floor::{Floor, Source},
    health::Part,
};

fn floor(path: &str) -> Floor {
    let text = format!(
        "apiVersion: stayhand/v1\nkind: Policy\nmetadata: {{ name: floor.base }}\nspec:\n  subjects: {{ users: [alice] }}\n  rules:\n    - {{ id: no, effect: deny, exec: {{ path: {path} }} }}\n"
    );
    let file = "base.yaml".into();
    Floor::parse(vec![Source { file, text }]).unwrap()
}

/// The policies of the last image, by name.
fn enforced(rig: &Rig) -> Vec<String> {
    let image = rig.last().image;
    let names = image.subject_sets.iter().map(|set| set.policy.to_string());
    names.collect()
}

#[test]
fn a_host_that_never_heard_of_a_control_plane_enforces_its_floor_and_claims_nothing() {
    let (rig, mut reconciler) = begin(floor("/a"));
    assert!(!reconciler.start(&at(0)), "there is no state");
    assert_eq!(enforced(&rig), ["floor.base"]);
    assert_eq!(rig.last().generation, Generation(0));
    assert!(rig.acks.borrow().is_none(), "nobody asked for it");
    let (rig, mut reconciler) = begin(Floor::default());
    assert!(!reconciler.start(&at(0)));
    assert_eq!(rig.installs(), 0, "no floor, no image");
}

#[test]
fn the_floor_is_part_of_every_state_and_no_state_has_a_policy_of_its_names() {
    let (rig, mut reconciler) = begin(floor("/a"));
    reconciler.desired(state(1, &[7]), &at(0));
    assert_eq!(enforced(&rig), ["floor.base", "prod"]);
    let nothing = HostState {
        generation: Generation(2),
        ..HostState::default()
    };
    reconciler.desired(nothing, &at(1));
    assert_eq!(enforced(&rig), ["floor.base"]);
    assert_eq!(rig.word(), (2, Phase::Enforced));
    let mut theirs = state(3, &[]);
    theirs.policies.push(PolicyRevision {
        name: "floor.base".parse().unwrap(),
        revision: Revision(9),
        source: state(1, &[]).policies.remove(0).source,
    });
    reconciler.desired(theirs, &at(2));
    assert!(
        rig.rejected().contains("a name of a host's own floor"),
        "{}",
        rig.rejected()
    );
    assert_eq!(enforced(&rig), ["floor.base"], "the last good one stays");
}

#[test]
fn a_service_that_the_host_does_not_have_is_none_whoever_says_so() {
    let only = |names: &[&str]| {
        let names = names.iter().map(|name| name.parse().unwrap());
        Floor::default().with_services(Some(names.collect()))
    };
    let mut wanted = state(1, &[]);
    let source = &mut wanted.policies[0].source;
    *source = source.replace("{ groups: [dev] }", "{ services: [ci-runner] }");
    let (rig, mut reconciler) = begin(only(&["cockpit"]));
    reconciler.desired(wanted.clone(), &at(0));
    assert!(
        rig.rejected()
            .contains("`ci-runner` is no service on this host"),
        "{}",
        rig.rejected()
    );
    for floor in [only(&["ci-runner"]), Floor::default()] {
        let (rig, mut reconciler) = begin(floor);
        reconciler.desired(wanted.clone(), &at(0));
        assert_eq!(rig.word(), (1, Phase::Enforced));
    }
    let (rig, mut reconciler) = begin(only(&[]));
    reconciler.desired(state(1, &[]), &at(0));
    assert_eq!(rig.word(), (1, Phase::Enforced), "people are no services");
}

/// In the kernel it would read as no image, or as an older one: nothing of it is journaled either.
#[test]
fn a_generation_beyond_what_a_host_takes_is_refused_and_forgotten() {
    let (rig, mut reconciler) = begin(floor("/a"));
    reconciler.desired(state(4, &[]), &at(0));
    for generation in [1 << 61, 1 << 63, u64::MAX] {
        reconciler.desired(state(generation, &[]), &at(1));
        assert!(rig.rejected().contains("more than a host takes"));
    }
    let (rig, mut reconciler) = restart_with(rig, floor("/a"), at(2));
    assert!(reconciler.start(&at(2)));
    assert_eq!(rig.last().generation, Generation(4));
}

#[test]
fn another_floor_counts_from_the_next_start_on_and_a_state_stays_what_it_was() {
    let (rig, mut reconciler) = begin(floor("/a"));
    reconciler.desired(state(4, &[7]), &at(0));
    let (rig, mut reconciler) = restart_with(rig, Floor::default(), at(1));
    assert!(reconciler.start(&at(1)));
    assert_eq!(enforced(&rig), ["prod"]);
    assert_eq!(rig.word(), (4, Phase::Enforced));
    let (rig, mut reconciler) = restart_with(rig, floor("/b"), at(2));
    assert!(reconciler.start(&at(2)));
    assert_eq!(enforced(&rig), ["floor.base", "prod"]);
}

#[test]
fn a_floor_that_was_taken_away_is_gone_though_no_state_ever_came() {
    let (rig, mut reconciler) = begin(floor("/a"));
    reconciler.start(&at(0));
    let (rig, mut reconciler) = restart_with(rig, Floor::default(), at(1));
    reconciler.start(&at(1));
    assert!(enforced(&rig).is_empty());
}

/// A reboot with a state that no agent can enforce any more: the floor is better than nothing, and the state is kept.
#[test]
fn where_no_state_can_be_enforced_the_floor_stands_in_and_takes_no_states_place() {
    let (rig, mut reconciler) = begin(Floor::default());
    let good = state(5, &[]);
    reconciler.desired(good.clone(), &at(0));
    rig.kernel.lock().unwrap().active = None;
    rig.kernel.lock().unwrap().only_floors = true;
    let (rig, mut reconciler) = restart_with(rig, floor("/a"), at(1));
    assert!(reconciler.start(&at(1)));
    assert_eq!(enforced(&rig), ["floor.base"]);
    rig.kernel.lock().unwrap().only_floors = false;
    rig.kernel.lock().unwrap().active = None;
    let (rig, mut reconciler) = restart_with(rig, floor("/a"), at(2));
    assert!(reconciler.start(&at(2)));
    assert_eq!(rig.last().generation, good.generation);
}

#[test]
fn a_floor_that_is_not_in_the_kernel_because_the_journal_is_lost_is_a_problem() {
    let (rig, mut reconciler) = begin(floor("/a"));
    rig.kernel.lock().unwrap().active = Some(Generation(9));
    reconciler.start(&at(0));
    assert_eq!(rig.installs(), 0);
    let problems = rig.health.now().problems;
    assert!(
        problems[&Part::State].contains("with the floor as it was then"),
        "{problems:?}"
    );
    reconciler.desired(state(9, &[]), &at(1));
    assert_eq!(enforced(&rig), ["floor.base", "prod"]);
    assert!(rig.health.now().problems.is_empty());
}
