//! Order of a plan, and when there is nothing to do.

use super::*;
use crate::{
    host::{Answer, PolicyRevision},
    time::UnixMs,
};

fn lease(id: u128, expire_time: u64) -> Lease {
    Lease {
        grant: GrantId(uuid::Uuid::from_u128(id)),
        user: "alice".parse().unwrap(),
        permissions: vec!["demo/vault".parse().unwrap()],
        expire_time: UnixMs(expire_time),
        server_time: UnixMs(1),
    }
}

fn desired() -> HostState {
    HostState {
        generation: Generation(3),
        policies: vec![PolicyRevision {
            name: "demo".parse().unwrap(),
            revision: Revision(2),
            source: String::new(),
        }],
        leases: vec![lease(1, 50), lease(2, 60)],
        answers: vec![HoldAnswer {
            hold: HoldId(9),
            answer: Answer::Refused,
            by: "bob".parse().unwrap(),
            reason: "no".to_owned(),
        }],
    }
}

fn installed() -> Installed {
    Installed {
        generation: Generation(2),
        policies: vec![("demo".parse().unwrap(), Revision(1))],
        leases: vec![lease(1, 40), lease(3, 60)],
        answered: BTreeSet::new(),
    }
}

#[test]
fn privilege_goes_first_and_comes_last() {
    let text = plan(&desired(), &installed()).unwrap().to_string();
    let wanted = "generation 3
  drop lease 00000000-0000-0000-0000-000000000003
  swap image: demo@2
  put lease 00000000-0000-0000-0000-000000000001: alice demo/vault until 1970-01-01T00:00:00.050Z
  put lease 00000000-0000-0000-0000-000000000002: alice demo/vault until 1970-01-01T00:00:00.060Z
  answer hold 0000000000000009: Refused by bob
";
    assert_eq!(text, wanted);
}

#[test]
fn an_older_generation_is_refused() {
    let mut installed = installed();
    installed.generation = Generation(4);
    assert!(plan(&desired(), &installed).is_err());
}

#[test]
fn the_same_state_again_is_an_empty_plan_but_the_first_one_always_swaps() {
    let mut again = desired();
    again
        .leases
        .iter_mut()
        .for_each(|lease| lease.server_time = UnixMs(2));
    let there = Installed {
        generation: Generation(3),
        policies: vec![("demo".parse().unwrap(), Revision(2))],
        leases: desired().leases,
        answered: [HoldId(9)].into(),
    };
    assert_eq!(plan(&again, &there).unwrap().steps, []);
    let first = plan(&HostState::default(), &Installed::default()).unwrap();
    assert_eq!(first.steps, [Step::SwapImage(vec![])]);
}
