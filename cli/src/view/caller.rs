//! Who the control plane takes its caller for, and what they may do.

use serde::Serialize;
use stayhand_guardrail::text::safe;
use stayhand_proto::v1;

use super::parts::{self, Time};
use crate::{render::View, time::Moment};

/// The caller.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Caller {
    pub(crate) user: String,
    pub(crate) groups: Vec<String>,
    /// How the caller is known
    pub(crate) transport: String,
    /// Whether the configuration names the caller under `[operators]`
    pub(crate) operator: bool,
    /// The session over the network, and its end
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) session: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expire_time: Option<Time>,
    /// For what the token is
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) token_purpose: String,
    /// What rules permit
    pub(crate) rights: Vec<Right>,
}

/// An action that rules permit.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Right {
    pub(crate) action: String,
    pub(crate) rules: Vec<String>,
    /// Whether it also depends on what it is done to, or on when
    pub(crate) depends: bool,
}

impl Caller {
    pub(crate) fn of(wire: v1::GetIdentityResponse) -> Self {
        let right = |right: v1::Right| Right {
            action: right.action,
            rules: right.rules,
            depends: right.depends,
        };
        Self {
            user: wire.user,
            groups: wire.groups,
            transport: wire.transport,
            operator: wire.is_operator,
            session: parts::bare(&wire.session, "sessions/"),
            expire_time: parts::time(wire.expire_time),
            token_purpose: wire.token_purpose,
            rights: wire.rights.into_iter().map(right).collect(),
        }
    }

    fn known_by(&self) -> String {
        match self.transport.as_str() {
            "socket" => {
                "the socket: the kernel names your process, and its pinned login is you".into()
            }
            "oidc" => "signing in at the identity provider".into(),
            "break-glass" => "a break-glass certificate".into(),
            "token" => format!("the token for {}", safe(&self.token_purpose)),
            other => safe(other),
        }
    }
}

impl View for Caller {
    const KIND: &'static str = "Caller";
    const HEADS: &'static [&'static str] = &["USER", "OPERATOR", "GROUPS"];

    fn id(&self) -> String {
        self.user.clone()
    }

    fn row(&self, _: &Moment) -> Vec<String> {
        let operator = if self.operator { "yes" } else { "no" };
        vec![
            parts::cell(&self.user),
            operator.to_owned(),
            parts::cell(&self.groups.join(", ")),
        ]
    }

    fn details(&self, moment: &Moment) -> Vec<(&'static str, String)> {
        let operator = if self.operator { "yes" } else { "no" };
        let mut details = vec![
            ("user", safe(&self.user)),
            ("known by", self.known_by()),
            ("operator", operator.to_owned()),
            ("groups", safe(&self.groups.join(", "))),
        ];
        if let Some(until) = self.expire_time {
            details.push(("session", safe(&self.session)));
            details.push(("until", moment.full(until)));
        }
        for (at, right) in self.rights.iter().enumerate() {
            let label = if at == 0 { "may do" } else { "" };
            let depends = if right.depends {
                ", not of everything"
            } else {
                ""
            };
            let by = safe(&right.rules.join(", "));
            details.push((label, format!("{} (by {by}{depends})", safe(&right.action))));
        }
        details
    }
}
