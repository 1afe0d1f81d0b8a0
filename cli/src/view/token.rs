//! A token with which hosts join.

use serde::Serialize;
use stayhand_guardrail::text::safe;
use stayhand_proto::v1;

use super::parts::{self, Time};
use crate::{render::View, time::Moment};

/// One token, without what makes it worth something.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Token {
    id: String,
    expire_time: Option<Time>,
    uses_left: u32,
    #[serde(skip_serializing_if = "String::is_empty")]
    host: String,
    replace: bool,
    created_by: String,
    create_time: Option<Time>,
}

/// A token that was just made. This is the only time that it is shown.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct NewToken {
    #[serde(flatten)]
    token: Token,
    /// What makes it worth something
    secret: String,
    /// Where hosts reach the control plane
    address: String,
    /// To be run on the new host, as root
    pub(crate) command: String,
}

impl Token {
    pub(crate) fn of(wire: v1::JoinToken) -> Self {
        Self {
            id: parts::bare(&wire.name, "joinTokens/"),
            expire_time: parts::time(wire.expire_time),
            uses_left: wire.uses_left,
            host: parts::bare(&wire.host, "hosts/"),
            replace: wire.replace,
            created_by: wire.created_by,
            create_time: parts::time(wire.create_time),
        }
    }

    fn whose(&self) -> String {
        match (self.host.as_str(), self.replace) {
            ("", _) => "any new one".to_owned(),
            (host, false) => safe(host),
            (host, true) => format!("{} (anew)", safe(host)),
        }
    }
}

impl NewToken {
    pub(crate) fn of(wire: v1::CreateJoinTokenResponse) -> Self {
        let v1::CreateJoinTokenResponse {
            token,
            secret,
            address,
        } = wire;
        let replace = token.as_ref().is_some_and(|token| token.replace);
        let again = if replace { " --replace" } else { "" };
        // Read from a document and not from an argument: arguments are for every user of the host to read.
        let command = format!("stayhand-agent join {address}{again} <<'TOKEN'\n{secret}\nTOKEN");
        Self {
            token: Token::of(token.unwrap_or_default()),
            secret,
            address,
            command,
        }
    }

    pub(crate) fn said(&self, moment: &Moment) -> String {
        let until = self.token.expire_time.map(|time| moment.short(time));
        let hosts = match self.token.uses_left {
            1 => "one host".to_owned(),
            uses => format!("{uses} hosts"),
        };
        format!(
            "join token {}, for {hosts} ({}) until {}; run this there as root:",
            safe(&self.token.id),
            self.token.whose(),
            until.unwrap_or_default()
        )
    }
}

impl View for Token {
    const KIND: &'static str = "JoinToken";
    const HEADS: &'static [&'static str] = &["TOKEN", "UNTIL", "USES LEFT", "HOST", "BY"];

    fn id(&self) -> String {
        self.id.clone()
    }

    fn row(&self, moment: &Moment) -> Vec<String> {
        let until = self.expire_time.map(|time| moment.short(time));
        vec![
            parts::cell(&self.id),
            until.unwrap_or_default(),
            self.uses_left.to_string(),
            self.whose(),
            parts::cell(&self.created_by),
        ]
    }

    fn details(&self, moment: &Moment) -> Vec<(&'static str, String)> {
        let stamp = |time: Option<Time>| time.map(|time| moment.full(time)).unwrap_or_default();
        vec![
            ("token", safe(&self.id)),
            ("until", stamp(self.expire_time)),
            ("uses left", self.uses_left.to_string()),
            ("host", self.whose()),
            ("made by", safe(&self.created_by)),
            ("made", stamp(self.create_time)),
        ]
    }
}

impl View for NewToken {
    const KIND: &'static str = "JoinToken";
    const HEADS: &'static [&'static str] = Token::HEADS;

    fn id(&self) -> String {
        self.token.id()
    }

    fn row(&self, moment: &Moment) -> Vec<String> {
        self.token.row(moment)
    }

    fn details(&self, moment: &Moment) -> Vec<(&'static str, String)> {
        self.token.details(moment)
    }
}
