//! What the kernel cannot tell of an execution by itself: whether text matches a regular expression, and what a file
//! hashes to. It asks the agent, waits within the call, and judges by the answer.
//!
//! Reads no file: the hash is an argument.

use std::{fmt, str::FromStr};

use regex::bytes::{Regex, RegexBuilder};

use super::{Arguments, Call, Met};

/// Bytes of one expression: readable on one screen.
pub const REGEX_BYTES_MAX: usize = 1_000;
/// Compiled size of one expression: a counted repetition cannot eat the agent's memory.
const COMPILED_BYTES_MAX: usize = 256 << 10;
/// Memory of one expression's cache while it searches; beyond it the search is slower and stays linear.
const CACHE_BYTES_MAX: usize = 1 << 20;

/// One such question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Some argument contains what one of these matches
    Argument(Vec<ArgRegex>),
    /// All arguments, joined by single spaces, contain what one of these matches
    Line(Vec<ArgRegex>),
    /// The executed file has one of these hashes
    Sha256(Vec<Sha256>),
}

impl Fact {
    /// The answer for a call, as far as it is known.
    pub fn holds(&self, call: Call<'_>) -> Met {
        let arguments = match call.arguments {
            Arguments::Known(list) => Some(list),
            Arguments::Unknown => None,
        };
        let some = |expressions: &[ArgRegex], list: &[Vec<u8>]| {
            let mut each = list.iter();
            each.any(|argument| any_matches(expressions, argument))
        };
        let is = match self {
            Self::Argument(expressions) => arguments.map(|list| some(expressions, list)),
            Self::Line(expressions) => {
                arguments.map(|list| any_matches(expressions, &list.join(&b' ')))
            }
            Self::Sha256(hashes) => call.sha256.map(|sha256| hashes.contains(&sha256)),
        };
        match is {
            None => Met::Maybe,
            Some(true) => Met::Yes,
            Some(false) => Met::No,
        }
    }

    /// Whether it is about the executed file alone.
    pub fn is_of_file(&self) -> bool {
        matches!(self, Self::Sha256(_))
    }
}

fn any_matches(expressions: &[ArgRegex], text: &[u8]) -> bool {
    expressions
        .iter()
        .any(|expression| expression.compiled.is_match(text))
}

/// A regular expression, searched for anywhere in bytes. `.` is any byte of text, a line's end, too: an argument may
/// have several lines, and `^` and `$` are the ends of the whole.
#[derive(Clone, Debug)]
pub struct ArgRegex {
    text: String,
    compiled: Regex,
}

impl PartialEq for ArgRegex {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for ArgRegex {}

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegexError {
    /// It would match whatever there is.
    #[error("every command matches this; take the condition out to mean any of them")]
    Anything,
    /// Longer than the bound.
    #[error("a regular expression has at most {REGEX_BYTES_MAX} bytes")]
    TooLong,
    /// It cannot be compiled.
    #[error("no regular expression: {0}")]
    Malformed(String),
    /// It compiles to too much.
    #[error(
        "this expression is too large once it is compiled; make its counted repetitions shorter"
    )]
    TooLarge,
}

impl FromStr for ArgRegex {
    type Err = RegexError;

    fn from_str(text: &str) -> Result<Self, RegexError> {
        if text.len() > REGEX_BYTES_MAX {
            return Err(RegexError::TooLong);
        }
        let compiled = RegexBuilder::new(text)
            .dot_matches_new_line(true)
            .size_limit(COMPILED_BYTES_MAX)
            .dfa_size_limit(CACHE_BYTES_MAX)
            .build()
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => RegexError::TooLarge,
                error => RegexError::Malformed(reason(&error.to_string())),
            })?;
        if compiled.is_match(b"") {
            return Err(RegexError::Anything);
        }
        Ok(Self {
            text: text.to_owned(),
            compiled,
        })
    }
}

