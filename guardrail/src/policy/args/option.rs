//! One option, in every way in which it can be given: `-r` alone or among other letters (`-xrf`), `--recursive`,
//! shortened (`--rec`) or with a value (`--recursive=yes`).

use std::{fmt, str::FromStr};

use stayhand_agent_ebpf::{abi::task::LETTERS_MAX, args::letter};

use super::Met;

/// Bytes of the name of a long option; each may be cut off, and the kernel knows each shortened form.
const LONG_BYTES_MAX: usize = 40;

/// Name of an option.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OptionName {
    /// A letter or digit behind one dash
    Letter(u8),
    /// A word behind two dashes
    Long(String),
}

/// Why a text is no option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// Neither form.
    #[error(
        "an option is a dash with a letter or digit, or two dashes with a word of letters, digits, `-`, `_` or `.`; \
         write anything else under `anyArg`"
    )]
    Form,
    /// Longer than any.
    #[error("a long option has at most {LONG_BYTES_MAX} bytes")]
    TooLong,
}

impl OptionName {
    /// The specification. Of very many letters the last ones are not looked at, and may be any.
    pub fn given_by(&self, argument: &[u8]) -> Met {
        match self {
            Self::Letter(byte) => {
                let letters = argument.strip_prefix(b"-");
                let letters = letters.filter(|letters| !letters.starts_with(b"-"));
                let letters = letters.unwrap_or_default();
                if letters.iter().take(LETTERS_MAX).any(|one| one == byte) {
                    Met::Yes
                } else if letters.len() > LETTERS_MAX {
                    Met::Maybe
                } else {
                    Met::No
                }
            }
            Self::Long(word) => {
                let is_given = argument.strip_prefix(b"--").is_some_and(|given| {
                    let name = given.split(|byte| *byte == b'=').next().unwrap_or_default();
                    !name.is_empty() && word.as_bytes().starts_with(name)
                });
                Met::surely(is_given)
            }
        }
    }
}

impl FromStr for OptionName {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        if let Some(word) = text.strip_prefix("--") {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            if word.is_empty() || !word.bytes().all(known) {
                return Err(OptionError::Form);
            }
            if word.len() > LONG_BYTES_MAX {
                return Err(OptionError::TooLong);
            }
            return Ok(Self::Long(word.to_owned()));
        }
        match text.as_bytes() {
            [b'-', byte] if letter(*byte) != 0 => Ok(Self::Letter(*byte)),
            _ => Err(OptionError::Form),
        }
    }
}

/// As a policy writes it.
impl fmt::Display for OptionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Letter(byte) => write!(f, "-{}", char::from(*byte)),
            Self::Long(word) => write!(f, "--{word}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(option: &str, argument: &str) -> bool {
        let option: OptionName = option.parse().unwrap();
        option.given_by(argument.as_bytes()) == Met::Yes
    }

    #[test]
    fn of_more_letters_than_are_looked_at_the_rest_may_be_any() {
        let option: OptionName = "-r".parse().unwrap();
        let given = |before: usize, end: &str| {
            let argument = format!("-{}{end}", "v".repeat(before));
            option.given_by(argument.as_bytes())
        };
        assert_eq!(given(LETTERS_MAX - 1, "r"), Met::Yes);
        assert_eq!(given(LETTERS_MAX, ""), Met::No);
        assert_eq!(given(LETTERS_MAX, "r"), Met::Maybe);
        assert_eq!(given(LETTERS_MAX, "v"), Met::Maybe);
    }

    #[test]
    fn a_letter_is_found_among_others_and_never_in_a_word() {
        assert!(given("-r", "-r"));
        assert!(given("-r", "-vrf"));
        assert!(!given("-r", "-R"));
        assert!(!given("-r", "--recursive"));
        assert!(!given("-r", "r"));
        assert!(!given("-r", "-"));
    }

    #[test]
    fn a_word_is_found_shortened_and_with_a_value() {
        assert!(given("--recursive", "--recursive"));
        assert!(given("--recursive", "--r"));
        assert!(given("--recursive", "--rec=always"));
        assert!(!given("--recursive", "--"));
        assert!(!given("--recursive", "--=x"));
        assert!(!given("--recursive", "--recursively"));
        assert!(!given("--recursive", "-recursive"));
    }

    #[test]
    fn what_is_no_option_says_so() {
        for text in ["", "-", "--", "r", "-rf", "-+", "--a b", "--a=b"] {
            assert_eq!(text.parse::<OptionName>(), Err(OptionError::Form), "{text}");
        }
        let long = format!("--{}", "x".repeat(41));
        assert_eq!(long.parse::<OptionName>(), Err(OptionError::TooLong));
    }
}
