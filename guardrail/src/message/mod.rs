//! What the guarded person or program is told: which rule, the policy's message, what to do now.
//!
//! Everything that others chose (paths, messages, reasons) is shown safely; nothing here can move a cursor.

mod advice;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::{
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
    /// Who answered the hold, and with what reason; or which stage of its approval nobody answered in time
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
        let (advice, command) = advice::advice(event);
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

    /// On a host where no grant counts at present, for this reason: asking for one helps nobody before that is over.
    #[must_use]
    pub fn where_no_grant_counts(mut self, why: Option<String>) -> Self {
        if let Some(why) = why.filter(|_| advice::a_grant_helps(self.reason)) {
            (self.advice, self.command) = (why, None);
        }
        self
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
            line(&format!("  {hold}{} left", left.in_seconds()));
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
    // A reboot has nothing that it is about.
    format!("{} {above}{object}", event.operation)
        .trim_end()
        .to_owned()
}

fn headline(event: &DecisionEvent, action: &str) -> String {
    let rule = event
        .rule
        .as_ref()
        .map_or_else(|| "no rule".to_owned(), |rule| format!("rule {rule}"));
    match event.reason {
        Reason::RuleDeny => format!("denied: {action} ({rule})"),
        Reason::NoGrant => format!("denied: {action} needs a grant ({rule})"),
        Reason::NotAllowed => format!("denied: no rule allows {action} ({rule})"),
        Reason::RateExceeded => format!("denied: {action} was done as often as it may be ({rule})"),
        Reason::HoldPending => format!("held: {action} waits for approval ({rule})"),
        Reason::HoldApproved => format!("approved: {action} goes on ({rule})"),
        Reason::HoldRefused => format!("refused: {action} ({rule})"),
        Reason::HoldLapsed => {
            format!("not approved in time: {action}, and nobody refused it ({rule})")
        }
        Reason::HoldTimedOut => format!("timed out: nobody answered in time on {action} ({rule})"),
        Reason::HoldCancelled => {
            format!("cancelled: {action} was interrupted while it was held ({rule})")
        }
        Reason::HoldUnavailable => {
            format!("denied: {action} needs approval and cannot wait for it here ({rule})")
        }
        Reason::NoAgent => format!(
            "denied: {action} needs an approval, and no agent ran that could take one ({rule})"
        ),
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
        Reason::FactUnknown => {
            format!("denied: {action}: nobody could tell whether it is what {rule} is about")
        }
        Reason::CapAuditControl => "denied: changing who you are to the audit system".to_owned(),
        Reason::ArgsChanged => {
            "killed: the program's arguments were changed while they were judged".to_owned()
        }
        Reason::Grant => format!("allowed by a grant: {action} ({rule})"),
        Reason::WouldHave => {
            format!("allowed, monitor mode: {action} would have been restricted ({rule})")
        }
        Reason::Default | Reason::RuleAlert | Reason::RuleAllow | Reason::WithinRate => {
            format!("{}: {action} ({rule})", event.verdict)
        }
    }
}

fn answer(hold: &HoldRef) -> Option<String> {
    let Some(by) = &hold.answered_by else {
        let why = hold.answer_reason.as_deref()?;
        return Some(safe_cut(why.as_bytes(), SHOWN_CHARS_MAX));
    };
    let reason = hold
        .answer_reason
        .as_deref()
        .map_or_else(String::new, |why| {
            format!(": {}", safe_cut(why.as_bytes(), SHOWN_CHARS_MAX))
        });
    Some(format!("answered by {by}{reason}"))
}
