//! One argument: literal, or open at its end (`run-*`), at its beginning (`*.sql`) or in its middle (`of=/dev/*1`).

use std::{fmt, str::FromStr};

use stayhand_agent_ebpf::abi::{image::ARG_PATTERN_BYTES, task::ARG_BYTES_MAX};

use super::Met;

/// Bytes of one side of a pattern; the kernel keeps one byte for the NUL of a literal.
const SIDE_BYTES_MAX: usize = ARG_PATTERN_BYTES - 1;

/// What one argument looks like.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArgPattern {
    start: String,
    /// None: nothing follows `start`
    end: Option<String>,
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing, or nothing but a star.
    #[error("every command has such arguments; take the condition out to mean any of them")]
    Anything,
    /// More than one star.
    #[error("a pattern has one `*` at most; `\\*` is a star itself")]
    Stars,
    /// A backslash before something that needs none, or at the end.
    #[error("`\\` stands before `*` or `\\` only")]
    Escape,
    /// Longer than what the kernel compares.
    #[error("a pattern has at most {SIDE_BYTES_MAX} bytes on either side of its `*`")]
    TooLong,
    /// A byte that no argument has.
    #[error("an argument has no NUL")]
    Nul,
}

impl ArgPattern {
    /// What an argument begins with.
    pub(crate) fn start(&self) -> &str {
        &self.start
    }

    /// What it ends with; none if `start` is all of it.
    pub(crate) fn end(&self) -> Option<&str> {
        self.end.as_deref()
    }

    /// The specification. The end of a very long argument is not looked at, and may be any.
    pub fn met_by(&self, argument: &[u8]) -> Met {
        let Some(end) = &self.end else {
            return Met::surely(argument == self.start.as_bytes());
        };
        let Some(rest) = argument.strip_prefix(self.start.as_bytes()) else {
            return Met::No;
        };
        if !end.is_empty() && argument.len() > ARG_BYTES_MAX {
            return Met::Maybe;
        }
        Met::surely(rest.ends_with(end.as_bytes()))
    }
}

impl FromStr for ArgPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let mut sides = vec![String::new()];
        let mut chars = text.chars();
        while let Some(char) = chars.next() {
            let literal = match char {
                '*' => {
                    sides.push(String::new());
                    continue;
                }
                '\\' => chars
                    .next()
                    .filter(|next| matches!(next, '*' | '\\'))
                    .ok_or(PatternError::Escape)?,
                '\0' => return Err(PatternError::Nul),
                other => other,
            };
            if let Some(side) = sides.last_mut() {
                side.push(literal);
            }
        }
        if sides.iter().any(|side| side.len() > SIDE_BYTES_MAX) {
            return Err(PatternError::TooLong);
        }
        let mut sides = sides.into_iter();
        let (start, end) = (sides.next().unwrap_or_default(), sides.next());
        if sides.next().is_some() {
            return Err(PatternError::Stars);
        }
        if start.is_empty() && end.as_ref().is_none_or(String::is_empty) {
            return Err(PatternError::Anything);
        }
        Ok(Self { start, end })
    }
}

/// As a policy writes it.
impl fmt::Display for ArgPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escaped = |side: &str| side.replace('\\', "\\\\").replace('*', "\\*");
        f.write_str(&escaped(&self.start))?;
        match &self.end {
            Some(end) => write!(f, "*{}", escaped(end)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, argument: &str) -> bool {
        let pattern: ArgPattern = pattern.parse().unwrap();
        pattern.met_by(argument.as_bytes()) == Met::Yes
    }

    #[test]
    fn a_star_is_any_text_and_the_sides_do_not_overlap() {
        assert!(matches("scale", "scale"));
        assert!(!matches("scale", "scaled"));
        assert!(matches("run-*", "run-"));
        assert!(matches("*.sql", "drop.sql"));
        assert!(!matches("*.sql", "drop.sqlx"));
        assert!(matches("of=/dev/*1", "of=/dev/sda1"));
        assert!(!matches("aba*ba", "aba"));
        assert!(matches("aba*ba", "ababa"));
        assert!(matches("\\*", "*"));
        assert!(!matches("\\*", "x"));
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        let error = |text: &str| text.parse::<ArgPattern>().unwrap_err();
        assert_eq!(error(""), PatternError::Anything);
        assert_eq!(error("*"), PatternError::Anything);
        assert_eq!(error("a*b*"), PatternError::Stars);
        assert_eq!(error("a\\b"), PatternError::Escape);
        assert_eq!(error("a\\"), PatternError::Escape);
        assert_eq!(error("a\0"), PatternError::Nul);
        assert_eq!(error(&"x".repeat(124)), PatternError::TooLong);
        assert!("x".repeat(123).parse::<ArgPattern>().is_ok());
    }

    #[test]
    fn a_pattern_reads_back_as_it_is_shown() {
        for text in ["scale", "run-*", "*.sql", "a\\*b\\\\*c"] {
            let pattern: ArgPattern = text.parse().unwrap();
            assert_eq!(pattern.to_string(), text);
        }
    }
}
