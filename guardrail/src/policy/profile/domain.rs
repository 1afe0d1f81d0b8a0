//! What a parameter can be: one of some words, an integer of a range, a path below a pattern.
//!
//! No value has a character that means something where values are used: a star, a blank, a slash in a word. What is not
//! accepted here is never put in anywhere.

use std::fmt;

use super::super::{PathPattern, path::PathError};
use crate::{limits::VALUE_BYTES_MAX, text::safe};

/// What a parameter can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Domain {
    /// One of these, at least one
    Enum(Vec<String>),
    /// From the first to the last
    Integer {
        /// The least
        first: u32,
        /// The greatest
        last: u32,
    },
    /// One object that one of these patterns means
    Path(Vec<PathPattern>),
}

/// Why a text is no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOne {
    /// No such word.
    #[error("it is none of them")]
    Other,
    /// Not a number as it is written.
    #[error("it is no integer without sign and leading zeros")]
    Number,
    /// Out of range.
    #[error("it is out of range")]
    Range,
    /// Has what patterns are made of.
    #[error("a value has no `*`, `?` and `\\`")]
    Wildcard,
    /// No path.
    #[error("{0}")]
    Path(PathError),
    /// Somewhere else.
    #[error("it is not there")]
    Outside,
    /// Too long.
    #[error("a value has at most {VALUE_BYTES_MAX} bytes")]
    TooLong,
}

/// Whether a word is nothing but itself wherever it is put: it begins no option, names no directory, opens no pattern.
pub(in crate::policy) fn is_word(text: &str) -> bool {
    let first = text.bytes().next();
    first.is_some_and(|byte| byte.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._@:+".contains(&byte))
}

impl Domain {
    /// Whether a text is one of them.
    pub fn accepts(&self, value: &str) -> Result<(), NotOne> {
        if value.len() > VALUE_BYTES_MAX {
            return Err(NotOne::TooLong);
        }
        match self {
            Self::Enum(words) if words.iter().any(|word| word == value) => Ok(()),
            Self::Enum(_) => Err(NotOne::Other),
            Self::Integer { first, last } => {
                let number: u32 = value.parse().map_err(|_| NotOne::Number)?;
                if number.to_string() != value {
                    Err(NotOne::Number)
                } else if (*first..=*last).contains(&number) {
                    Ok(())
                } else {
                    Err(NotOne::Range)
                }
            }
            Self::Path(patterns) => {
                if value.contains(['*', '?', '\\']) {
                    return Err(NotOne::Wildcard);
                }
                let path = PathPattern::parse(value).map_err(NotOne::Path)?;
                let within = patterns.iter().any(|pattern| pattern.covers(&path));
                if within { Ok(()) } else { Err(NotOne::Outside) }
            }
        }
    }

    /// One of them.
    pub fn example(&self) -> String {
        match self {
            Self::Enum(words) => words.first().cloned().unwrap_or_default(),
            Self::Integer { first, .. } => first.to_string(),
            Self::Path(patterns) => patterns.first().map(below).unwrap_or_default(),
        }
    }

    /// Values by which one sees whether each of them fits somewhere.
    pub(in crate::policy) fn tried(&self) -> Vec<String> {
        match self {
            Self::Enum(words) => words.clone(),
            Self::Integer { first, last } if first == last => vec![first.to_string()],
            Self::Integer { first, last } => vec![first.to_string(), last.to_string()],
            Self::Path(patterns) => patterns.iter().map(below).collect(),
        }
    }

    /// What kind it is of, in one word.
    pub(in crate::policy) fn kind(&self) -> &'static str {
        match self {
            Self::Enum(_) => "enum",
            Self::Integer { .. } => "integer",
            Self::Path(_) => "path",
        }
    }
}

/// An object that a pattern means.
fn below(pattern: &PathPattern) -> String {
    let text = pattern.to_string();
    let text = match text.strip_suffix("/**") {
        Some(directory) => format!("{directory}/x"),
        None => text,
    };
    text.replace('*', "x")
}

/// `one of nginx, postgres`, `an integer from 1 to 9`, `a path in /srv/**`; safe to show.
impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enum(words) => match words.as_slice() {
                [one] => f.write_str(one),
                several => write!(f, "one of {}", several.join(", ")),
            },
            Self::Integer { first, last } => write!(f, "an integer from {first} to {last}"),
            Self::Path(patterns) => {
                let all: Vec<String> = patterns.iter().map(|one| safe(&one.to_string())).collect();
                write!(f, "a path in {}", all.join(" or "))
            }
        }
    }
}
