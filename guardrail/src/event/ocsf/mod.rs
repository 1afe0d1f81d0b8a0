//! Events as OCSF 1.8.0 JSON, one line each.
//!
//! A decision is the activity's own class with the Security Control profile, never a finding. What OCSF has no
//! place for stands under `unmapped.stayhand`. Everything hostile is shown safely before it becomes JSON. [`decode`] reads
//! back what a decision is judged by, and nothing else.

mod access;
mod class;
mod control;
mod decision;
mod decode;
mod lifecycle;
mod membership;
mod objects;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};

use super::{Event, EventKind};
use class::Class;
pub use decode::{Line, Unreadable, decode};

/// The version of the schema that is written.
pub const OCSF_VERSION: &str = "1.8.0";
/// Vendor of every product name.
pub const VENDOR: &str = "Stayhand";

/// Who writes the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Producer<'a> {
    /// Program, such as `stayhand-agent`
    pub name: &'a str,
    /// Its version
    pub version: &'a str,
}

/// One event as one line of JSON without a newline.
pub fn encode(event: &Event, producer: Producer<'_>) -> String {
    Value::Object(to_object(event, producer)).to_string()
}

/// One event as a JSON object, fields in a stable order.
pub fn to_object(event: &Event, producer: Producer<'_>) -> Map<String, Value> {
    let body = match &event.kind {
        EventKind::Decision(decision) => decision::body(event, decision),
        EventKind::HoldChanged(change) => lifecycle::hold(change),
        EventKind::GrantChanged(change) => lifecycle::grant(change),
        EventKind::PolicyChanged(change) => lifecycle::policy(change),
        EventKind::FlagChanged(change) => lifecycle::flag(change),
        EventKind::LockChanged(change) => lifecycle::lock(change),
        EventKind::MembershipChanged(change) => membership::host(change),
        EventKind::JoinTokenChanged(change) => membership::token(change),
        EventKind::AuthorityChanged(change) => membership::authority(change),
        EventKind::SessionChanged(change) => access::session(change),
        EventKind::AccessTokenChanged(change) => access::token(change),
        EventKind::Lost(lost) => lifecycle::lost(lost),
        EventKind::AgentStarted(agent) => lifecycle::agent(agent, true),
        EventKind::AgentStopped(agent) => lifecycle::agent(agent, false),
        EventKind::Enforcement(enforcement) => lifecycle::enforcement(enforcement),
        EventKind::Tamper(tamper) => lifecycle::tamper(event, tamper),
    };
    body.finish(event, producer)
}

/// What a kind of event says beyond what all events say.
struct Body {
    class: Class,
    activity: u32,
    severity: u32,
    status: u32,
    message: String,
    /// `file.held`, `grant.created`, …
    code: String,
    /// Joins the events of one hold or one grant
    correlation: Option<String>,
    profiles: Vec<&'static str>,
    fields: Map<String, Value>,
    unmapped: Map<String, Value>,
}

impl Body {
    fn new(class: Class, activity: u32, code: impl Into<String>, message: String) -> Self {
        Self {
            class,
            activity,
            severity: 1,
            status: 1,
            message,
            code: code.into(),
            correlation: None,
            profiles: vec![],
            fields: Map::new(),
            unmapped: Map::new(),
        }
    }

    fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.fields.insert(key.to_owned(), value.into());
    }

    fn note(&mut self, key: &str, value: impl Into<Value>) {
        self.unmapped.insert(key.to_owned(), value.into());
    }

    fn finish(self, event: &Event, producer: Producer<'_>) -> Map<String, Value> {
        let Self {
            class,
            activity,
            severity,
            status,
            message,
            code,
            correlation,
            mut profiles,
            fields,
            unmapped,
        } = self;
        profiles.push("host");
        let mut metadata = json!({
            "version": OCSF_VERSION,
            "product": { "vendor_name": VENDOR, "name": producer.name, "version": producer.version },
            "profiles": profiles,
            "uid": event.uid(),
            "sequence": event.seq.0,
            "event_code": code,
        });
        if let (Some(correlation), Value::Object(metadata)) = (correlation, &mut metadata) {
            metadata.insert("correlation_uid".to_owned(), correlation.into());
        }
        let mut whole = Map::new();
        let mut put = |key: &str, value: Value| whole.insert(key.to_owned(), value);
        put("class_uid", class.uid.into());
        put("category_uid", class.category().into());
        put("activity_id", activity.into());
        put("type_uid", class.type_uid(activity).into());
        put("time", event.time.0.into());
        put("severity_id", severity.into());
        put("status_id", status.into());
        put("message", message.into());
        put("metadata", metadata);
        put("device", objects::device(event));
        whole.extend(fields);
        let mut own = unmapped;
        own.insert("epoch".to_owned(), event.epoch.to_string().into());
        whole.insert("unmapped".to_owned(), json!({ "stayhand": own }));
        whole
    }
}
