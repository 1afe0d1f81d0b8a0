//! Redaction of arguments before they leave the host.
//!
//! Never changes how many arguments there are, and when in doubt hides too much: a bound that is hit hides the
//! argument. It is no promise that no secret is left: a program can take one in any form.

mod shipped;
#[cfg(test)]
mod tests;

use std::ops::Range;

use regex::bytes::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

/// What stands where something was hidden.
pub const HIDDEN: &[u8] = b"*****";
/// Patterns of one host, shipped ones included: each one runs over every recorded argument.
pub const PATTERNS_MAX: usize = 200;
/// Bytes of one pattern: readable on one screen.
pub const PATTERN_BYTES_MAX: usize = 1_000;
/// Compiled size of one pattern, so that a counted repetition cannot eat the agent's memory.
const COMPILED_BYTES_MAX: usize = 1 << 20;
/// Bytes of one argument that are searched (`MAX_ARG_STRLEN`, linux/binfmts.h); a longer one is hidden whole.
pub const ARG_BYTES_MAX: usize = 128 << 10;

/// What to hide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedactConfig {
    /// Whether the shipped patterns apply, too
    pub defaults: bool,
    /// Further patterns
    pub patterns: Vec<Pattern>,
}

impl Default for RedactConfig {
    fn default() -> Self {
        Self {
            defaults: true,
            patterns: vec![],
        }
    }
}

/// One thing to hide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pattern {
    /// Regular expression over the bytes of one argument (`.` is any byte). Its capture groups are hidden, without
    /// any the whole match.
    pub argument: String,
    /// Hide the argument after the one that matches, instead of the match
    #[serde(default)]
    pub hides_next: bool,
    /// Only after an argument whose last path component matches this as a whole, such as `mysql(dump)?`
    #[serde(default)]
    pub program: Option<String>,
}

/// A pattern that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedactError {
    /// Not a regular expression, or one that compiles to too much.
    #[error("redaction pattern `{pattern}`: {why}")]
    Pattern {
        /// The pattern, shown safely
        pattern: String,
        /// What is wrong with it
        why: String,
    },
    /// More than the bound.
    #[error("{0} redaction patterns are more than the {PATTERNS_MAX} that are allowed")]
    TooMany(usize),
}

struct Compiled {
    argument: Regex,
    hides_next: bool,
    program: Option<Regex>,
}

/// Hides what the patterns say.
pub struct Redactor {
    patterns: Vec<Compiled>,
}

impl Redactor {
    /// Compiles the patterns.
    pub fn new(config: &RedactConfig) -> Result<Self, RedactError> {
        let mut all = if config.defaults {
            shipped::patterns()
        } else {
            vec![]
        };
        all.extend(config.patterns.iter().cloned());
        if all.len() > PATTERNS_MAX {
            return Err(RedactError::TooMany(all.len()));
        }
        let patterns = all.iter().map(compiled).collect::<Result<_, _>>()?;
        Ok(Self { patterns })
    }

    /// The arguments without what is to be hidden, and how many of them were changed.
    pub fn redact(&self, args: &[Vec<u8>]) -> (Vec<Vec<u8>>, u32) {
        let words: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        let found = self.hidden(&words).into_iter().zip(args);
        let shown: Vec<Vec<u8>> = found.map(|(ranges, arg)| self.one(arg, ranges)).collect();
        let changed = shown
            .iter()
            .zip(args)
            .filter(|(shown, arg)| shown != arg)
            .count();
        (shown, u32::try_from(changed).unwrap_or(u32::MAX))
    }

    /// One argument: what was found in it as a whole and, as it may be a command line for a shell, in its words.
    fn one(&self, arg: &[u8], mut ranges: Vec<Range<usize>>) -> Vec<u8> {
        if arg.len() > ARG_BYTES_MAX {
            return HIDDEN.to_vec();
        }
        let inner = words_of(arg);
        if inner.len() > 1 {
            let words: Vec<&[u8]> = inner
                .iter()
                .filter_map(|word| arg.get(word.clone()))
                .collect();
            for (word, hidden) in inner.iter().zip(self.hidden(&words)) {
                ranges.extend(
                    hidden
                        .into_iter()
                        .map(|range| range.start + word.start..range.end + word.start),
                );
            }
        }
        without(arg, ranges)
    }

