//! A state that is put together from differences is the very one that was meant, or none.

use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::{Strategy, any, prop_oneof},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use stayhand_guardrail::{
    host::{Answer, HoldAnswer, Lease, PolicyRevision},
    id::{GrantId, HoldId, Revision},
    time::DurationMs,
};
use uuid::Uuid;

use super::*;

const FROM: Generation = Generation(4);
const TO: Generation = Generation(7);

/// Few names, so that two states have much in common and differ in everything that can differ.
fn states() -> impl Strategy<Value = HostState> {
    let policies = || btree_map(0..4u8, (1..3u64, "[a-z]{0,4}"), 0..4);
    let leases = btree_map(0..4u128, (0..2u64, 0..2u8), 0..4);
    let answers = btree_map(1..5u64, any::<bool>(), 0..4);
    let flags = btree_map(0..3u8, 1..3u64, 0..3);
    let freshness = option::of((60_000..60_003u64).prop_map(DurationMs));
    let all = (policies(), policies(), leases, answers, flags, freshness);
    all.prop_map(
        |(policies, shadows, leases, answers, flags, fresh_for)| HostState {
            generation: TO,
            policies: revisions(policies),
            shadows: revisions(shadows),
            leases: leases.into_iter().map(lease).collect(),
            answers: answers.into_iter().map(answer).collect(),
            flags: flags
                .into_iter()
                .map(|(name, until)| (format!("f{name}").parse().unwrap(), UnixMs(until)))
                .collect(),
            fresh_for,
            digest: None,
        },
    )
}

fn revisions(all: BTreeMap<u8, (u64, String)>) -> Vec<PolicyRevision> {
    let all = all.into_iter();
    all.map(|(name, (revision, source))| PolicyRevision {
        name: format!("p{name}").parse().unwrap(),
        revision: Revision(revision),
        source,
    })
    .collect()
}

fn lease((grant, (end, permission)): (u128, (u64, u8))) -> Lease {
    Lease {
        grant: GrantId(Uuid::from_u128(grant)),
        user: "alice".parse().unwrap(),
        permissions: vec![format!("p/d{permission}").parse().unwrap()],
        expire_time: UnixMs(100 + end),
        server_time: UnixMs(50),
    }
}

fn answer((hold, approved): (u64, bool)) -> HoldAnswer {
    HoldAnswer {
        hold: HoldId(hold),
        answer: if approved {
            Answer::Approved
        } else {
            Answer::Refused
        },
        by: Some("carol".parse().unwrap()),
        reason: String::new(),
    }
}

