//! A lock that stands.

use serde::Serialize;
use stayhand_guardrail::text::safe;
use stayhand_proto::v1;

use super::parts::{self, Time};
use crate::{render::View, time::Moment};

/// One lock.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Lock {
    id: String,
    /// Everybody if empty
    user: String,
    /// Everywhere if empty
    host: String,
    until_time: Option<Time>,
    created_by: String,
    reason: String,
    create_time: Option<Time>,
}

impl Lock {
    pub(crate) fn of(wire: v1::Lock) -> Self {
        Self {
            id: parts::bare(&wire.name, "locks/"),
            user: wire.user,
            host: parts::bare(&wire.host, "hosts/"),
            until_time: parts::time(wire.until_time),
            created_by: wire.created_by,
            reason: wire.reason,
            create_time: parts::time(wire.create_time),
        }
    }

    /// For whoever looks at something that it covers.
    pub(crate) fn told(&self, moment: &Moment) -> String {
        let place = if self.host.is_empty() {
            String::new()
        } else {
            format!("on {} ", safe(&self.host))
        };
        let until = self.until_time.map(|time| moment.short(time));
        let until = until.map_or_else(String::new, |until| format!(" until {until}"));
        format!(
            "{place}by {}{until}: {} (lock {})",
            safe(&self.created_by),
            safe(&self.reason),
            safe(&self.id)
        )
    }
}

fn or<'a>(text: &'a str, nobody: &'a str) -> &'a str {
    if text.is_empty() { nobody } else { text }
}

impl View for Lock {
    const KIND: &'static str = "Lock";
    const HEADS: &'static [&'static str] = &["LOCK", "USER", "HOST", "UNTIL", "BY", "WHY"];

    fn id(&self) -> String {
        self.id.clone()
    }

    fn row(&self, moment: &Moment) -> Vec<String> {
        let until = self.until_time.map(|time| moment.short(time));
        vec![
            parts::cell(&self.id),
            parts::cell(or(&self.user, "everybody")),
            parts::cell(or(&self.host, "everywhere")),
            until.unwrap_or_else(|| "-".to_owned()),
            parts::cell(&self.created_by),
            parts::cell(&self.reason),
        ]
    }

    fn details(&self, moment: &Moment) -> Vec<(&'static str, String)> {
        let stamp = |time: Option<Time>| time.map(|time| moment.full(time));
        let until = stamp(self.until_time);
        vec![
            ("lock", safe(&self.id)),
            ("user", safe(or(&self.user, "everybody"))),
            ("host", safe(or(&self.host, "everywhere"))),
            (
                "until",
                until.unwrap_or_else(|| "somebody removes it".to_owned()),
            ),
            ("by", safe(&self.created_by)),
            ("why", safe(&self.reason)),
            ("since", stamp(self.create_time).unwrap_or_default()),
        ]
    }
}