    /// Ranges to hide in each word.
    fn hidden(&self, words: &[&[u8]]) -> Vec<Vec<Range<usize>>> {
        let mut hidden: Vec<Vec<Range<usize>>> = vec![Vec::new(); words.len()];
        for pattern in &self.patterns {
            let mut in_program = pattern.program.is_none();
            for (index, word) in words.iter().enumerate() {
                let matched = if in_program {
                    pattern.ranges(word)
                } else {
                    vec![]
                };
                let target = if pattern.hides_next { index + 1 } else { index };
                if let (Some(place), Some(next)) = (hidden.get_mut(target), words.get(target))
                    && !matched.is_empty()
                {
                    let whole = std::iter::once(0..next.len());
                    place.extend(whole.filter(|_| pattern.hides_next));
                    place.extend(matched.into_iter().filter(|_| !pattern.hides_next));
                }
                in_program = in_program
                    || pattern
                        .program
                        .as_ref()
                        .is_some_and(|program| program.is_match(base_name(word)));
            }
        }
        hidden
    }
}

impl Compiled {
    fn ranges(&self, word: &[u8]) -> Vec<Range<usize>> {
        if word.len() > ARG_BYTES_MAX {
            return vec![];
        }
        let mut ranges = Vec::new();
        for captures in self.argument.captures_iter(word) {
            let before = ranges.len();
            ranges.extend(captures.iter().skip(1).flatten().map(|group| group.range()));
            if ranges.len() == before {
                ranges.extend(captures.get(0).map(|whole| whole.range()));
            }
        }
        ranges
    }
}

fn compiled(pattern: &Pattern) -> Result<Compiled, RedactError> {
    let regex = |text: &str| {
        let shown = || crate::text::safe_cut(text.as_bytes(), 100);
        if text.is_empty() || text.len() > PATTERN_BYTES_MAX {
            let why = format!("it has {} bytes, not 1 to {PATTERN_BYTES_MAX}", text.len());
            return Err(RedactError::Pattern {
                pattern: shown(),
                why,
            });
        }
        let built = RegexBuilder::new(text)
            .unicode(false)
            .dot_matches_new_line(true)
            .size_limit(COMPILED_BYTES_MAX)
            .build();
        built.map_err(|error| RedactError::Pattern {
            pattern: shown(),
            why: crate::text::safe(&error.to_string()),
        })
    };
    let program = pattern
        .program
        .as_ref()
        .map(|program| regex(&format!("^(?:{program})$")))
        .transpose()?;
    Ok(Compiled {
        argument: regex(&pattern.argument)?,
        hides_next: pattern.hides_next,
        program,
    })
}

fn base_name(word: &[u8]) -> &[u8] {
    word.rsplit(|byte| *byte == b'/').next().unwrap_or(word)
}

/// Words of a command line inside one argument; quotes hold a word together and stay part of it.
fn words_of(arg: &[u8]) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let (mut start, mut quote) = (None, None);
    for (index, byte) in arg.iter().copied().enumerate() {
        match (quote, byte) {
            (Some(open), _) if open == byte => quote = None,
            (None, b'\'' | b'"') => {
                quote = Some(byte);
                start = start.or(Some(index));
            }
            (None, _) if byte.is_ascii_whitespace() => {
                words.extend(start.take().map(|start| start..index));
            }
            _ => start = start.or(Some(index)),
        }
    }
    words.extend(start.map(|start| start..arg.len()));
    words
}

/// `arg` with every range replaced; ranges may overlap.
fn without(arg: &[u8], mut ranges: Vec<Range<usize>>) -> Vec<u8> {
    ranges.sort_by_key(|range| (range.start, range.end));
    let mut shown = Vec::with_capacity(arg.len());
    let mut done = 0;
    for range in ranges {
        if range.start >= done {
            shown.extend_from_slice(arg.get(done..range.start).unwrap_or_default());
            shown.extend_from_slice(HIDDEN);
        }
        done = done.max(range.end);
    }
    shown.extend_from_slice(arg.get(done..).unwrap_or_default());
    shown
}
