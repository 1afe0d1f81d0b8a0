//! What the kernel makes of a call, without a kernel: tokens of its arguments by the image's patterns, nodes of the
//! programs that it comes from, then the kernel's own matcher.

use stayhand_agent_ebpf::{
    abi::{
        image::{ArgStep, Entry, Token, token_flag},
        task::{ARG_BYTES_MAX, LETTERS_MAX, TOKENS_MAX, lineage},
    },
    args::{Arguments as Tables, Matcher, letter, met},
};

use crate::{
    image::Image,
    policy::args::{Arguments, Call, Fact, Met, Programs, is_option},
};

/// One call as the hook keeps it.
pub(super) struct Read {
    /// Tokens of the arguments, and how many arguments there are; nothing if they are unknown
    arguments: Option<(Vec<Token>, u32)>,
    terminal: u32,
    /// Nodes of programs, those of what starts the program first
    programs: Vec<u32>,
    parents: u32,
    lineage: u32,
    /// Answers to the image's questions, see [`met`]
    facts: Vec<u32>,
}

impl Read {
    pub(super) fn of(image: &Image, call: Call<'_>) -> Self {
        let (parents, ancestors) = (nodes(image, call.parents), nodes(image, call.ancestors));
        let mut flags = lineage::KNOWN;
        if !call.parents.all {
            flags |= lineage::PARENT_UNKNOWN;
        }
        if !call.ancestors.all {
            flags |= lineage::MORE;
        }
        let answer = |fact: &Fact| match fact.holds(call) {
            Met::No => met::NO,
            Met::Maybe => met::MAYBE,
            Met::Yes => met::YES,
        };
        Self {
            arguments: tokens(image, call.arguments),
            terminal: match call.terminal {
                None => met::MAYBE,
                Some(false) => met::NO,
                Some(true) => met::YES,
            },
            parents: u32::try_from(parents.len()).unwrap_or(u32::MAX),
            programs: [parents, ancestors].concat(),
            lineage: flags,
            facts: image.arguments.facts.iter().map(answer).collect(),
        }
    }

    /// See [`met`].
    pub(super) fn met(&self, image: &Image, entry: &Entry) -> u32 {
        if entry.args_len == 0 {
            return met::YES;
        }
        let tables = Lookup {
            steps: &image.arguments.steps,
            call: self,
        };
        let mut matcher = Matcher::default();
        loop {
            match matcher.advance(&tables, entry.args_first, entry.args_len) {
                met::OPEN => {}
                decided => return decided,
            }
        }
    }
}

/// Tokens, and how many arguments there are; nothing if they are unknown, or too many.
fn tokens(image: &Image, arguments: Arguments<'_>) -> Option<(Vec<Token>, u32)> {
    let Arguments::Known(list) = arguments else {
        return None;
    };
    let placed = list.iter().zip(1u16..);
    let tokens = placed.filter_map(|(argument, place)| token(image, argument, place));
    let tokens: Vec<Token> = tokens.collect();
    let count = u32::try_from(list.len()).unwrap_or(u32::MAX);
    Some((tokens, count)).filter(|(tokens, _)| tokens.len() <= TOKENS_MAX)
}

/// Labels of programs that have one.
fn nodes(image: &Image, programs: Programs<'_>) -> Vec<u32> {
    let names = |path: &String| -> Vec<Vec<u8>> {
        let names = path.split('/').filter(|name| !name.is_empty());
        names.map(|name| name.as_bytes().to_vec()).collect()
    };
    let paths = programs.paths.iter().map(names);
    paths
        .map(|names| image.node_at(names.iter().map(Vec::as_slice)))
        .filter(|node| *node != 0)
        .collect()
}

struct Lookup<'a> {
    steps: &'a [ArgStep],
    call: &'a Read,
}

impl Tables for Lookup<'_> {
    fn step(&self, index: u32) -> Option<ArgStep> {
        self.steps.get(index as usize).copied()
    }

    fn token(&self, index: u32) -> Option<Token> {
        let (tokens, _) = self.call.arguments.as_ref()?;
        tokens.get(index as usize).copied()
    }

    fn count(&self) -> u32 {
        self.call.arguments.as_ref().map_or(0, |(_, count)| *count)
    }

    fn known(&self) -> bool {
        self.call.arguments.is_some()
    }

    fn terminal(&self) -> u32 {
        self.call.terminal
    }

    fn program(&self, index: u32) -> Option<u32> {
        self.call.programs.get(index as usize).copied()
    }

    fn parents(&self) -> u32 {
        self.call.parents
    }

    fn lineage(&self) -> u32 {
        self.call.lineage
    }

    fn fact(&self, number: u32) -> u32 {
        let fact = self.call.facts.get(number as usize);
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