/// The last line of the library's picture of the mistake, which says what it is.
fn reason(shown: &str) -> String {
    let last = shown.lines().last().unwrap_or(shown);
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

/// As a policy writes it.
impl fmt::Display for ArgRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A SHA-256 hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256(pub [u8; 32]);

/// A text that is no hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 hash has 64 hexadecimal digits, as `sha256sum FILE` prints them")]
pub struct Sha256Error;

impl FromStr for Sha256 {
    type Err = Sha256Error;

    fn from_str(text: &str) -> Result<Self, Sha256Error> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(Sha256Error);
        }
        let digit = |byte: u8| {
            char::from(byte)
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        };
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let &[high, low] = pair else {
                return Err(Sha256Error);
            };
            let (high, low) = (
                digit(high).ok_or(Sha256Error)?,
                digit(low).ok_or(Sha256Error)?,
            );
            *byte = high << 4 | low;
        }
        Ok(Self(hash))
    }
}

/// As `sha256sum` prints it.
impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(words: &[&str]) -> Vec<Vec<u8>> {
        words.iter().map(|word| word.as_bytes().to_vec()).collect()
    }

    fn holds(fact: &Fact, words: &[&str], sha256: Option<Sha256>) -> Met {
        let list = arguments(words);
        fact.holds(Call {
            sha256,
            ..Call::with(&list)
        })
    }

    fn regex(text: &str) -> Vec<ArgRegex> {
        vec![text.parse().unwrap()]
    }

    #[test]
    fn an_unknown_hash_may_be_any() {
        let hash = Sha256([7; 32]);
        let fact = Fact::Sha256(vec![hash]);
        assert_eq!(fact.holds(Call::UNKNOWN), Met::Maybe);
        assert_eq!(holds(&fact, &[], Some(Sha256([8; 32]))), Met::No);
        let mapped = Call {
            sha256: Some(hash),
            ..Call::UNKNOWN
        };
        assert_eq!(fact.holds(mapped), Met::Yes);
        assert_eq!(Fact::Line(regex("x")).holds(mapped), Met::Maybe);
    }

    #[test]
    fn an_expression_is_searched_in_one_argument_or_in_the_whole_line() {
        let drop = ["-c", "select 1;\ndrop\ntable x"];
        let one = Fact::Argument(regex(r"(?i)\bdrop\s+table\b"));
        assert_eq!(holds(&one, &drop, None), Met::Yes);
        let apart = ["drop", "table"];
        assert_eq!(holds(&one, &apart, None), Met::No);
        let line = Fact::Line(regex(r"^drop table$"));
        assert_eq!(holds(&line, &apart, None), Met::Yes);
        assert_eq!(holds(&line, &["drop", "", "table"], None), Met::No);
        assert_eq!(holds(&line, &[], None), Met::No);
    }

    #[test]
    fn the_end_of_a_line_hides_nothing() {
        let fact = Fact::Argument(regex("a.b"));
        assert_eq!(holds(&fact, &["a\nb"], None), Met::Yes);
        let whole = Fact::Argument(regex("^b$"));
        assert_eq!(holds(&whole, &["a\nb"], None), Met::No);
    }

    #[test]
    fn what_is_no_expression_says_why() {
        let error = |text: &str| text.parse::<ArgRegex>().unwrap_err();
        assert_eq!(error(""), RegexError::Anything);
        assert_eq!(error(".*"), RegexError::Anything);
        assert_eq!(error(&"x".repeat(1_001)), RegexError::TooLong);
        assert_eq!(error("(x{100}){1000}"), RegexError::TooLarge);
        let shown = error("a(b").to_string();
        assert_eq!(shown, "no regular expression: unclosed group");
    }

    #[test]
    fn a_hash_reads_back_as_it_is_shown() {
        let text = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let hash: Sha256 = text.parse().unwrap();
        assert_eq!(hash.to_string(), text);
        assert_eq!(text.to_uppercase().parse(), Ok(hash));
        for wrong in ["", "e3", &text[1..], &text.replace('e', "g")] {
            assert_eq!(wrong.parse::<Sha256>(), Err(Sha256Error));
        }
    }
}
