//! A hold: one paused action that waits for a person.

use serde::Serialize;
use stayhand_guardrail::{sensitivity::Sensitivity, text::safe, time::DurationMs};
use stayhand_proto::{convert::sensitivity, v1};

use super::{
    approval::Approval,
    parts::{self, Process, Rule, Subject, Time},
};
use crate::{render::View, time::Moment, time::span};

/// One hold.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Hold {
    pub(crate) id: String,
    pub(crate) state: &'static str,
    pub(crate) released: bool,
    pub(crate) host: String,
    pub(crate) subject: Option<Subject>,
    pub(crate) operation: &'static str,
    pub(crate) object: String,
    pub(crate) process: Process,
    pub(crate) rule: Option<Rule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) permission: Option<String>,
    /// What the rule says of how much depends on it
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sensitivity: Option<Sensitivity>,
    /// Who may approve; absent where every operator may
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) approval: Option<Approval>,
    pub(crate) create_time: Option<Time>,
    pub(crate) expire_time: Option<Time>,
    /// Only while it is pending.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seconds_left: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) answered_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) answer_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) answer_time: Option<Time>,
    /// When it went on, timed out, was cancelled or found void
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) end_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cancel_cause: Option<&'static str>,
    /// Which stage of the approval was not complete in its time
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lapse_reason: Option<String>,
}

impl Hold {
    pub(crate) fn of(wire: v1::Hold, moment: &Moment) -> Self {
        let state = state(wire.state());
        let cancel_cause = cause(wire.cancel_cause());
        let expire_time = parts::time(wire.expire_time);
        let left = expire_time.map(|end| moment.seconds_until(end));
        let approval = wire.approval.map(Approval::of);
        let approval = approval.map(|approval| match state {
            "pending" => approval.at(moment),
            _ => approval.ended(),
        });
        Self {
            id: parts::bare(&wire.name, "holds/"),
            state,
            released: wire.released,
            host: parts::bare(&wire.host, "hosts/"),
            subject: wire.subject.map(Subject::of),
            operation: parts::operation(wire.operation),
            object: parts::object(wire.object),
            process: wire.process.as_ref().map(Process::of).unwrap_or_default(),
            rule: Rule::of(wire.rule),
            message: parts::text(wire.message),
            permission: parts::text(wire.permission),
            sensitivity: sensitivity(wire.sensitivity),
            approval,
            create_time: parts::time(wire.create_time),
            expire_time,
            seconds_left: left.filter(|_| state == "pending"),
            answered_by: parts::text(wire.answered_by),
            answer_reason: parts::text(wire.answer_reason),
            answer_time: parts::time(wire.answer_time),
            end_time: parts::time(wire.end_time),
            cancel_cause,
            lapse_reason: parts::text(wire.lapse_reason),
        }
    }

    /// Under a label of its own where it is withheld: what stands behind `command` a process can choose.
    fn command(&self) -> (&'static str, String) {
        if self.process.arguments_withheld {
            let why = "withheld: no rule permits you `arguments.read` (`stayhand whoami`)";
            return ("arguments", why.to_owned());
        }
        ("command", self.process.command_line.clone())
    }

    /// Whether nothing can happen to it any more.
    pub(crate) fn is_over(&self) -> bool {
        !(self.state == "pending" || self.state == "approved" && !self.released)
    }

    /// Whether its rule says that at least so much depends on it.
    pub(crate) fn is_at_least(&self, least: Option<Sensitivity>) -> bool {
        self.sensitivity >= least
    }

    /// Whether it waits for an answer, or for more of them.
    pub(crate) fn is_pending(&self) -> bool {
        self.state == "pending"
    }

    /// After an approval that was not the last.
    pub(crate) fn still_needs(&self) -> String {
        let more = self.approval.as_ref().map(Approval::waiting);
        format!(
            "your approval counts, and more is needed: {}",
            more.unwrap_or_default()
        )
    }

    /// Who: the login, and as whom where that is somebody else.
    pub(crate) fn who(&self) -> String {
        let Some(subject) = &self.subject else {
            return "unknown".into();
        };
        match self.process.uid {
            uid if uid == subject.auid => subject.shown(),
            0 => format!("{} as root", subject.shown()),
            uid => format!("{} as uid {uid}", subject.shown()),
        }
    }

    /// What: operation and object.
    pub(crate) fn what(&self) -> String {
        format!("{} {}", self.operation, self.object)
    }

