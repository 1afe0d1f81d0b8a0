//! Ids of grants and holds, as the kernel stores them and as people read them.
//!
//! Zero is never an id: it is the kernel's word for none.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::IdError;

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

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
                match u64::from_str_radix(text, 16) {
                    Ok(id) if hex && id != 0 => Ok(Self(id)),
                    _ => Err(IdError::Malformed {
                        what: $what,
                        shown: crate::text::Safe(text.as_bytes()).to_string(),
                        rule: $rule,
                    }),
                }
            }
        }
    };
}

number_id!(
    /// A hold. Never 0, which is the kernel's word for no hold.
    HoldId, "hold id", "use the 16 hexadecimal digits that `stayhand hold ls` shows"
);
number_id!(
    /// A token with which hosts join; names it, and is no secret.
    JoinTokenId, "join token id", "use the 16 hexadecimal digits that `stayhand host token ls` shows"
);
number_id!(
    /// A session of an operator over the network; names it, and is no secret.
    SessionId, "session id", "use the 16 hexadecimal digits that `stayhand session ls` shows"
);
number_id!(
    /// A token with which programs act for an operator; names it, and is no secret.
    AccessTokenId, "token id", "use the 16 hexadecimal digits that `stayhand token ls` shows"
);
number_id!(
    /// A lock on a person or a host.
    LockId, "lock id", "use the 16 hexadecimal digits that `stayhand lock ls` shows"
);

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
by_text!(JoinTokenId);
by_text!(SessionId);
by_text!(AccessTokenId);
by_text!(LockId);
