//! Who may approve: what is hostile is refused with its place.

use stayhand_guardrail::{
    approval::{Approver, Escalation, Plan, Progress, Quorum, Review, Stage},
    hold::{Approval, Hold, HoldState},
    time::{DurationMs, UnixMs},
};

use super::hold;
use crate::v1;

/// One of each kind.
pub(super) fn approvals() -> Vec<Approval> {
    let of = |words: &[&str]| -> Vec<Approver> {
        words.iter().map(|word| word.parse().unwrap()).collect()
    };
    let stage = |quorum, words: &[&str], escalation| Stage {
        quorum,
        of: of(words),
        escalation,
        timeout: (quorum == Quorum::All).then_some(DurationMs(900_000)),
    };
    let escalation = Escalation {
        after: DurationMs(90_500),
        to: of(&["manager", "on-call:ops"]),
    };
    let plan = Plan {
        name: "prod-change".parse().unwrap(),
        stages: vec![
            stage(Quorum::Any, &["user:bob", "group:sre"], Some(escalation)),
            stage(Quorum::All, &["group:dba"], None),
            stage(Quorum::Count(3), &["group:dba"], None),
        ],
    };
    let review = Review {
        by: "bob".parse().unwrap(),
        stage: 0,
        counts_as: vec![0, 1],
        reason: "looks right".into(),
        at: UnixMs(1_700_000_000_500),
    };
    let progress = Progress {
        plan,
        stage: 1,
        since: UnixMs(1_700_000_000_500),
        reviews: vec![review],
    };
    vec![
        Approval::Plan(progress),
        Approval::Operators,
        Approval::Unknown,
    ]
}

type ChangeApproval = fn(&mut v1::Approval);

#[test]
fn hostile_approvals_are_refused_with_the_path_of_the_field() {
    let wire = |change: &dyn Fn(&mut v1::Approval)| {
        let mut wire = v1::Hold::from(Hold {
            approval: approvals().remove(0),
            ..hold(HoldState::Pending)
        });
        change(wire.approval.as_mut().unwrap());
        Hold::try_from(wire)
    };
    let cases: [(&str, ChangeApproval); 8] = [
        ("approval.name", |one| one.name = "\u{1b}[2J".into()),
        ("approval.stages", |one| one.stages.clear()),
        ("approval.stages", |one| {
            one.stages = vec![one.stages[0].clone(); 6];
        }),
        ("approval.quorum", |one| one.stages[2].count = 0),
        ("approval.of", |one| one.stages[1].of = vec!["bob".into()]),
        ("approval.of", |one| one.stages[1].of.clear()),
        ("approval.counts_as", |one| {
            one.reviews[0].counts_as = vec![0; 33];
        }),
        ("approval.time", |one| one.reviews[0].time = None),
    ];
    for (field, change) in cases {
        let error = wire(&change).unwrap_err();
        assert_eq!(error.field, field, "{error}");
        assert!(!error.to_string().contains('\u{1b}'), "{error}");
    }
}