    /// What became of it, as a word with its consequence.
    pub(crate) fn outcome(&self) -> &'static str {
        match (self.state, self.released) {
            ("approved", true) => "approved, went on",
            (state, _) => state,
        }
    }

    fn why(&self) -> String {
        let rule = self.rule.as_ref().map(Rule::shown).unwrap_or_default();
        match &self.message {
            Some(message) => format!("{rule}: {}", safe(message)),
            None => rule,
        }
    }

    /// Until it is refused if nobody answers: by the rule's time, or before by its stage's.
    fn left(&self) -> String {
        let of_stage = self
            .approval
            .as_ref()
            .and_then(|one| one.stage_seconds_left);
        let left = self
            .seconds_left
            .map(|left| left.min(of_stage.unwrap_or(left)));
        let left = left.map(|left| span(DurationMs::from_secs(left)));
        left.unwrap_or_else(|| "-".into())
    }

    fn answer(&self) -> String {
        let (Some(by), reason) = (&self.answered_by, &self.answer_reason) else {
            return String::new();
        };
        format!(
            "{}: {}",
            safe(by),
            safe(reason.as_deref().unwrap_or("no reason given"))
        )
    }
}

fn cause(wire: v1::hold::CancelCause) -> Option<&'static str> {
    match wire {
        v1::hold::CancelCause::ProcessGone => Some("process-gone"),
        v1::hold::CancelCause::FatalSignal => Some("fatal-signal"),
        v1::hold::CancelCause::Unspecified => None,
    }
}

fn state(wire: v1::hold::State) -> &'static str {
    match wire {
        v1::hold::State::Pending => "pending",
        v1::hold::State::Approved => "approved",
        v1::hold::State::Refused => "refused",
        v1::hold::State::TimedOut => "timed-out",
        v1::hold::State::Cancelled => "cancelled",
        v1::hold::State::Void => "void",
        v1::hold::State::Lapsed => "lapsed",
        v1::hold::State::Unspecified => "unknown",
    }
}

impl View for Hold {
    const KIND: &'static str = "Hold";
    const HEADS: &'static [&'static str] = &[
        "ID",
        "STATE",
        "SENSITIVITY",
        "WHO",
        "WHAT",
        "WHERE",
        "WHY",
        "SINCE",
        "LEFT",
    ];

    fn id(&self) -> String {
        self.id.clone()
    }

    fn row(&self, moment: &Moment) -> Vec<String> {
        vec![
            safe(&self.id),
            self.outcome().into(),
            self.sensitivity.map_or("-", Sensitivity::as_str).into(),
            parts::cut(&self.who()),
            parts::cut(&self.what()),
            parts::cell(&self.host),
            parts::cut(&self.why()),
            self.create_time
                .map(|start| moment.short(start))
                .unwrap_or_default(),
            self.left(),
        ]
    }

    fn details(&self, moment: &Moment) -> Vec<(&'static str, String)> {
        let stamp = |time: Option<Time>| time.map(|time| moment.full(time)).unwrap_or_default();
        let some = |text: &Option<String>| text.clone().unwrap_or_default();
        let shown = |text: &Option<String>| text.as_deref().map(safe).unwrap_or_default();
        let cause = match &self.lapse_reason {
            Some(why) => safe(why),
            None => self.cancel_cause.unwrap_or_default().into(),
        };
        let until = if self.seconds_left.is_some() {
            stamp(self.expire_time)
        } else {
            String::new()
        };
        vec![
            ("hold", safe(&self.id)),
            ("state", self.outcome().into()),
            ("who", self.who()),
            ("what", self.what()),
            ("where", safe(&self.host)),
            (
                "rule",
                self.rule.as_ref().map(Rule::full).unwrap_or_default(),
            ),
            (
                "sensitivity",
                self.sensitivity
                    .map(|one| one.to_string())
                    .unwrap_or_default(),
            ),
            ("message", shown(&self.message)),
            ("permission", shown(&self.permission)),
            (
                "approval",
                self.approval
                    .as_ref()
                    .map(Approval::shown)
                    .unwrap_or_default(),
            ),
            ("since", stamp(self.create_time)),
            ("times out", until),
            ("answered by", self.answer()),
            ("answered", stamp(self.answer_time)),
            ("ended", stamp(self.end_time)),
            ("cause", cause),
            ("process", self.process.shown()),
            ("program", some(&self.process.executable)),
            self.command(),
            ("directory", some(&self.process.working_directory)),
            ("terminal", some(&self.process.terminal)),
        ]
    }
}
