//! Sessions over the network, and tokens of programs.

use serde::Serialize;
use stayhand_guardrail::text::safe;
use stayhand_proto::v1;

use super::parts::{self, Time};
use crate::{render::View, time::Moment};

/// A session.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) user: String,
    /// How its owner is known
    door: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    subject: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    token: String,
    create_time: Option<Time>,
    expire_time: Option<Time>,
    use_time: Option<Time>,
    #[serde(skip_serializing_if = "String::is_empty")]
    address: String,
}

/// A token, without what makes it worth something.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AccessToken {
    id: String,
    purpose: String,
    user: String,
    actions: Vec<String>,
    create_time: Option<Time>,
    expire_time: Option<Time>,
    use_time: Option<Time>,
}

/// A token that was just made. This is the only time that it is shown.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct NewAccessToken {
    #[serde(flatten)]
    token: AccessToken,
    /// What makes it worth something
    pub(crate) secret: String,
    /// Where the control plane is reached
    address: String,
}

impl Session {
    pub(crate) fn of(wire: v1::Session) -> Self {
        Self {
            id: parts::bare(&wire.name, "sessions/"),
            user: wire.user,
            door: wire.door,
            subject: wire.subject,
            token: parts::bare(&wire.token, "accessTokens/"),
            create_time: parts::time(wire.create_time),
            expire_time: parts::time(wire.expire_time),
            use_time: parts::time(wire.use_time),
            address: wire.address,
        }
    }
}

impl AccessToken {
    pub(crate) fn of(wire: v1::AccessToken) -> Self {
        Self {
            id: parts::bare(&wire.name, "accessTokens/"),
            purpose: wire.purpose,
            user: wire.user,
            actions: wire.actions,
            create_time: parts::time(wire.create_time),
            expire_time: parts::time(wire.expire_time),
            use_time: parts::time(wire.use_time),
        }
    }
}

impl NewAccessToken {
    pub(crate) fn of(wire: v1::CreateAccessTokenResponse) -> Self {
        let v1::CreateAccessTokenResponse {
            token,
            secret,
            address,
        } = wire;
        Self {
            token: AccessToken::of(token.unwrap_or_default()),
            secret,
            address,
        }
    }

    pub(crate) fn said(&self, moment: &Moment) -> String {
        let until = self.token.expire_time.map(|time| moment.short(time));
        format!(
            "token {}, acts for {} until {}; keep it in a file of mode 0600:\n  \
             stayhand --server {} --token-file FILE …",
            safe(&self.token.id),
            safe(&self.token.user),
            until.unwrap_or_default(),
            safe(&self.address),
        )
    }
}

fn short(time: Option<Time>, moment: &Moment) -> String {
    time.map_or_else(|| "never".to_owned(), |time| moment.short(time))
}

fn full(time: Option<Time>, moment: &Moment) -> String {
    time.map_or_else(|| "never".to_owned(), |time| moment.full(time))
}

impl View for Session {
    const KIND: &'static str = "Session";
    const HEADS: &'static [&'static str] = &["SESSION", "USER", "BY", "UNTIL", "LAST USED", "FROM"];

    fn id(&self) -> String {
        self.id.clone()
    }

    fn row(&self, moment: &Moment) -> Vec<String> {
        vec![
            parts::cell(&self.id),
            parts::cell(&self.user),
            parts::cell(&self.door),
            short(self.expire_time, moment),
            short(self.use_time, moment),
            parts::cell(&self.address),
        ]
    }

    fn details(&self, moment: &Moment) -> Vec<(&'static str, String)> {
        vec![
            ("session", safe(&self.id)),
            ("user", safe(&self.user)),
            ("known by", safe(&self.door)),
            ("subject", safe(&self.subject)),
            ("token", safe(&self.token)),
            ("opened", full(self.create_time, moment)),
            ("until", full(self.expire_time, moment)),
            ("last used", full(self.use_time, moment)),
            ("from", safe(&self.address)),
        ]
    }
}

impl View for AccessToken {
    const KIND: &'static str = "AccessToken";
    const HEADS: &'static [&'static str] = &["TOKEN", "FOR", "USER", "UNTIL", "LAST USED", "MAY"];

    fn id(&self) -> String {
        self.id.clone()
    }

    fn row(&self, moment: &Moment) -> Vec<String> {
        vec![
            parts::cell(&self.id),
            parts::cell(&self.purpose),
            parts::cell(&self.user),
            short(self.expire_time, moment),
            short(self.use_time, moment),
            parts::cell(&self.actions.join(", ")),
        ]
    }

    fn details(&self, moment: &Moment) -> Vec<(&'static str, String)> {
        vec![
            ("token", safe(&self.id)),
            ("for", safe(&self.purpose)),
            ("user", safe(&self.user)),
            ("made", full(self.create_time, moment)),
            ("until", full(self.expire_time, moment)),
            ("last used", full(self.use_time, moment)),
            ("may", safe(&self.actions.join(", "))),
        ]
    }
}

impl View for NewAccessToken {
    const KIND: &'static str = "AccessToken";
    const HEADS: &'static [&'static str] = AccessToken::HEADS;

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
