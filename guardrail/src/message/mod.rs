//! What the guarded person or program is told: which rule, the policy's message, what to do now.
//!
//! Everything that others chose (paths, messages, reasons) is shown safely; nothing here can move a cursor.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::{
    action::Operation,
    event::{DecisionEvent, HoldRef},
    id::HoldId,
    reason::{Reason, Verdict},
    text::{cut, safe_cut},
    time::{DurationMs, UnixMs},
};

/// Characters of a path, message or reason that are shown: some terminal lines.
const SHOWN_CHARS_MAX: usize = 400;

/// One decision, explained to the one whom it met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What became of the action
    pub verdict: Verdict,
    /// Why
    pub reason: Reason,
    /// What was attempted, such as `exec /usr/bin/nc`
    pub action: String,
    /// One sentence: what happened
    pub headline: String,
    /// The rule that decided
    pub rule: Option<String>,
    /// The policy's message
    pub message: Option<String>,
    /// Permission that would cover it
    pub permission: Option<String>,
    /// The hold
    pub hold: Option<HoldId>,
    /// Time left of a pending hold
    pub left: Option<DurationMs>,
    /// Who answered the hold, and with what reason
    pub answer: Option<String>,
    /// What to do now
    pub advice: String,
    /// The command that somebody entitled runs
    pub command: Option<String>,
}

impl Notice {
    /// Explains a decision at `now`.
    pub fn of(event: &DecisionEvent, now: UnixMs) -> Self {
        let action = action(event);
        let pending = event
            .hold
            .as_ref()
            .filter(|_| event.verdict == Verdict::Held);
        let (advice, command) = advice(event);
        Self {
            verdict: event.verdict,
            reason: event.reason,
            headline: headline(event, &action),
            action,
            rule: event.rule.as_ref().map(ToString::to_string),
            message: event
                .message
                .as_deref()
                .map(|message| safe_cut(message.as_bytes(), SHOWN_CHARS_MAX)),
            permission: event.permission.as_ref().map(ToString::to_string),
            hold: event.hold.as_ref().map(|hold| hold.id),
            left: pending.map(|hold| hold.deadline.since(now)),
            answer: event.hold.as_ref().and_then(answer),
            advice,
            command,
        }
    }

    /// Lines for a terminal in any state: each starts at the left edge and is cleared of what a prompt left.
    pub fn terminal(&self) -> String {
        let mut text = String::from("\r\n");
        let mut line = |content: &str| {
            // Writing into a `String` cannot fail.
            let written = write!(text, "stayhand: {content}\r\n");
            debug_assert!(written.is_ok());
        };
        line(&self.headline);
        if let Some(message) = &self.message {
            line(&format!("  {message}"));
        }
        if let Some(answer) = &self.answer {
            line(&format!("  {answer}"));
        }
        if let Some(left) = self.left {
            let hold = self
                .hold
                .map_or_else(String::new, |hold| format!("hold {hold}, "));
            line(&format!("  {hold}{left} left"));
        }
        line(&format!("  {}", self.advice));
        if let Some(command) = &self.command {
            line(&format!("    {command}"));
        }
        text
    }
}

fn action(event: &DecisionEvent) -> String {
    let object = cut(event.object.to_string(), SHOWN_CHARS_MAX);
    let above = if event.object_cut { "…" } else { "" };
    format!("{} {above}{object}", event.operation)
}

fn headline(event: &DecisionEvent, action: &str) -> String {
    let rule = event
        .rule
        .as_ref()
        .map_or_else(|| "no rule".to_owned(), |rule| format!("rule {rule}"));
    match event.reason {
        Reason::RuleDeny => format!("denied: {action} ({rule})"),
        Reason::NoGrant => format!("denied: {action} needs a grant ({rule})"),
        Reason::HoldPending => format!("held: {action} waits for approval ({rule})"),
        Reason::HoldApproved => format!("approved: {action} goes on ({rule})"),
        Reason::HoldRefused => format!("refused: {action} ({rule})"),
        Reason::HoldTimedOut => format!("timed out: nobody answered in time on {action} ({rule})"),
        Reason::HoldCancelled => {
            format!("cancelled: {action} was interrupted while it was held ({rule})")
        }
        Reason::HoldUnavailable => {
            format!("denied: {action} needs approval and cannot wait for it here ({rule})")
        }
        Reason::HoldQuota => {
            format!("denied: too many of your actions already wait for approval; {action} ({rule})")
        }
        Reason::HoldRestops => {
            format!("denied: {action} was continued too often while it was held ({rule})")
        }
        Reason::NoRecord => format!("denied: {action} could not be recorded ({rule})"),
        Reason::WalkFailed | Reason::ImageChanged | Reason::Unknown => {
            format!("denied: {action} could not be judged")
        }
        Reason::CapAuditControl => "denied: changing who you are to the audit system".to_owned(),
        Reason::Grant => format!("allowed by a grant: {action} ({rule})"),
        Reason::WouldHave => {
            format!("allowed, monitor mode: {action} would have been restricted ({rule})")
        }
        Reason::Default | Reason::RuleAlert | Reason::RuleAllow => {
            format!("{}: {action} ({rule})", event.verdict)
        }
    }
}

fn answer(hold: &HoldRef) -> Option<String> {
    let by = hold.answered_by.as_ref()?;
    let reason = hold
        .answer_reason
        .as_deref()
        .map_or_else(String::new, |why| {
            format!(": {}", safe_cut(why.as_bytes(), SHOWN_CHARS_MAX))
        });
    Some(format!("answered by {by}{reason}"))
}

/// What to do, and the command for it.
fn advice(event: &DecisionEvent) -> (String, Option<String>) {
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
        Reason::HoldPending => match &event.hold {
            Some(hold) => (
                "it goes on by itself once an operator approves; Ctrl-C gives up:".to_owned(),
                Some(format!("stayhand hold approve {} --reason …", hold.id)),
            ),
            None => plain("it goes on by itself once an operator approves; Ctrl-C gives up"),
        },
        Reason::HoldRefused => plain("talk to the person who refused before you try again"),
        Reason::HoldTimedOut => plain("tell an operator first, then run the same command again"),
        Reason::HoldCancelled => {
            plain("run the same command again if it was not you who interrupted it")
        }
        Reason::HoldUnavailable | Reason::HoldQuota => match grant() {
            Some(command) => (
                "ask an operator for a grant, then run the same command again:".to_owned(),
                Some(command),
            ),
            None if event.reason == Reason::HoldQuota => {
                plain("wait until one of the others is answered, then run it again")
            }
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
        Reason::CapAuditControl => plain("you stay who you logged in as, also as root"),
        Reason::HoldApproved
        | Reason::Grant
        | Reason::WouldHave
        | Reason::Default
        | Reason::RuleAlert
        | Reason::RuleAllow => plain("nothing to do"),
    }
}

fn unavailable(operation: Operation) -> &'static str {
    match operation {
        Operation::Exec => "run the program directly from a shell, where it can be held",
        Operation::Write | Operation::Create => {
            "use a program that opens the file with an ordinary call, where it can be held"
        }
        Operation::Connect => {
            "use a program that connects with an ordinary call, where it can be held"
        }
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

#[cfg(test)]
mod tests;
