//! `stayhand lock`: made, listed, removed, and told wherever a grant is shown that it covers.

use stayhand_proto::v1;

use crate::{
    fake::{Fake, Told},
    sample::{GRANT, HOSTILE_TEXT, enforcement, from_now, grant_on},
};

const ID: &str = "4f0c2a9be1d73855";

fn lock(user: &str, host: &str) -> v1::Lock {
    v1::Lock {
        name: format!("locks/{ID}"),
        user: user.into(),
        host: host.into(),
        until_time: None,
        created_by: "bob".into(),
        reason: "her laptop was stolen".into(),
        create_time: Some(from_now(-60)),
    }
}

fn fake(locks: Vec<v1::Lock>) -> Fake {
    Fake::new(Told {
        locks,
        ..Told::default()
    })
}

#[test]
fn a_lock_on_nobody_or_without_a_reason_is_refused_before_anybody_is_asked() {
    let fake = fake(vec![]);
    for asked in [
        &["lock", "create", "--reason", "x"][..],
        &["lock", "create", "--user", "alice"],
        &[
            "lock", "create", "--user", "alice", "--for", "0s", "--reason", "x",
        ],
        &[
            "lock", "create", "--user", "alice", "--for", "400d", "--reason", "x",
        ],
        &["lock", "create", "--host", "Not A Host", "--reason", "x"],
        &["lock", "rm", ID],
        &["lock", "rm", "no-id", "--reason", "x"],
    ] {
        fake.run(asked).exits(2);
    }
    assert!(fake.asked().is_empty());
}

#[test]
fn making_and_removing_say_what_is_so_now() {
    let fake = fake(vec![lock("alice", "")]);
    fake.run(&["lock", "create", "--user", "alice", "--reason", "stolen"])
        .exits(0)
        .prints("everywhere")
        .prints("somebody removes it")
        .prints("her laptop was stolen");
    fake.run(&[
        "lock", "create", "--user", "alice", "--host", "db1", "--for", "2h", "--reason", "x",
    ])
    .exits(0);
    fake.run(&["lock", "rm", ID, "--reason", "found"])
        .exits(0)
        .says("is removed");
    assert_eq!(
        fake.asked(),
        [
            "lock `alice` `` for None: stolen".to_owned(),
            "lock `alice` `hosts/db1` for Some(7200): x".to_owned(),
            format!("remove locks/{ID}: found"),
        ]
    );
    fake.run(&["lock", "rm", "00000000000000aa", "--reason", "found"])
        .exits(3)
        .says("stayhand lock ls");
}

#[test]
fn a_grant_says_which_locks_cover_it_and_where_it_is_gone_because_of_them() {
    let gone = v1::HostEnforcement {
        removes: true,
        ..enforcement("db2", v1::EnforcementPhase::Enforced)
    };
    let there = enforcement("db1", v1::EnforcementPhase::Enforced);
    let locked = v1::Grant {
        locks: vec![lock("alice", "hosts/db2")],
        more_locks: 3,
        ..grant_on(vec![there, gone])
    };
    let fake = Fake::new(Told {
        grants: vec![locked],
        ..Told::default()
    });
    fake.run(&["grant", "show", GRANT])
        .exits(0)
        .prints("active, locked")
        .prints("on db2 by bob: her laptop was stolen")
        .prints("and 3 more: stayhand lock ls")
        .prints("enforced on 1 of 1 host")
        .prints("locked, and out of the kernel on 1 of 2");
    fake.run(&["grant", "ls"]).exits(0).prints("active, locked");
}

#[test]
fn what_others_wrote_does_not_act_on_the_terminal() {
    let hostile = v1::Lock {
        created_by: HOSTILE_TEXT.into(),
        reason: HOSTILE_TEXT.into(),
        ..lock(HOSTILE_TEXT, HOSTILE_TEXT)
    };
    let fake = fake(vec![hostile]);
    for format in ["table", "json", "yaml"] {
        fake.run(&["lock", "ls", "-o", format])
            .exits(0)
            .stays_harmless();
    }
}
