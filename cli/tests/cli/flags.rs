//! `stayhand flag`: set with an end, listed, cleared.

use stayhand_proto::v1;

use crate::{
    fake::{Fake, Told},
    sample::{HOSTILE_TEXT, from_now},
};

fn flag(name: &str) -> v1::Flag {
    v1::Flag {
        name: format!("flags/{name}"),
        until_time: Some(from_now(3_600)),
        set_by: "bob".into(),
        reason: "the sale".into(),
        set_time: Some(from_now(-60)),
    }
}

fn fake(flags: Vec<v1::Flag>) -> Fake {
    Fake::new(Told {
        flags,
        ..Told::default()
    })
}

#[test]
fn a_flag_without_an_end_or_a_reason_is_refused_before_anybody_is_asked() {
    let fake = fake(vec![]);
    for asked in [
        &["flag", "set", "busy", "--reason", "x"][..],
        &["flag", "set", "busy", "--for", "1h"],
        &["flag", "set", "busy", "--for", "32d", "--reason", "x"],
        &["flag", "set", "busy", "--for", "0s", "--reason", "x"],
        &["flag", "set", "Busy!", "--for", "1h", "--reason", "x"],
    ] {
        fake.run(asked).exits(2);
    }
    assert!(fake.asked().is_empty());
}

#[test]
fn setting_and_clearing_say_what_is_so_now() {
    let fake = fake(vec![flag("busy")]);
    fake.run(&[
        "flag", "set", "busy", "--for", "1h30m", "--reason", "the sale",
    ])
    .exits(0)
    .prints("set by  bob")
    .prints("the sale");
    fake.run(&["flag", "clear", "busy", "--reason", "over"])
        .exits(0)
        .says("flag busy is cleared");
    assert_eq!(
        fake.asked(),
        [
            "set flags/busy for 5400 s: the sale",
            "clear flags/busy: over"
        ]
    );
    fake.run(&["flag", "clear", "quiet", "--reason", "over"])
        .exits(3)
        .says("stayhand flag ls");
}

#[test]
fn what_others_wrote_does_not_act_on_the_terminal() {
    let hostile = v1::Flag {
        set_by: HOSTILE_TEXT.into(),
        reason: HOSTILE_TEXT.into(),
        ..flag(HOSTILE_TEXT)
    };
    let fake = fake(vec![hostile]);
    for format in ["table", "json", "yaml"] {
        fake.run(&["flag", "ls", "-o", format])
            .exits(0)
            .stays_harmless();
    }
}
