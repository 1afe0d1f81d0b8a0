//! `stayhand host`: the loudest truth first.

use stayhand_proto::v1::{self, EnforcementPhase as Phase};

use crate::{
    fake::{Fake, Told},
    sample::{enforcement, from_now, host},
};

fn of(host: v1::Host) -> Fake {
    Fake::new(Told {
        hosts: vec![host],
        ..Told::default()
    })
}

#[test]
fn a_host_without_hooks_is_not_enforced_whatever_else_it_says() {
    let fake = of(v1::Host {
        hooks: vec![],
        ..host("db1")
    });
    fake.run(&["host", "ls"]).exits(0).prints("NOT ENFORCED");
    let json = fake
        .run(&["host", "show", "db1", "-o", "json"])
        .exits(0)
        .json();
    assert_eq!(json["enforced"], false);
}

#[test]
fn a_host_that_is_behind_or_rejected_is_not_shown_as_enforced() {
    let behind = v1::Host {
        desired_generation: 8,
        ..host("db1")
    };
    of(behind)
        .run(&["host", "ls"])
        .exits(0)
        .prints("behind")
        .prints("7/8 enforced");
    let mut no = enforcement("db1", Phase::Rejected);
    no.reasons = vec!["policy `x`: too many rules".into()];
    let rejected = v1::Host {
        enforcement: Some(no),
        ..host("db1")
    };
    of(rejected)
        .run(&["host", "show", "db1"])
        .exits(0)
        .prints("rejected, last good stays")
        .prints("policy `x`: too many rules");
}

#[test]
fn a_host_that_never_connected_is_said_to_be_one_and_not_to_enforce() {
    let never = v1::Host {
        name: "hosts/db1".into(),
        desired_generation: 8,
        enforcement: Some(enforcement("db1", Phase::Desired)),
        ..Default::default()
    };
    of(never)
        .run(&["host", "ls"])
        .exits(0)
        .prints("never connected")
        .prints(" never ");
}

#[test]
fn what_was_sent_again_as_a_whole_is_shown_with_why() {
    let misfit = v1::Host {
        delivery: Some(v1::HostDelivery {
            enforced_generation: 5,
            enforced_digest: vec![0xab; 32],
            protocol: 1,
            relists: 3,
            relist_time: Some(from_now(-9)),
            relist_reason: "Gap at delivery 4".into(),
        }),
        enforcement: Some(enforcement("db1", Phase::Desired)),
        ..host("db1")
    };
    of(misfit)
        .run(&["host", "show", "db1"])
        .exits(0)
        .prints("5/7 not answered")
        .prints("enforces abababababab")
        .prints("3 times")
        .prints("Gap at delivery 4");
}

#[test]
fn a_healthy_host_shows_generation_age_and_losses() {
    of(host("db1"))
        .run(&["host", "show", "db1"])
        .exits(0)
        .prints("7/7\n")
        .prints("42 received, 1 lost, 0 missing");
    let fake = of(host("db1"));
    fake.run(&["host", "show", "db9"])
        .exits(3)
        .says("stayhand host ls");
    fake.run(&["host", "show", "DB 1"]).exits(2);
}
