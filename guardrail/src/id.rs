//! Identifiers. Every one is a type of its own, is checked when it is made, and prints as it is read.
//!
//! None is ever generated here: ids are arguments.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

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
    /// Number of an event on one host and epoch, without gaps; starts at 1.
    EventSeq
);

/// A grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GrantId(pub Uuid);

impl GrantId {
    /// As the kernel stores it: big-endian halves.
    pub fn halves(self) -> [u64; 2] {
        let (high, low) = self.0.as_u64_pair();
        [high, low]
    }

    /// Reads the kernel's form; all zero is no grant.
    pub fn from_halves([high, low]: [u64; 2]) -> Option<Self> {
        ((high, low) != (0, 0)).then(|| Self(Uuid::from_u64_pair(high, low)))
    }
}

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.hyphenated(), f)
    }
}

impl FromStr for GrantId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let malformed = || IdError::Malformed {
            what: "grant id",
            shown: crate::text::Safe(text.as_bytes()).to_string(),
            rule: "use the UUID that `stayhand grant ls` shows",
        };
        Uuid::try_parse(text).map(Self).map_err(|_| malformed())
    }
}

/// A hold. Never 0, which is the kernel's word for no hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HoldId(pub u64);

impl fmt::Display for HoldId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for HoldId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match u64::from_str_radix(text, 16) {
            Ok(id) if hex && id != 0 => Ok(Self(id)),
            _ => Err(IdError::Malformed {
                what: "hold id",
                shown: crate::text::Safe(text.as_bytes()).to_string(),
                rule: "use the 16 hexadecimal digits that `stayhand hold ls` shows",
            }),
        }
    }
}

macro_rules! by_text {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
    };
}

by_text!(GrantId);
by_text!(HoldId);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{PermissionKey, PermissionRef, RuleKey};

    #[test]
    fn names_that_could_be_mistaken_for_something_else_are_refused() {
        for text in [
            "",
            "-a",
            "a-",
            "A",
            "a b",
            "a/b",
            "a\n",
            "ä",
            ".",
            "a\u{202e}b",
            &"x".repeat(64),
        ] {
            assert!(PolicyName::new(text).is_err(), "{text:?}");
        }
        for text in ["a", "prod-baseline", "x.y_z-1"] {
            assert!(RuleId::new(text).is_ok(), "{text:?}");
        }
        for text in ["a_b", "a..b", "UP", "host/1"] {
            assert!(HostId::new(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn user_names_cannot_carry_options_or_shell_syntax() {
        for text in [
            "-rf", "a;b", "a b", "$(x)", "a'b", "a\"b", "a/b", "a:b", "", "$",
        ] {
            assert!(UserName::new(text).is_err(), "{text:?}");
        }
        for text in [
            "alice",
            "DOMAIN\\alice",
            "alice@example.org",
            "host$",
            "_apt",
        ] {
            assert!(UserName::new(text).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn an_error_shows_hostile_text_safely() {
        let error = PolicyName::new("a\u{1b}[31m").unwrap_err().to_string();
        assert!(
            error.contains(r"\x1b") && !error.contains('\u{1b}'),
            "{error}"
        );
    }

    #[test]
    fn ids_print_as_they_are_read() {
        let hold = HoldId(0xab);
        assert_eq!(hold.to_string(), "00000000000000ab");
        assert_eq!(hold.to_string().parse(), Ok(hold));
        let grant = GrantId(Uuid::from_u128(0x0123_4567_89ab_cdef_0011_2233_4455_6677));
        assert_eq!(grant.to_string().parse(), Ok(grant));
        assert_eq!(GrantId::from_halves(grant.halves()), Some(grant));
        assert_eq!(grant.halves()[0], 0x0123_4567_89ab_cdef);
        assert_eq!(
            serde_json::to_string(&(hold, grant)).unwrap(),
            format!("[\"{hold}\",\"{grant}\"]")
        );
    }

    #[test]
    fn nothing_is_not_an_id() {
        for text in [
            "",
            "0",
            "0000000000000000",
            "ab",
            "+0000000000000ab",
            "00000000000000abc",
        ] {
            assert!(text.parse::<HoldId>().is_err(), "{text:?}");
        }
        assert_eq!(GrantId::from_halves([0, 0]), None);
    }

    #[test]
    fn keys_depend_on_names_and_kind_and_are_never_none() {
        let (policy, rule): (PolicyName, RuleId) =
            ("demo".parse().unwrap(), "vault".parse().unwrap());
        let permission: PermissionRef = "demo/vault".parse().unwrap();
        // SHA-256 of "rule\0demo\0vault", computed with sha256sum.
        assert_eq!(RuleKey::of(&policy, &rule).get(), RULE_DEMO_VAULT);
        assert_ne!(RuleKey::of(&policy, &rule).get(), permission.key().get());
        assert_eq!(PermissionKey::from_raw(0), None);
        assert!("demo".parse::<PermissionRef>().is_err());
    }

    const RULE_DEMO_VAULT: u64 = 0xc149_9278_b924_37a2;
}
