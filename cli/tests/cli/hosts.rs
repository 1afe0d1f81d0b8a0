//! `stayhand host`: the loudest truth first.

use stayhand_proto::v1::{self, EnforcementPhase as Phase};

use crate::{
    fake::{Fake, Told},
    sample::{enforcement, from_now, host, member},
};

fn of(host: v1::Host) -> Fake {
    all(vec![host])
}

fn all(hosts: Vec<v1::Host>) -> Fake {
    Fake::new(Told {
        hosts,
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

#[test]
fn the_list_ends_with_how_many_enforce_and_names_each_other_host_with_why() {
    let behind = v1::Host {
        desired_generation: 9,
        enforcement: Some(enforcement("db2", Phase::Desired)),
        ..host("db2")
    };
    let away = v1::Host {
        online: false,
        ..host("db3")
    };
    let bare = v1::Host {
        hooks: vec![],
        hooks_gone: vec!["file_open".into()],
        ..host("db4")
    };
    let never = v1::Host {
        name: "hosts/db5".into(),
        desired_generation: 9,
        ..Default::default()
    };
    // Out: it hears of nothing any more, and nobody waits for it.
    let out = v1::Host {
        online: false,
        membership: Some(v1::HostMembership {
            revoke_time: Some(from_now(-5)),
            ..member()
        }),
        ..host("db6")
    };
    let fake = all(vec![host("db1"), behind, away, bare, never, out]);
    let ran = fake.run(&["host", "ls"]).exits(0);
    let ran = ran
        .prints("\nenforced on 1 of 5 hosts\ndb2: 2 generations behind; not answered yet\n")
        .prints("\ndb3: not connected since ");
    let end = "\ndb4: hooks are gone: file_open\ndb5: never connected\n";
    assert!(ran.out.ends_with(end), "{ran:?}");
    let current = all(vec![host("db1"), host("db2")]);
    let ran = current.run(&["host", "ls"]).exits(0);
    assert!(ran.out.ends_with("\nenforced on 2 of 2 hosts\n"), "{ran:?}");
}

#[test]
fn hosts_that_do_not_enforce_are_named_by_the_screenful() {
    let hosts = (0..34).map(|number| v1::Host {
        desired_generation: 8,
        ..host(&format!("db{number}"))
    });
    let ran = all(hosts.collect()).run(&["host", "ls"]).exits(0);
    let ran = ran.prints("\nenforced on 0 of 34 hosts\ndb0: 1 generation behind\n");
    assert!(ran.out.ends_with("\nand 14 more\n"), "{ran:?}");
}

#[test]
fn what_programs_read_has_rows_alone() {
    let fake = of(host("db1"));
    for arguments in [
        &["host", "ls", "--no-headers"][..],
        &["host", "ls", "-o", "json"],
        &["host", "ls", "-o", "jsonl"],
        &["host", "ls", "-o", "name"],
    ] {
        let ran = fake.run(arguments).exits(0);
        assert!(!ran.out.contains("enforced on"), "{ran:?}");
    }
}

#[test]
fn a_host_that_says_more_than_a_message_usually_has_does_not_hide_the_others() {
    // gRPC's own bound on an answer is 4 MiB.
    let wordy = v1::Host {
        problems: vec!["x".repeat(1 << 20); 5],
        ..host("db1")
    };
    let fake = all(vec![wordy, host("db2")]);
    fake.run(&["host", "ls"])
        .exits(0)
        .prints("\ndb2 ")
        .prints("enforced on 2 of 2 hosts\n");
}