/// Seeds are printed; `STAYHAND_SEED` gives one.
fn over<S: Strategy>(strategy: &S, property: impl Fn(S::Value)) {
    let given = std::env::var("STAYHAND_SEED").ok();
    let given = given.and_then(|text| text.parse().ok());
    let seed: u64 = given.unwrap_or_else(|| u64::from(std::process::id()));
    println!("seed: STAYHAND_SEED={seed}");
    let mut bytes = [0u8; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config = Config {
        cases: 1_000,
        failure_persistence: None,
        ..Config::default()
    };
    let run = TestRunner::new_with_rng(config, rng).run(strategy, |case| {
        property(case);
        Ok(())
    });
    if let Err(failure) = run {
        panic!("STAYHAND_SEED={seed}: {failure}");
    }
}

#[test]
fn a_difference_applied_to_what_was_held_is_what_was_meant_and_digests_agree() {
    over(&(states(), states()), |(before, after)| {
        let (held, meant) = (Resources::of(before), Resources::of(after.clone()));
        for known in [Some((FROM, held.versions())), None] {
            let delivery = meant.after(known, TO);
            let got = held.taking(FROM, delivery).unwrap();
            assert_eq!(got, meant);
            assert_eq!(got.digest(), meant.digest());
            let digest = Some(got.digest());
            let state = got.state(TO, UnixMs(50)).unwrap();
            assert_eq!(
                state,
                HostState {
                    digest,
                    ..after.clone()
                }
            );
        }
    });
}

#[test]
fn nothing_but_what_differs_is_sent() {
    over(&(states(), states()), |(before, after)| {
        let (held, meant) = (Resources::of(before), Resources::of(after));
        let delivery = meant.after(Some((FROM, held.versions())), TO);
        for one in &delivery.upserted {
            assert_ne!(held.bodies.get(&one.name), Some(&one.body), "{}", one.name);
        }
        for name in &delivery.removed {
            assert!(held.bodies.contains_key(name) && !meant.bodies.contains_key(name));
        }
    });
}

/// What can become of a delivery.
#[derive(Clone, Copy, Debug)]
enum Damage {
    LoseUpsert(usize),
    LoseRemoval(usize),
    OtherBody(usize),
    OtherName(usize),
}

#[test]
fn whatever_is_wrong_with_a_delivery_or_with_what_is_held_nothing_but_what_was_meant_comes_of_it() {
    let damage = prop_oneof![
        any::<usize>().prop_map(Damage::LoseUpsert),
        any::<usize>().prop_map(Damage::LoseRemoval),
        any::<usize>().prop_map(Damage::OtherBody),
        any::<usize>().prop_map(Damage::OtherName),
    ];
    let cases = (states(), states(), states(), vec(damage, 0..3));
    over(&cases, |(before, after, other, damages)| {
        let (held, meant) = (Resources::of(before), Resources::of(after));
        let mut delivery = meant.after(Some((FROM, held.versions())), TO);
        for damage in damages {
            damaged(&mut delivery, damage);
        }
        for holds in [&held, &Resources::of(other)] {
            if let Ok(got) = holds.taking(FROM, delivery.clone()) {
                assert_eq!(got, meant);
            }
        }
        let gap = held.taking(Generation(5), delivery);
        let (from, held) = (FROM, Generation(5));
        assert_eq!(gap, Err(Misfit::Gap { from, held }));
    });
}

fn damaged(delivery: &mut Delivery, damage: Damage) {
    let (upserts, removals) = (delivery.upserted.len(), delivery.removed.len());
    match damage {
        Damage::LoseUpsert(at) if upserts > 0 => drop(delivery.upserted.remove(at % upserts)),
        Damage::LoseRemoval(at) if removals > 0 => drop(delivery.removed.remove(at % removals)),
        Damage::OtherBody(at) if upserts > 0 => delivery.upserted[at % upserts].body.push(0),
        Damage::OtherName(at) if upserts > 0 => delivery.upserted[at % upserts].name.push('x'),
        _ => {}
    }
}

/// As a newer control plane would send it: a field and a collection that nobody here knows.
#[test]
fn what_is_not_known_is_kept_counts_in_the_digest_and_says_nothing() {
    let mut meant = Resources::of(HostState {
        leases: vec![lease((7, (0, 0)))],
        ..HostState::default()
    });
    let (name, body) = meant.bodies.clone().into_iter().next().unwrap();
    // Field 99, a string.
    let with_more = [body.as_slice(), &[0x9a, 0x06, 0x01, b'x']].concat();
    meant.put(name.clone(), with_more.clone());
    meant.put("quotas/alice".into(), vec![0xff; 3]);
    let got = Resources::default()
        .taking(Generation(0), meant.after(None, TO))
        .unwrap();
    assert_eq!(got.bodies[&name], with_more);
    assert_eq!(got.digest(), meant.digest());
    let state = got.state(TO, UnixMs(50)).unwrap();
    assert_eq!(state.leases, [lease((7, (0, 0)))]);
    // Whoever read it and wrote it again says that it holds another one, and gets this one again.
    let rewritten = Resources::of(state);
    let again = meant.after(Some((TO, rewritten.versions())), TO);
    assert_eq!(again.upserted.len(), 2);
}

#[test]
fn a_resource_that_cannot_be_read_or_that_is_another_one_is_named() {
    let mut resources = Resources::of(HostState {
        leases: vec![lease((7, (0, 0)))],
        ..HostState::default()
    });
    let (_, body) = resources.bodies.clone().into_iter().next().unwrap();
    resources.put("leases/00000000-0000-0000-0000-000000000008".into(), body);
    resources.put("policies/prod".into(), vec![0xff; 9]);
    let errors = resources.state(TO, UnixMs(0)).unwrap_err();
    let names: Vec<&str> = errors.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "leases/00000000-0000-0000-0000-000000000008",
            "policies/prod"
        ]
    );
}
