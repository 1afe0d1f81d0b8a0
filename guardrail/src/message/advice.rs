//! What to do after a decision, and the exact command for it.

use stayhand_agent_ebpf::abi::code::op;

use crate::{action::Operation, event::DecisionEvent, reason::Reason};

/// What to do, and the command for it.
pub(super) fn advice(event: &DecisionEvent) -> (String, Option<String>) {
    let grant = || grant_command(event);
    let plain = |text: &str| (text.to_owned(), None);
    match event.reason {
        Reason::RuleDeny => plain(
            "no grant and no approval changes this; do it the way the message says, or ask the policy's owner",
        ),
        Reason::NoGrant => match grant() {
            Some(command) => (
                "ask an operator for a grant, then run the same command again:".to_owned(),
                Some(command),
            ),
            None => plain(
                "no grant can cover it, because no permission names it; ask the policy's owner",
            ),
        },
        Reason::NotAllowed => plain(
            "nothing names it, and what nothing names is denied here; ask an operator for a grant whose permission covers \
             it, or the policy's owner for a rule",
        ),
        Reason::RateExceeded => {
            plain("wait, and run the same command again; a grant is not counted")
        }
        Reason::HoldPending => match &event.hold {
            Some(hold) => (
                "it goes on by itself once an operator approves; Ctrl-C gives up:".to_owned(),
                Some(format!("stayhand hold approve {} --reason …", hold.id)),
            ),
            None => plain("it goes on by itself once an operator approves; Ctrl-C gives up"),
        },
        Reason::HoldRefused => plain("talk to the person who refused before you try again"),
        Reason::HoldLapsed => {
            plain("find somebody who may approve it first, then run the same command again")
        }
        Reason::HoldTimedOut => plain("tell an operator first, then run the same command again"),
        Reason::HoldCancelled => {
            plain("run the same command again if it was not you who interrupted it")
        }
        Reason::HoldUnavailable | Reason::HoldQuota | Reason::NoAgent => match grant() {
            Some(command) => (
                "ask an operator for a grant, then run the same command again:".to_owned(),
                Some(command),
            ),
            None if event.reason == Reason::HoldQuota => {
                plain("wait until one of the others is answered, then run it again")
            }
            None if event.reason == Reason::NoAgent => plain(
                "run it again; if it stays so, tell the operators that the agent of this host does not run",
            ),
            None => plain(unavailable(event.operation)),
        },
        Reason::HoldRestops => plain(
            "leave a held process alone until it is answered, then run the same command again",
        ),
        Reason::NoRecord => plain(
            "run it again in a moment; if it stays so, tell the operators that the host's records are full",
        ),
        Reason::WalkFailed | Reason::ImageChanged | Reason::Unknown => plain(
            "run it again; if it stays so, show the operators the output of `stayhand why --last`",
        ),
        Reason::FactUnknown => plain(
            "run it again in a moment; if it stays so, tell the operators: `stayhand doctor` and the agent's log on this \
             host say why",
        ),
        Reason::CapAuditControl => plain("you stay who you logged in as, also as root"),
        Reason::ArgsChanged => plain("run it again without changing its arguments meanwhile"),
        Reason::HoldApproved
        | Reason::Grant
        | Reason::WouldHave
        | Reason::Default
        | Reason::RuleAlert
        | Reason::RuleAllow
        | Reason::WithinRate => plain("nothing to do"),
    }
}

/// Whether a grant would have let it go on.
pub(super) fn a_grant_helps(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::NoGrant
            | Reason::NotAllowed
            | Reason::RateExceeded
            | Reason::HoldUnavailable
            | Reason::HoldQuota
            | Reason::NoAgent
    )
}

fn unavailable(operation: Operation) -> &'static str {
    match operation {
        Operation::Exec => "run the program directly from a shell, where it can be held",
        Operation::Connect | Operation::Send | Operation::Bind | Operation::Listen => {
            "use a program that reaches the network with an ordinary call, where it can be held"
        }
        _ if operation.bit() & op::SYSTEM != 0 => {
            "it cannot wait for an approval; ask the policy's owner for a permission that covers it"
        }
        _ => "use a program that reaches the file with an ordinary call, where it can be held",
    }
}

fn grant_command(event: &DecisionEvent) -> Option<String> {
    let permission = event.permission.as_ref()?;
    let user = event.subject.user.as_ref()?;
    Some(format!(
        "stayhand grant create --user {} --permission {permission} --for 1h --reason …",
        shell_word(user.as_str())
    ))
}

/// A word as a shell reads it back.
fn shell_word(word: &str) -> String {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'@' | b'+');
    // A user name has no quote in it.
    if word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{word}'")
    }
}
