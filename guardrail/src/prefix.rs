//! Unique prefixes of ids, as people type them.
//!
//! Never guesses: two matches are an error that shows both.

use std::fmt;

/// Shortest prefix that is accepted: fewer digits match half of what is there sooner or later.
pub const PREFIX_LEN_MIN: usize = 4;
/// Matches that an error names.
const SHOWN_MAX: usize = 4;

/// Why a prefix names nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// Too short, too long or not made of hexadecimal digits and `-`.
    #[error(
        "`{shown}` is not an id or a prefix of one; use at least {PREFIX_LEN_MIN} hexadecimal digits of it"
    )]
    Malformed {
        /// The text, shown safely
        shown: String,
    },
    /// Nothing starts with it.
    #[error("no id starts with `{prefix}`")]
    Unknown {
        /// The prefix
        prefix: String,
    },
    /// Several start with it.
    #[error("`{prefix}` could be {}; type more of it", .candidates.join(", "))]
    Ambiguous {
        /// The prefix
        prefix: String,
        /// Some of the ids
        candidates: Vec<String>,
    },
}

/// The start of an id: hexadecimal digits and, in a UUID, dashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdPrefix(String);

impl IdPrefix {
    /// Checks and lower-cases `text`.
    pub fn parse(text: &str) -> Result<Self, PrefixError> {
        let valid = (PREFIX_LEN_MIN..=36).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        if !valid {
            return Err(PrefixError::Malformed {
                shown: crate::text::Safe(text.as_bytes()).to_string(),
            });
        }
        Ok(Self(text.to_ascii_lowercase()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `id` starts with it.
    pub fn matches(&self, id: &impl fmt::Display) -> bool {
        id.to_string().starts_with(&self.0)
    }

    /// The one of `ids` that starts with it.
    pub fn resolve<I: fmt::Display>(
        &self,
        ids: impl IntoIterator<Item = I>,
    ) -> Result<I, PrefixError> {
        let mut found: Vec<I> = ids
            .into_iter()
            .filter(|id| self.matches(id))
            .take(SHOWN_MAX)
            .collect();
        match found.len() {
            0 => Err(PrefixError::Unknown {
                prefix: self.0.clone(),
            }),
            1 => Ok(found.remove(0)),
            _ => Err(PrefixError::Ambiguous {
                prefix: self.0.clone(),
                candidates: found.iter().map(ToString::to_string).collect(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::HoldId;

    #[test]
    fn a_unique_prefix_names_its_id_and_another_one_none() {
        let ids = [
            HoldId(0xaaaa_1111_0000_0000),
            HoldId(0xaaaa_2222_0000_0000),
            HoldId(0xbbbb_0000_0000_0000),
        ];
        assert_eq!(IdPrefix::parse("BBBB").unwrap().resolve(ids), Ok(ids[2]));
        assert_eq!(IdPrefix::parse("aaaa2").unwrap().resolve(ids), Ok(ids[1]));
        let ambiguous = IdPrefix::parse("aaaa").unwrap().resolve(ids).unwrap_err();
        assert!(
            ambiguous
                .to_string()
                .contains("aaaa111100000000, aaaa222200000000"),
            "{ambiguous}"
        );
        assert!(matches!(
            IdPrefix::parse("cccc").unwrap().resolve(ids),
            Err(PrefixError::Unknown { .. })
        ));
    }

    #[test]
    fn short_or_strange_prefixes_are_refused() {
        for text in ["", "abc", "xyz1", "abcd\n", "../..", &"a".repeat(37)] {
            assert!(IdPrefix::parse(text).is_err(), "{text:?}");
        }
    }
}
