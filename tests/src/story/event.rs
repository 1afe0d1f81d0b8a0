//! One OCSF line, and what a step expects to find in one.

use anyhow::{Context, Result};
use serde_json::Value;

/// One event as `stayhand events tail` prints it.
#[derive(Debug, Clone)]
pub struct Event(pub Value);

/// What a decision must say to be the one that a step caused. Empty words are not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Stable word
    pub reason: &'static str,
    /// Rule id
    pub rule: &'static str,
    /// Path or address
    pub object: &'static str,
    /// Login name of the subject
    pub user: &'static str,
}

impl Expected {
    /// A denial by a rule, of alice.
    pub const fn denied(rule: &'static str, object: &'static str) -> Self {
        Self {
            reason: "rule-deny",
            rule,
            object,
            user: "alice",
        }
    }

    /// Any decision about alice.
    pub const fn of(reason: &'static str, rule: &'static str, object: &'static str) -> Self {
        Self {
            reason,
            rule,
            object,
            user: "alice",
        }
    }

    /// Whether an event is one.
    pub fn matches(&self, event: &Event) -> bool {
        let is = |wanted: &str, found: &str| wanted.is_empty() || wanted == found;
        event.is_decision()
            && is(self.reason, event.reason())
            && is(self.rule, event.rule())
            && is(self.object, &event.object())
            && is(self.user, event.user())
    }
}

impl Event {
    /// Reads one line.
    pub fn parse(line: &str) -> Result<Self> {
        serde_json::from_str(line)
            .map(Self)
            .with_context(|| format!("no JSON: {line}"))
    }

    /// A text of it; `pointer` as in JSON pointers.
    pub fn text(&self, pointer: &str) -> &str {
        self.0
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// A number of it.
    pub fn number(&self, pointer: &str) -> Option<u64> {
        self.0.pointer(pointer).and_then(Value::as_u64)
    }

    /// Number on its host, without gaps.
    pub fn sequence(&self) -> Option<u64> {
        self.number("/metadata/sequence")
    }

    /// The spool that numbered it.
    pub fn epoch(&self) -> &str {
        self.text("/unmapped/stayhand/epoch")
    }

    /// Where it happened.
    pub fn host(&self) -> &str {
        self.text("/device/hostname")
    }

    /// Whether it is a recorded decision of a kernel; an attempt on the guardrail itself is one.
    pub fn is_decision(&self) -> bool {
        !self.reason().is_empty()
    }

    /// Stable word of a decision; `tamper` for work on the guardrail itself.
    pub fn reason(&self) -> &str {
        match self.text("/metadata/event_code") {
            "tamper" => "tamper",
            _ => self.text("/unmapped/stayhand/reason"),
        }
    }

    /// Rule id.
    pub fn rule(&self) -> &str {
        self.text("/firewall_rule/name")
    }

    /// Policy and its revision.
    pub fn policy(&self) -> (&str, &str) {
        (self.text("/policy/name"), self.text("/policy/version"))
    }

    /// The grant that covered it.
    pub fn grant(&self) -> &str {
        let covered = self.text("/metadata/correlation_uid");
        if covered.starts_with("grants/") {
            covered
        } else {
            ""
        }
    }

    /// The hold that it opened or ended.
    pub fn hold(&self) -> &str {
        self.text("/unmapped/stayhand/hold/id")
    }

    /// How many decisions it says were lost.
    pub fn lost(&self) -> Option<u64> {
        self.number("/unmapped/stayhand/lost/count")
    }

    /// Login name of the subject.
    pub fn user(&self) -> &str {
        let places = ["/actor/user/name", "/evidences/0/actor/user/name"];
        places
            .into_iter()
            .map(|place| self.text(place))
            .find(|name| !name.is_empty())
            .unwrap_or_default()
    }

    /// Path or `address:port`.
    pub fn object(&self) -> String {
        let path = [self.text("/file/path"), self.text("/process/file/path")];
        if let Some(path) = path.into_iter().find(|path| !path.is_empty()) {
            return path.to_owned();
        }
        match (
            self.text("/dst_endpoint/ip"),
            self.number("/dst_endpoint/port"),
        ) {
            (ip, Some(port)) if !ip.is_empty() => format!("{ip}:{port}"),
            _ => String::new(),
        }
    }

    /// For a transcript.
    pub fn line(&self) -> String {
        let sequence = self
            .sequence()
            .map_or_else(|| "?".to_owned(), |number| number.to_string());
        let what = [self.user(), self.reason(), self.rule()]
            .into_iter()
            .filter(|word| !word.is_empty());
        format!(
            "#{sequence} {} {}",
            what.collect::<Vec<_>>().join(" "),
            self.object()
        )
    }
}
