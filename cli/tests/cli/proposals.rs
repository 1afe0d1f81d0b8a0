//! `stayhand policy proposals`, `approve` and `refuse`: changes that take several people.

use std::fs;

use stayhand_proto::v1::{self, policy_proposal::State};

use crate::{
    fake::{Fake, Told},
    sample::{HOSTILE_TEXT, from_now},
};

const OLD: &str = "\
apiVersion: stayhand/v1
kind: Policy
metadata: { name: baseline }
spec:
  subjects: { users: [alice] }
  rules:
    - { id: nc, effect: deny, exec: { path: /usr/bin/nc }, message: no }
";

fn new() -> String {
    OLD.replace("/usr/bin/nc", "/usr/bin/ncat")
}

fn proposal(state: State) -> v1::PolicyProposal {
    let security = v1::approval::Stage {
        quorum: v1::approval::Quorum::Count.into(),
        count: 2,
        of: vec!["group:security".into()],
        ..Default::default()
    };
    v1::PolicyProposal {
        name: "proposals/17".into(),
        policy: "policies/baseline".into(),
        base_revision: 3,
        source: new(),
        proposed_by: "bob".into(),
        create_time: Some(from_now(-60)),
        expire_time: Some(from_now(600)),
        approval: Some(v1::Approval {
            name: "policies".into(),
            stages: vec![security],
            stage_start_time: Some(from_now(-60)),
            ..Default::default()
        }),
        state: state.into(),
        ..Default::default()
    }
}

fn fake(proposal: v1::PolicyProposal) -> Fake {
    Fake::new(Told {
        proposals: vec![proposal],
        policies: vec![v1::Policy {
            name: "policies/baseline".into(),
            revision: 3,
            source: OLD.into(),
            ..Default::default()
        }],
        ..Told::default()
    })
}

const WAITS: &str = "stage 1 of 1, 2 more: 2 of group:security";

#[test]
fn applying_says_that_nothing_has_changed_and_who_does_what_next() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p.yaml");
    fs::write(&path, new()).unwrap();
    fake(proposal(State::Pending))
        .run(&["policy", "apply", path.to_str().unwrap(), "--wait"])
        .exits(0)
        .prints("proposed as number 17")
        .says("nothing has changed yet")
        .says(WAITS)
        .says("stayhand policy approve 17 --reason");
}

#[test]
fn whoever_approves_sees_what_it_changes_and_the_document_byte_for_byte() {
    let ran = fake(proposal(State::Pending))
        .run(&["policy", "proposals", "17"])
        .exits(0)
        .says("replaces     revision 3")
        .says(WAITS)
        .says("exec /usr/bin/ncat");
    assert_eq!(ran.out, new());
    fake(proposal(State::Pending))
        .run(&["policy", "proposals"])
        .exits(0)
        .prints("baseline")
        .prints("2 of group:security");
}

#[test]
fn an_approval_says_what_came_of_it_in_words_and_exit_code() {
    let approve = ["policy", "approve", "17", "--reason", "read it"];
    let part = fake(proposal(State::Pending));
    part.run(&approve)
        .exits(0)
        .says("your approval counts, and more is needed");
    assert_eq!(part.asked(), ["approve proposals/17: read it"]);
    let applied = v1::PolicyProposal {
        revision: 4,
        ..proposal(State::Applied)
    };
    fake(applied).run(&approve).exits(0).prints("revision 4");
    fake(proposal(State::Outdated))
        .run(&approve)
        .exits(4)
        .says("nothing has changed");
    fake(proposal(State::Pending))
        .run(&["policy", "approve", "17"])
        .exits(2);
}

#[test]
fn what_others_wrote_does_not_act_on_the_terminal() {
    let hostile = v1::PolicyProposal {
        proposed_by: HOSTILE_TEXT.into(),
        refused_by: HOSTILE_TEXT.into(),
        refuse_reason: HOSTILE_TEXT.into(),
        policy: HOSTILE_TEXT.into(),
        ..proposal(State::Refused)
    };
    let fake = fake(hostile);
    for asked in [
        &["policy", "proposals"][..],
        &["policy", "refuse", "17", "--reason", "no"],
        &["policy", "proposals", "17", "-o", "json"],
    ] {
        fake.run(asked).exits(0).stays_harmless();
    }
}
