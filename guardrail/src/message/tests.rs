//! What a guarded person reads, for every reason, and what a hostile name can do to it.

use super::*;
use crate::{
    action::{Object, Operation, ProcessInfo},
    event::RuleRef,
    id::{Generation, Revision},
    subject::Subject,
};

fn event(verdict: Verdict, reason: Reason) -> DecisionEvent {
    DecisionEvent {
        verdict,
        reason,
        operation: Operation::Write,
        object: Object::Path {
            bytes: b"/srv/vault/plan".to_vec(),
        },
        object_cut: false,
        subject: Subject {
            auid: 1001,
            user: Some("alice".parse().unwrap()),
            session: Some(3),
        },
        process: ProcessInfo::default(),
        args_redacted: 0,
        generation: Generation(1),
        rule: Some(RuleRef {
            policy: "demo".parse().unwrap(),
            revision: Revision(1),
            rule: "vault".parse().unwrap(),
        }),
        message: Some("the vault is opened for one task at a time".to_owned()),
        sensitivity: None,
        permission: Some("demo/vault".parse().unwrap()),
        grant: None,
        hold: None,
        monitor: false,
    }
}

fn held(verdict: Verdict, reason: Reason) -> DecisionEvent {
    let answered = matches!(reason, Reason::HoldRefused | Reason::HoldApproved);
    DecisionEvent {
        permission: None,
        hold: Some(HoldRef {
            id: HoldId(0x1f),
            deadline: UnixMs(60_000),
            answered_by: answered.then(|| "bob".parse().unwrap()),
            answer_reason: answered.then(|| "not today".to_owned()),
        }),
        ..event(verdict, reason)
    }
}

#[test]
fn notices_as_they_are_read() {
    let all = [
        event(Verdict::Denied, Reason::RuleDeny),
        event(Verdict::Denied, Reason::NoGrant),
        held(Verdict::Held, Reason::HoldPending),
        held(Verdict::Denied, Reason::HoldRefused),
        held(Verdict::Denied, Reason::HoldTimedOut),
        event(Verdict::Denied, Reason::HoldUnavailable),
        event(Verdict::Denied, Reason::HoldQuota),
        event(Verdict::Denied, Reason::WalkFailed),
    ];
    let text: String = all
        .iter()
        .map(|event| Notice::of(event, UnixMs(15_000)).terminal())
        .collect();
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("notices", text.replace('\r', ""));
    });
}

#[test]
fn a_held_person_learns_rule_hold_time_left_and_the_exact_command() {
    let notice = Notice::of(&held(Verdict::Held, Reason::HoldPending), UnixMs(15_000));
    assert_eq!(notice.left, Some(DurationMs(45_000)));
    assert_eq!(
        notice.command.as_deref(),
        Some("stayhand hold approve 000000000000001f --reason …")
    );
    assert_eq!(notice.rule.as_deref(), Some("demo/vault"));
}

#[test]
fn a_name_in_a_command_is_one_shell_word() {
    let mut event = event(Verdict::Denied, Reason::NoGrant);
    event.subject.user = Some("CORP\\alice$".parse().unwrap());
    let command = Notice::of(&event, UnixMs(0)).command.unwrap();
    assert_eq!(
        command,
        "stayhand grant create --user 'CORP\\alice$' --permission demo/vault --for 1h --reason …"
    );
}

#[test]
fn without_a_permission_no_grant_is_promised() {
    let event = DecisionEvent {
        permission: None,
        ..event(Verdict::Denied, Reason::NoGrant)
    };
    let notice = Notice::of(&event, UnixMs(0));
    assert_eq!(notice.command, None);
    assert!(
        notice.advice.contains("no grant can cover it"),
        "{}",
        notice.advice
    );
}

#[test]
fn hostile_names_and_reasons_cannot_reach_the_terminal_as_they_are() {
    let mut event = held(Verdict::Denied, Reason::HoldRefused);
    event.object = Object::Path {
        bytes: b"/srv/\x1b]0;owned\x07\n\xff".to_vec(),
    };
    event.message = Some("a\u{202e}b\n".to_owned());
    if let Some(hold) = &mut event.hold {
        hold.answer_reason = Some("\u{1b}[2J".to_owned());
    }
    let text = Notice::of(&event, UnixMs(0)).terminal();
    let lines = text.replace("\r\n", "");
    assert!(
        !lines.chars().any(|c| c.is_control() || c == '\u{202e}'),
        "{lines:?}"
    );
    assert!(lines.contains(r"/srv/\x1b]0;owned\x07\n\xff"), "{lines}");
}

#[test]
fn every_reason_has_a_headline_and_an_advice() {
    for reason in Reason::ALL {
        for verdict in [Verdict::Allowed, Verdict::Denied, Verdict::Held] {
            let notice = Notice::of(&held(verdict, *reason), UnixMs(0));
            assert!(
                !notice.headline.is_empty() && !notice.advice.is_empty(),
                "{reason}"
            );
        }
    }
}
