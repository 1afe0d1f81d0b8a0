//! A flag that is set.

use serde::Serialize;
use stayhand_guardrail::text::safe;
use stayhand_proto::v1;

use super::parts::{self, Time};
use crate::{render::View, time::Moment};

/// One flag.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Flag {
    name: String,
    until_time: Option<Time>,
    set_by: String,
    reason: String,
    set_time: Option<Time>,
}

impl Flag {
    pub(crate) fn of(wire: v1::Flag) -> Self {
        Self {
            name: parts::bare(&wire.name, "flags/"),
            until_time: parts::time(wire.until_time),
            set_by: wire.set_by,
            reason: wire.reason,
            set_time: parts::time(wire.set_time),
        }
    }
}

impl View for Flag {
    const KIND: &'static str = "Flag";
    const HEADS: &'static [&'static str] = &["FLAG", "UNTIL", "BY", "WHY"];

    fn id(&self) -> String {
        self.name.clone()
    }

    fn row(&self, moment: &Moment) -> Vec<String> {
        let until = self.until_time.map(|time| moment.short(time));
        vec![
            parts::cell(&self.name),
            until.unwrap_or_default(),
            parts::cell(&self.set_by),
            parts::cell(&self.reason),
        ]
    }

    fn details(&self, moment: &Moment) -> Vec<(&'static str, String)> {
        let stamp = |time: Option<Time>| time.map(|time| moment.full(time)).unwrap_or_default();
        vec![
            ("flag", safe(&self.name)),
            ("until", stamp(self.until_time)),
            ("set by", safe(&self.set_by)),
            ("why", safe(&self.reason)),
            ("since", stamp(self.set_time)),
        ]
    }
}
