//! One stopped action, explained to the one who was stopped: a person at once, a program or an AI agent as data.

use serde::Serialize;
use stayhand_guardrail::{sensitivity::Sensitivity, text::safe, time::DurationMs};
use stayhand_proto::{convert::sensitivity, v1};

use super::parts::{self, Process, Rule, Time};
use crate::{
    render::View,
    time::{Moment, span},
};

/// One explanation.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Explanation {
    pub(crate) time: Option<Time>,
    pub(crate) verdict: &'static str,
    /// Stable word, such as `rule-deny`.
    pub(crate) reason: String,
    /// All of it in one sentence.
    pub(crate) summary: String,
    pub(crate) operation: &'static str,
    pub(crate) object: String,
    pub(crate) process: Process,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rule: Option<Rule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    /// What the rule says of how much depends on it
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sensitivity: Option<Sensitivity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) permission: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hold: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hold_expire_time: Option<Time>,
    /// Only while the hold is pending.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seconds_left: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) answered_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) answer_reason: Option<String>,
    /// What to do now.
    pub(crate) advice: String,
    /// What somebody entitled runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) command: Option<String>,
}

impl Explanation {
    pub(crate) fn of(wire: v1::Explanation, moment: &Moment) -> Self {
        let hold_expire_time = parts::time(wire.hold_expire_time);
        let left = hold_expire_time.map(|end| moment.seconds_until(end));
        let mut explanation = Self {
            time: parts::time(wire.time),
            verdict: parts::verdict(wire.verdict),
            summary: String::new(),
            operation: parts::operation(wire.operation),
            object: parts::object(wire.object),
            process: wire.process.as_ref().map(Process::of).unwrap_or_default(),
            rule: Rule::of(wire.rule),
            message: parts::text(wire.message),
            sensitivity: sensitivity(wire.sensitivity),
            permission: parts::text(wire.permission),
            hold: parts::text(parts::bare(&wire.hold, "holds/")),
            hold_expire_time,
            seconds_left: left.filter(|_| wire.reason == "hold-pending"),
            answered_by: parts::text(wire.answered_by),
            answer_reason: parts::text(wire.answer_reason),
            advice: wire.advice,
            command: parts::text(wire.command),
            reason: wire.reason,
        };
        explanation.summary = explanation.sentence();
        if explanation.advice.is_empty() {
            usual_advice(&explanation.reason).clone_into(&mut explanation.advice);
        }
        explanation
    }

    /// What happened, in a sentence.
    fn sentence(&self) -> String {
        let rule = match &self.rule {
            Some(rule) => format!(" (rule {})", rule.shown()),
            None => String::new(),
        };
        format!("{}{rule}", self.what())
    }

    /// `write /etc/nginx/nginx.conf is held until somebody approves it`.
    pub(crate) fn what(&self) -> String {
        let happened = what_happened(&self.reason, self.verdict);
        format!("{} {} {happened}", self.operation, self.object)
    }

    /// The first word: what became of the call.
    pub(crate) fn headline(&self) -> &'static str {
        match self.reason.as_str() {
            "hold-pending" => "HELD",
            "hold-refused" => "REFUSED",
            "hold-lapsed" => "NOT APPROVED",
            "hold-timed-out" => "TIMED OUT",
            "hold-cancelled" => "CANCELLED",
            "hold-approved" | "grant" => "WENT ON",
            _ if self.verdict == "held" => "HELD",
            _ if self.verdict == "allowed" => "WENT ON",
            _ => "DENIED",
        }
    }

    fn answer(&self) -> String {
        let Some(by) = &self.answered_by else {
            // Nobody refused it: which stage was not complete in its time.
            return self
                .answer_reason
                .as_deref()
                .map(|why| format!("nobody; {}", safe(why)))
                .unwrap_or_default();
        };
        let reason = self.answer_reason.as_deref().unwrap_or("no reason given");
        format!("{}: {}", safe(by), safe(reason))
    }

    fn waiting(&self) -> String {
        let Some(hold) = self.hold.as_deref().map(safe) else {
            return String::new();
        };
        match self.seconds_left {
            Some(left) => format!("{hold}, {} left", span(DurationMs::from_secs(left))),
            None => hold,
        }
    }
}

