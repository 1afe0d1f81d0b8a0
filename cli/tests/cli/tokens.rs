//! `stayhand host token` and `stayhand host revoke`: who may join, and who is out.

use stayhand_proto::v1;

use crate::{
    fake::{Fake, Told},
    sample::{from_now, host, join_token, member},
};

const ID: &str = "00000000000f3a2a";

fn fake(tokens: Vec<v1::JoinToken>) -> Fake {
    Fake::new(Told {
        tokens,
        ..Told::default()
    })
}

#[test]
fn what_cannot_be_is_refused_before_anybody_is_asked() {
    let fake = fake(vec![]);
    for asked in [
        &["host", "token", "create", "--for", "25h"][..],
        &["host", "token", "create", "--for", "0s"],
        &["host", "token", "create", "--uses", "0"],
        &["host", "token", "create", "--uses", "2", "--host", "db1"],
        &["host", "token", "create", "--replace"],
        &["host", "token", "revoke", "shj1.secret"],
        &["host", "revoke", "db1"],
        &["host", "revoke", "db1", "--reason", " "],
    ] {
        fake.run(asked).exits(2);
    }
    assert!(fake.asked().is_empty());
}

#[test]
fn the_command_is_all_there_is_on_standard_output_and_the_secret_is_no_argument_in_it() {
    let fake = fake(vec![join_token(ID)]);
    let ran = fake
        .run(&["host", "token", "create"])
        .exits(0)
        .says(ID)
        .says("one host (any new one)");
    assert_eq!(
        ran.out,
        "stayhand-agent join control.example:7443 <<'TOKEN'\nshj1.pin.id.secret\nTOKEN\n"
    );
    fake.run(&[
        "host",
        "token",
        "create",
        "--host",
        "db1",
        "--replace",
        "--for",
        "1h",
    ])
    .exits(0)
    .says("db1 (anew)")
    .prints("stayhand-agent join control.example:7443 --replace <<'TOKEN'");
    assert_eq!(
        fake.asked(),
        [
            "make a token: 900 s, 1 uses, host ``, replace false",
            "make a token: 3600 s, 1 uses, host `hosts/db1`, replace true",
        ]
    );
}

#[test]
fn programs_get_the_parts() {
    let fake = fake(vec![join_token(ID)]);
    let json = fake
        .run(&["host", "token", "create", "-o", "json"])
        .exits(0)
        .json();
    assert_eq!(json["id"], ID);
    assert_eq!(json["secret"], "shj1.pin.id.secret");
    let list = fake.run(&["host", "token", "ls", "-o", "json"]).exits(0);
    assert!(!list.out.contains("secret"));
}

#[test]
fn tokens_are_listed_and_taken_away() {
    let fake = fake(vec![join_token(ID)]);
    fake.run(&["host", "token", "ls"])
        .exits(0)
        .prints(ID)
        .prints("any new one");
    fake.run(&["host", "token", "revoke", ID])
        .exits(0)
        .says("worth nothing any more");
    fake.run(&["host", "token", "revoke", "0000000000000001"])
        .exits(3);
}

#[test]
fn a_host_that_is_out_is_shown_so_first() {
    let revoked = v1::HostMembership {
        revoke_time: Some(from_now(-5)),
        revoked_by: "olaf".into(),
        revoke_reason: "stolen".into(),
        ..member()
    };
    let shown = |membership| {
        Fake::new(Told {
            hosts: vec![v1::Host {
                membership: Some(membership),
                ..host("db1")
            }],
            ..Told::default()
        })
    };
    let out = shown(revoked);
    out.run(&["host", "ls"])
        .exits(0)
        .prints("REVOKED (last: enforced)");
    out.run(&["host", "show", "db1"])
        .exits(0)
        .prints("by olaf: stolen");
    let own = shown(member());
    own.run(&["host", "show", "db1"])
        .exits(0)
        .prints("its certificate counts until")
        .prints("came back by its bound key 1 times");
    own.run(&["host", "revoke", "db1", "--reason", "stolen"])
        .exits(0)
        .says("--replace");
    own.run(&["host", "revoke", "db9", "--reason", "x"])
        .exits(3);
    let asked = own.asked();
    assert!(
        asked.contains(&"revoke hosts/db1: stolen".to_owned()),
        "{asked:?}"
    );
}
