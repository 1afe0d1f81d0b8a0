//! `stayhand whoami`: who somebody is to the control plane, and what they may do.

use stayhand_proto::v1;
use tonic::Status;

use crate::{
    fake::{Fake, Told},
    sample::HOSTILE_TEXT,
};

fn right(action: &str, rules: &[&str], depends: bool) -> v1::Right {
    v1::Right {
        action: action.into(),
        rules: rules.iter().map(|rule| (*rule).to_owned()).collect(),
        depends,
    }
}

fn caller() -> v1::GetIdentityResponse {
    v1::GetIdentityResponse {
        user: "pat".into(),
        groups: vec!["approvers".into(), "dev".into()],
        transport: "socket".into(),
        session: String::new(),
        expire_time: None,
        token_purpose: String::new(),
        is_operator: false,
        rights: vec![
            right("hold.read", &["approvers-see"], false),
            right("hold.approve", &["approvers", "on-call"], true),
        ],
    }
}

fn fake(caller: v1::GetIdentityResponse) -> Fake {
    Fake::new(Told {
        caller: Some(caller),
        ..Told::default()
    })
}

#[test]
fn whoever_is_refused_hears_what_the_control_plane_says() {
    let fake = Fake::new(Told {
        fails: Some(Status::permission_denied("`alice` is guarded on this host")),
        ..Told::default()
    });
    fake.run(&["whoami"])
        .exits(5)
        .says("could not ask who you are: `alice` is guarded on this host");
}

#[test]
fn names_that_somebody_chose_cannot_act_on_the_terminal() {
    let mut hostile = caller();
    hostile.user = HOSTILE_TEXT.into();
    hostile.transport = HOSTILE_TEXT.into();
    hostile.groups = vec![HOSTILE_TEXT.into()];
    hostile.rights = vec![right(HOSTILE_TEXT, &[HOSTILE_TEXT], true)];
    fake(hostile).run(&["whoami"]).exits(0).stays_harmless();
}

#[test]
fn rights_are_shown_with_their_rules() {
    let fake = fake(caller());
    let shown = fake.run(&["whoami"]).exits(0).out;
    for says in [
        "user      pat",
        "operator  no",
        "groups    approvers, dev",
        "may do    hold.read (by approvers-see)",
        "          hold.approve (by approvers, on-call, not of everything)",
    ] {
        assert!(shown.contains(says), "{shown}");
    }
    let json = fake.run(&["whoami", "-o", "json"]).exits(0).json();
    assert_eq!(json["kind"], "Caller");
    assert_eq!(json["rights"][1]["depends"], true);
    assert_eq!(json["transport"], "socket");
    let name = fake.run(&["whoami", "-o", "name"]).exits(0).out;
    assert_eq!(name, "pat\n");
}