/// What became of the action, for each stable reason.
fn what_happened(reason: &str, verdict: &str) -> &'static str {
    match reason {
        "rule-deny" => "was denied: a rule never permits it",
        "no-grant" => "was denied: it needs a grant, and you have none that covers it",
        "not-allowed" => {
            "was denied: no rule and no grant lets it through, and the rest is denied here"
        }
        "rate-exceeded" => "was denied: it was done as often as it may be",
        "within-rate" => "went on, and was counted",
        "hold-pending" => "is held until somebody approves it",
        "hold-approved" => "was held, approved, and went on",
        "hold-refused" => "was held, and somebody refused it",
        "hold-lapsed" => "was held, and not enough people approved it in time; nobody refused it",
        "hold-timed-out" => "was held, and nobody answered in time",
        "hold-cancelled" => "was held, and the program was ended while it waited",
        "hold-unavailable" => "was denied: it needs an approval, and this call cannot be held",
        "hold-quota" => "was denied: too many of your actions wait already",
        "no-agent" => "was denied: it needs an approval, and no agent ran that could take one",
        "no-record" => "was denied: it could not be recorded",
        "walk-failed" => "was denied: its path could not be judged",
        "image-changed" => "was denied: the policy changed at that very moment",
        "fact-unknown" => "was denied: nobody could tell whether the rule is about it",
        "hold-restops" => "was held, and denied because it was continued by hand too often",
        "cap-audit-control" => "was denied: nobody guarded may change who they are logged in as",
        "would-have" => "went on; the policy only watches, it would have been restricted",
        "grant" => "went on with your grant",
        _ if verdict == "held" => "was held",
        _ if verdict == "allowed" => "went on",
        _ => "was denied",
    }
}

/// For an agent that gives no advice.
fn usual_advice(reason: &str) -> &'static str {
    match reason {
        "rule-deny" => {
            "this is never permitted here; use the way that the message names, or ask who owns the policy"
        }
        "no-grant" => {
            "ask an operator for a grant and try again once they tell you that it is enforced"
        }
        "not-allowed" => {
            "ask an operator for a grant that covers it, or who owns the policy for a rule"
        }
        "rate-exceeded" => "wait, and try again",
        "hold-pending" => "leave the program as it is: it goes on by itself once somebody approves",
        "hold-refused" => "talk to whoever refused before you try again",
        "hold-lapsed" => "find somebody who may approve it first, then start the program again",
        "hold-timed-out" => "agree with an approver first, then start the program again",
        "hold-quota" => "wait for the answers, or end the programs that wait",
        "hold-unavailable" => "use an ordinary program for it, or ask an operator for a grant",
        "image-changed" | "fact-unknown" | "no-agent" => "try again",
        _ => "ask an operator, and name the rule",
    }
}

impl View for Explanation {
    const KIND: &'static str = "Explanation";
    const HEADS: &'static [&'static str] = &["TIME", "VERDICT", "WHAT", "RULE"];

    fn id(&self) -> String {
        let rule = self.rule.as_ref().map(Rule::shown);
        self.hold
            .clone()
            .or(rule)
            .unwrap_or_else(|| self.reason.clone())
    }

    fn row(&self, moment: &Moment) -> Vec<String> {
        vec![
            self.time.map(|time| moment.short(time)).unwrap_or_default(),
            self.headline().into(),
            parts::cut(&format!("{} {}", self.operation, self.object)),
            self.rule.as_ref().map(Rule::shown).unwrap_or_default(),
        ]
    }

    fn details(&self, moment: &Moment) -> Vec<(&'static str, String)> {
        let shown = |text: &Option<String>| text.as_deref().map(safe).unwrap_or_default();
        vec![
            (
                "  rule",
                self.rule.as_ref().map(Rule::full).unwrap_or_default(),
            ),
            (
                "  sensitivity",
                self.sensitivity
                    .map(|one| one.to_string())
                    .unwrap_or_default(),
            ),
            ("  message", shown(&self.message)),
            ("  permission", shown(&self.permission)),
            ("  hold", self.waiting()),
            ("  answered by", self.answer()),
            ("  program", self.process.shown()),
            (
                "  when",
                self.time.map(|time| moment.full(time)).unwrap_or_default(),
            ),
            ("  what now", parts::prose(&self.advice)),
        ]
    }
}
