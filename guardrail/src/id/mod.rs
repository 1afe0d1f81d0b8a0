//! Identifiers. Every one is a type of its own, is checked when it is made, and prints as it is read.
//!
//! None is ever generated here: ids are arguments.

mod serial;

pub use serial::{AccessTokenId, GrantId, HoldId, JoinTokenId, LockId, SessionId};

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Longest policy name, rule id or permission name: a DNS label, so that each fits one path segment of any URL,
/// label or metric.
pub const NAME_BYTES_MAX: usize = 63;
/// Longest host id: a full DNS name (RFC 1035).
pub const HOST_BYTES_MAX: usize = 253;
/// Longest user or group name: more than `LOGIN_NAME_MAX` (256 with its NUL) can not log in.
pub const USER_BYTES_MAX: usize = 255;

/// Why a text is not an identifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Empty text.
    #[error("{what} is empty")]
    Empty {
        /// Kind of identifier
        what: &'static str,
    },
    /// Longer than its bound.
    #[error("{what} has {len} bytes, more than the {max} that are allowed")]
    TooLong {
        /// Kind of identifier
        what: &'static str,
        /// Its length
        len: usize,
        /// Its bound
        max: usize,
    },
    /// A character that the kind does not have.
    #[error("`{shown}` is not a {what}: {rule}")]
    Malformed {
        /// Kind of identifier
        what: &'static str,
        /// The text, shown safely
        shown: String,
        /// What is allowed
        rule: &'static str,
    },
}

const NAME_RULE: &str = "use lower-case letters, digits, `-`, `_` and `.`, starting and ending with a letter or a digit";
const HOST_RULE: &str = "use a host name of lower-case letters, digits, `-` and `.`";
const USER_RULE: &str = "use letters, digits, `_`, `.`, `-`, `@`, `+`, `\\` and a `$` at the end, starting with a letter, a digit or `_`";

fn is_name(text: &str) -> bool {
    let edge = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.bytes()
        .all(|byte| edge(byte) || matches!(byte, b'-' | b'_' | b'.'))
        && text.bytes().next().is_some_and(edge)
        && text.bytes().last().is_some_and(edge)
}

fn is_host(text: &str) -> bool {
    is_name(text) && !text.contains('_') && !text.contains("..")
}

/// Also covers `DOMAIN\\user`, `user@domain` and machine accounts (`host$`).
fn is_user(text: &str) -> bool {
    let text = text.strip_suffix('$').unwrap_or(text);
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.bytes().next().is_some_and(word)
        && text
            .bytes()
            .all(|byte| word(byte) || matches!(byte, b'.' | b'-' | b'@' | b'+' | b'\\'))
}

fn checked(
    what: &'static str,
    text: &str,
    max: usize,
    rule: &'static str,
    valid: fn(&str) -> bool,
) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty { what });
    }
    if text.len() > max {
        return Err(IdError::TooLong {
            what,
            len: text.len(),
            max,
        });
    }
    if !valid(text) {
        return Err(IdError::Malformed {
            what,
            shown: crate::text::Safe(text.as_bytes()).to_string(),
            rule,
        });
    }
    Ok(())
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:expr, $rule:expr, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks `text` and takes it.
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                checked($what, &text, $max, $rule, $valid)?;
                Ok(Self(text))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

text_id!(
    /// Name of a policy; unique over all policies.
    PolicyName, "policy name", NAME_BYTES_MAX, NAME_RULE, is_name
);
text_id!(
    /// Id of a rule; unique in its policy.
    RuleId, "rule id", NAME_BYTES_MAX, NAME_RULE, is_name
);
text_id!(
    /// Name of a permission; unique in its policy.
    PermissionName, "permission name", NAME_BYTES_MAX, NAME_RULE, is_name
);
text_id!(
    /// A bundle of permissions, by its name within a policy.
    ProfileName, "profile name", NAME_BYTES_MAX, NAME_RULE, is_name
);
text_id!(
    /// What a profile leaves to whoever asks for it, by its name there.
    ParameterName, "parameter name", NAME_BYTES_MAX, NAME_RULE, is_name
);
text_id!(
    /// A set of destinations, by its name within a policy.
    SetName, "set name", NAME_BYTES_MAX, NAME_RULE, is_name
);
text_id!(
    /// Windows of time, by their name within a policy.
    PeriodName, "period name", NAME_BYTES_MAX, NAME_RULE, is_name
);
text_id!(
    /// Who may approve, by the name within a policy.
    ApprovalName, "approval name", NAME_BYTES_MAX, NAME_RULE, is_name
);
text_id!(
    /// Something that an operator or a robot says of the world for a while: `high-traffic`.
    FlagName, "flag name", NAME_BYTES_MAX, NAME_RULE, is_name
);
text_id!(
    /// For what somebody is on call.
    ScheduleName, "on-call schedule", NAME_BYTES_MAX, NAME_RULE, is_name
);
text_id!(
    /// What a label of a host is about: `env`.
    LabelName, "label name", NAME_BYTES_MAX, NAME_RULE, is_name
);
text_id!(
    /// What a label of a host says: `prod`.
    LabelValue, "label value", NAME_BYTES_MAX, NAME_RULE, is_name
);
text_id!(
    /// A host, by the name under which its agent enrolled.
    HostId, "host id", HOST_BYTES_MAX, HOST_RULE, is_host
);
text_id!(
    /// A login name as the host's name service knows it.
    UserName, "user name", USER_BYTES_MAX, USER_RULE, is_user
);
text_id!(
    /// A group name as the host's name service knows it.
    GroupName, "group name", USER_BYTES_MAX, USER_RULE, is_user
);

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The next one; stays at the end of the range rather than starting again.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

counter!(
    /// Number of one desired host state; 0 is none.
    Generation
);
counter!(
    /// Number of one accepted version of a policy or a grant; starts at 1.
    Revision
);
counter!(
    /// Number of one set of authorities that count; 0 is none.
    AuthoritiesRevision
);
counter!(
    /// Number of an event on one host and epoch, without gaps; starts at 1.
    EventSeq
);

/// Number of a proposed change of a policy; starts at 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProposalId(pub u64);

impl fmt::Display for ProposalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for ProposalId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let number = text.parse().ok().filter(|number| *number != 0);
        number.map(Self).ok_or_else(|| IdError::Malformed {
            what: "proposal",
            shown: crate::text::safe_cut(text.as_bytes(), NAME_BYTES_MAX),
            rule: "use its number",
        })
    }
}

#[cfg(test)]
mod tests;
