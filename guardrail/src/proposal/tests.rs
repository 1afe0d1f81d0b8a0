//! Nobody approves the own proposal, nothing happens to one that is over, and only the last approval completes it.

use super::*;
use crate::approval::{Plan, Quorum, Stage};

const START: UnixMs = UnixMs(1_000_000);
const END: UnixMs = UnixMs(2_000_000);

fn name(text: &str) -> UserName {
    text.parse().unwrap()
}

fn proposal(count: u32) -> Proposal {
    let stage = Stage {
        quorum: Quorum::Count(count),
        of: ["alice", "bob", "carol"]
            .map(|user| format!("user:{user}").parse().unwrap())
            .into(),
        escalation: None,
        timeout: None,
    };
    let plan = Plan {
        name: "policies".parse().unwrap(),
        stages: vec![stage],
    };
    Proposal {
        id: ProposalId(7),
        policy: "prod".parse().unwrap(),
        base: Revision(3),
        removes: false,
        reason: None,
        source: "…".to_owned(),
        rollout: None,
        by: name("alice"),
        create_time: START,
        expire_time: END,
        approval: Progress::new(plan, START),
        state: ProposalState::Pending,
    }
}

fn approve(proposal: Proposal, who: &str, at: UnixMs) -> Result<Step, Illegal> {
    proposal.approve(&Reviewer::named(name(who)), "read it", at)
}

#[test]
fn nobody_approves_what_they_propose_and_anybody_may_take_it_back() {
    let error = approve(proposal(1), "alice", START).unwrap_err();
    assert!(matches!(error, Illegal::Own { .. }), "{error}");
    let step = proposal(1).refuse(&name("alice"), "a slip", START).unwrap();
    assert_eq!(step.proposal.state.as_str(), "refused");
    assert_eq!(step.record.change, PolicyChange::Refused);
}

#[test]
fn only_the_last_approval_completes_it_and_each_is_recorded() {
    let first = approve(proposal(2), "bob", START).unwrap();
    assert!(!first.is_complete);
    assert_eq!(
        (first.record.change, first.record.proposal),
        (PolicyChange::Approved, Some(ProposalId(7)))
    );
    let again = approve(first.proposal.clone(), "bob", START).unwrap_err();
    assert!(matches!(again, Illegal::NotCounted { .. }), "{again}");
    let stranger = approve(first.proposal.clone(), "eve", START).unwrap_err();
    assert!(stranger.to_string().contains("user:carol"), "{stranger}");
    let last = approve(first.proposal, "carol", START).unwrap();
    assert!(last.is_complete);
    assert_eq!(last.record.revision, Revision(4));
}

#[test]
fn nothing_happens_to_one_that_is_over() {
    let late = approve(proposal(1), "bob", END).unwrap_err();
    assert!(late.to_string().contains("is expired"), "{late}");
    assert_eq!(
        proposal(1).at(END).state,
        ProposalState::Expired { at: END }
    );
    for state in [
        ProposalState::Applied {
            revision: Revision(4),
            at: START,
        },
        ProposalState::Outdated { at: START },
    ] {
        let over = Proposal {
            state,
            ..proposal(1)
        };
        assert!(approve(over.clone(), "bob", START).is_err());
        assert!(over.refuse(&name("bob"), "no", START).is_err());
    }
}

#[test]
fn a_decision_needs_a_reason() {
    let silent = proposal(1).approve(&Reviewer::named(name("bob")), " ", START);
    assert_eq!(silent.unwrap_err(), Illegal::Reason);
}

#[test]
fn what_was_read_replaces_only_the_revision_that_it_was_written_for() {
    let done = || approve(proposal(1), "bob", START).unwrap().proposal;
    let applied = done().settled(Revision(3), START).state;
    let revision = Revision(4);
    assert_eq!(
        applied,
        ProposalState::Applied {
            revision,
            at: START
        }
    );
    for other in [Revision(0), Revision(2), Revision(4)] {
        let outdated = done().settled(other, START).state;
        assert_eq!(outdated, ProposalState::Outdated { at: START });
    }
}
