//! What the kernel makes of a call's arguments, without a kernel: tokens by the image's patterns, then the kernel's own
//! matcher.

use stayhand_agent_ebpf::{
    abi::{
        image::{ArgStep, Entry, Token, token_flag},
        task::{ARG_BYTES_MAX, LETTERS_MAX, TOKENS_MAX},
    },
    args::{Arguments as Tables, Matcher, letter, met},
};

use crate::{
    image::Image,
    policy::args::{Arguments, Call, Fact, Met, is_option},
};

/// What is known of one call.
pub(super) struct Known {
    /// Its arguments as tokens, and how many they are
    arguments: Option<(Vec<Token>, u32)>,
    /// Answers to the image's questions, see [`met`]
    facts: Vec<u32>,
}

impl Known {
    pub(super) fn of(image: &Image, call: Call<'_>) -> Self {
        let answer = |fact: &Fact| match fact.holds(call) {
            Met::No => met::NO,
            Met::Maybe => met::MAYBE,
            Met::Yes => met::YES,
        };
        let facts = image.arguments.facts.iter().map(answer).collect();
        let arguments = match call.arguments {
            Arguments::Known(list) => tokens(image, list),
            Arguments::Unknown => None,
        };
        Self { arguments, facts }
    }

    /// See [`met`].
    pub(super) fn met(&self, image: &Image, entry: &Entry) -> u32 {
        if entry.args_len == 0 {
            return met::YES;
        }
        let steps = &image.arguments.steps;
        let tables = Lookup { steps, known: self };
        let mut matcher = Matcher::default();
        loop {
            match matcher.advance(&tables, entry.args_first, entry.args_len) {
                met::OPEN => {}
                decided => return decided,
            }
        }
    }
}

/// Nothing for more arguments than the kernel keeps.
fn tokens(image: &Image, list: &[Vec<u8>]) -> Option<(Vec<Token>, u32)> {
    let placed = list.iter().zip(1u16..);
    let tokens = placed.filter_map(|(argument, place)| token(image, argument, place));
    let tokens: Vec<Token> = tokens.collect();
    let count = u32::try_from(list.len()).unwrap_or(u32::MAX);
    Some((tokens, count)).filter(|(tokens, _)| tokens.len() <= TOKENS_MAX)
}

struct Lookup<'a> {
    steps: &'a [ArgStep],
    known: &'a Known,
}

impl Tables for Lookup<'_> {
    fn step(&self, index: u32) -> Option<ArgStep> {
        self.steps.get(index as usize).copied()
    }

    fn token(&self, index: u32) -> Option<Token> {
        let (tokens, _) = self.known.arguments.as_ref()?;
        tokens.get(index as usize).copied()
    }

    fn known(&self) -> bool {
        self.known.arguments.is_some()
    }

    fn count(&self) -> u32 {
        self.known.arguments.as_ref().map_or(0, |(_, count)| *count)
    }

    fn fact(&self, number: u32) -> u32 {
        let fact = self.known.facts.get(number as usize);
        fact.copied().unwrap_or(met::FAILED)
    }
}

/// Nothing for an argument that no condition can be about.
fn token(image: &Image, argument: &[u8], place: u16) -> Option<Token> {
    let patterns = &image.arguments;
    let seen = argument.get(..ARG_BYTES_MAX).unwrap_or(argument);
    let mut flags = 0;
    if is_option(argument) {
        flags |= token_flag::OPTION;
    }
    if argument.len() > ARG_BYTES_MAX {
        flags |= token_flag::END_UNKNOWN;
    }
    let cluster = argument
        .strip_prefix(b"-")
        .filter(|letters| !letters.starts_with(b"-"))
        .unwrap_or_default();
    if cluster.len() > LETTERS_MAX {
        flags |= token_flag::MORE_LETTERS;
    }
    let letters = cluster
        .iter()
        .take(LETTERS_MAX)
        .fold(0u64, |bits, byte| bits | 1 << letter(*byte))
        & !1;
    let mut ended = seen.to_vec();
    ended.push(0);
    let suffix = if flags & token_flag::END_UNKNOWN == 0 {
        longest(
            &patterns.backwards,
            &argument.iter().rev().copied().collect::<Vec<_>>(),
        )
    } else {
        0
    };
    let token = Token {
        letters,
        prefix: longest(&patterns.forwards, &ended),
        suffix,
        len: u32::try_from(seen.len()).unwrap_or(u32::MAX),
        flags,
        place,
    };
    let counts = token.prefix != 0
        || token.suffix != 0
        || letters != 0
        || flags & (token_flag::MORE_LETTERS | token_flag::END_UNKNOWN) != 0;
    counts.then_some(token)
}

/// Number of the longest pattern that `text` begins with, 0 for none.
fn longest(patterns: &[Vec<u8>], text: &[u8]) -> u32 {
    let numbered = patterns.iter().zip(1u32..);
    let found = numbered.filter(|(pattern, _)| text.starts_with(pattern));
    found
        .max_by_key(|(pattern, _)| pattern.len())
        .map_or(0, |(_, number)| number)
}
