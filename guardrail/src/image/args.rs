//! Conditions on arguments and processes to steps over numbered patterns, as `agent-ebpf/src/args.rs` goes through them.
//!
//! The kernel's trie finds the longest pattern that an argument begins with. Patterns are numbered in the order of
//! their bytes, so all that begin with one of them are a run of numbers, and a step is a comparison with its ends.
//! A program is known by the node of its path.

use std::collections::{BTreeMap, BTreeSet};

use stayhand_agent_ebpf::{
    abi::{
        fact::FACTS_MAX,
        image::{ARG_PATTERNS_MAX, ARG_STEPS_PER_SLOT, ArgStep, Entry, step_flag},
    },
    args::letter,
};

use super::{Edge, ROOT, Step};
use crate::policy::{
    PathPattern,
    args::{ArgCondition, ArgPattern, Clause, Fact, OptionName},
    compile::{CompileError, too_large},
    component::Component,
};

/// Patterns of one direction and conditions as the kernel looks them up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    /// Texts that arguments are compared with from their beginning, by number from 1; a literal one ends with a NUL
    pub forwards: Vec<Vec<u8>>,
    /// The same from their end, written backwards
    pub backwards: Vec<Vec<u8>>,
    /// Steps; the first one is none, and its flags say what the image has
    pub steps: Vec<ArgStep>,
    /// What the agent is asked, by number
    pub facts: Vec<Fact>,
}

/// Conditions that are being collected.
#[derive(Default)]
pub(crate) struct Conditions {
    forwards: BTreeSet<Vec<u8>>,
    backwards: BTreeSet<Vec<u8>>,
    wanted: Vec<Vec<Wanted>>,
    facts: Vec<Fact>,
}

const NOTHING: Wanted = Wanted {
    start: vec![],
    end: vec![],
    letter: 0,
    flags: 0,
    place: 0,
    program: None,
};

/// A step before patterns and paths have numbers.
#[derive(Clone, Debug)]
struct Wanted {
    start: Vec<u8>,
    end: Vec<u8>,
    letter: u32,
    flags: u16,
    place: u16,
    program: Option<PathPattern>,
}

impl Conditions {
    /// Takes in a condition; its number from 1, or 0 for one that everything meets.
    pub(crate) fn add(&mut self, condition: &ArgCondition) -> u32 {
        let mut steps: Vec<Wanted> = Vec::new();
        // What has to be asked comes last: whatever fails before is not asked.
        let asked = |clause: &&Clause| matches!(clause, Clause::Fact { .. });
        let (asked, told): (Vec<_>, Vec<_>) = condition.clauses.iter().partition(asked);
        for clause in told.into_iter().chain(asked) {
            for mut sequence in self.sequences(clause) {
                if let Some(last) = sequence.last_mut() {
                    last.flags |= step_flag::SEQUENCE_ENDS;
                }
                steps.append(&mut sequence);
            }
            if let Some(last) = steps.last_mut() {
                last.flags |= step_flag::CLAUSE_ENDS;
            }
        }
        if steps.is_empty() {
            return 0;
        }
        for step in &steps {
            self.forwards
                .extend(Some(step.start.clone()).filter(|start| !start.is_empty()));
            self.backwards
                .extend(Some(step.end.clone()).filter(|end| !end.is_empty()));
        }
        self.wanted.push(steps);
        index(self.wanted.len())
    }

    fn sequences(&mut self, clause: &Clause) -> Vec<Vec<Wanted>> {
        match clause {
            Clause::Argument(patterns) => patterns
                .iter()
                .map(|pattern| vec![wanted(pattern, 0)])
                .collect(),
            Clause::Subcommand(all) => {
                let words = |sequence: &Vec<ArgPattern>| {
                    let word = |pattern| wanted(pattern, step_flag::WORD);
                    sequence.iter().map(word).collect()
                };
                all.iter().map(words).collect()
            }
            Clause::Exact { items, more } => vec![exact(items, *more)],
            Clause::Option(names) => names
                .iter()
                .flat_map(option)
                .map(|step| vec![step])
                .collect(),
            Clause::Terminal(wanted) => vec![vec![Wanted {
                flags: step_flag::TERMINAL,
                place: u16::from(*wanted),
                ..NOTHING
            }]],
            Clause::Parent(paths) => programs(paths, step_flag::PARENT),
            Clause::Ancestor(paths) => programs(paths, step_flag::ANCESTOR),
            Clause::Fact { fact, negated } => {
                let negated = if *negated { step_flag::NEGATED } else { 0 };
                let of_file = if fact.is_of_file() {
                    step_flag::OF_FILE
                } else {
                    0
                };
                vec![vec![Wanted {
                    flags: step_flag::FACT | negated | of_file,
                    place: self.fact(fact),
                    ..NOTHING
                }]]
            }
        }
    }

    /// Number of a question; conditions that ask the same share it.
    fn fact(&mut self, fact: &Fact) -> u16 {
        let known = self.facts.iter().position(|other| other == fact);
        let number = known.unwrap_or_else(|| {
            self.facts.push(fact.clone());
            self.facts.len() - 1
        });
        u16::try_from(number).unwrap_or(u16::MAX)
    }

    /// Numbers the patterns and gives entries their steps instead of the number of their condition.
    pub(crate) fn finish(
        self,
        entries: &mut [Entry],
        edges: &[Edge],
    ) -> (Arguments, Vec<CompileError>) {
        if self.wanted.is_empty() {
            return (Arguments::default(), vec![]);
        }
        let forwards: Vec<Vec<u8>> = self.forwards.into_iter().collect();
        let backwards: Vec<Vec<u8>> = self.backwards.into_iter().collect();
        let nodes = nodes(edges);
        let has = |any: bool, flag: u16| if any { flag } else { 0 };
        let wanted = || self.wanted.iter().flatten();
        let of_process = wanted().fold(0, |flags, step| flags | step.flags & step_flag::PROCESS);
        let all_of_files = self.facts.iter().all(Fact::is_of_file);
        let mut steps = vec![ArgStep {
            flags: of_process
                | has(!backwards.is_empty(), step_flag::HAS_SUFFIXES)
                | has(!self.facts.is_empty(), step_flag::FACT)
                | has(self.facts.iter().any(Fact::is_of_file), step_flag::OF_FILE)
                | has(!all_of_files, step_flag::OF_ARGUMENTS),
            ..ArgStep::default()
        }];
        let mut places = Vec::with_capacity(self.wanted.len());
        for condition in &self.wanted {
            let before = steps.len();
            for wanted in condition {
                let mut step = numbered(wanted, &forwards, &backwards);
                if let Some(path) = &wanted.program {
                    (step.prefix_first, step.prefix_last) = (node_of(path, &nodes), 0);
                }
                if !steps
                    .get_mut(before..)
                    .and_then(<[_]>::last_mut)
                    .is_some_and(|last| joined(last, &step))
                {
                    steps.push(step);
                }
            }
            places.push((index(before), index(steps.len() - before)));
        }
        for entry in entries.iter_mut().filter(|entry| entry.args_len != 0) {
            let place = (entry.args_first as usize)
                .checked_sub(1)
                .and_then(|number| places.get(number));
            (entry.args_first, entry.args_len) = place.copied().unwrap_or_default();
        }
        let errors = [
            too_large(
                forwards.len() + backwards.len(),
                "argument patterns",
                ARG_PATTERNS_MAX as usize / super::SLOTS,
            ),
            too_large(
                steps.len(),
                "steps of conditions on arguments",
                ARG_STEPS_PER_SLOT as usize,
            ),
            too_large(
                self.facts.len(),
                "different regular expressions and hashes",
                FACTS_MAX,
            ),
        ];
        let arguments = Arguments {
            forwards,
            backwards,
            steps,
            facts: self.facts,
        };
        (arguments, errors.into_iter().flatten().collect())
    }
}

/// Steps by name.
type Nodes<'e> = BTreeMap<(u32, &'e [u8]), u32>;

fn nodes(edges: &[Edge]) -> Nodes<'_> {
    let named = edges.iter().filter_map(|edge| match &edge.step {
        Step::Name(name) => Some(((edge.from, name.as_slice()), edge.to)),
        Step::Wild(_) | Step::And(_) => None,
    });
    named.collect()
}

/// The node of a plain path, 0 for none.
fn node_of(path: &PathPattern, nodes: &Nodes<'_>) -> u32 {
    let mut names = path.components().iter().map(Component::name);
    let node = names.try_fold(ROOT, |node, name| {
        nodes.get(&(node, name?.as_bytes())).copied()
    });
    node.unwrap_or(0)
}

fn numbered(wanted: &Wanted, forwards: &[Vec<u8>], backwards: &[Vec<u8>]) -> ArgStep {
    let (prefix_first, prefix_last) = numbers(forwards, &wanted.start);
    let (suffix_first, suffix_last) = numbers(backwards, &wanted.end);
    let sides = wanted.start.iter().chain(&wanted.end);
    ArgStep {
        prefix_first,
        prefix_last,
        suffix_first,
        suffix_last,
        min_len: index(sides.filter(|byte| **byte != 0).count()),
        letter: wanted.letter,
        flags: wanted.flags,
        place: wanted.place,
    }
}

/// Makes one step of two alternatives that are neighbours in the order of their numbers, such as the forms of a long
/// option. Lengths do not matter where there is no suffix to overlap with.
fn joined(last: &mut ArgStep, next: &ArgStep) -> bool {
    let plain = |step: &ArgStep| {
        step.letter == 0
            && step.prefix_first != 0
            && step.suffix_first == 0
            && step.flags & step_flag::SEQUENCE_ENDS != 0
            && step.flags & (step_flag::WORD | step_flag::COUNT | step_flag::PROCESS) == 0
            && step.place == 0
    };
    let alternatives = plain(last) && plain(next) && last.flags & step_flag::CLAUSE_ENDS == 0;
    if !alternatives || next.prefix_first != last.prefix_last.saturating_add(1) {
        return false;
    }
    last.prefix_last = next.prefix_last;
    last.min_len = last.min_len.min(next.min_len);
    last.flags = next.flags;
    true
}

/// Numbers of the patterns that begin with `text`; all of them, and none at all, if it is empty.
fn numbers(sorted: &[Vec<u8>], text: &[u8]) -> (u32, u32) {
    if text.is_empty() {
        return (0, u32::MAX);
    }
    let first = sorted.partition_point(|other| other.as_slice() < text);
    let count = sorted
        .iter()
        .skip(first)
        .take_while(|other| other.starts_with(text))
        .count();
    (index(first + 1), index(first + count))
}

fn index(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Each program is enough.
fn programs(paths: &[PathPattern], flags: u16) -> Vec<Vec<Wanted>> {
    let one = |path: &PathPattern| Wanted {
        flags,
        program: Some(path.clone()),
        ..NOTHING
    };
    paths.iter().map(|path| vec![one(path)]).collect()
}

fn wanted(pattern: &ArgPattern, flags: u16) -> Wanted {
    let mut start = pattern.start().as_bytes().to_vec();
    let mut end = pattern.end().unwrap_or_default().as_bytes().to_vec();
    if pattern.end().is_none() {
        start.push(0);
    }
    end.reverse();
    Wanted {
        start,
        end,
        flags,
        ..NOTHING
    }
}

/// Each argument at its place, and how many there are.
fn exact(items: &[Option<ArgPattern>], more: bool) -> Vec<Wanted> {
    let place = |index: usize| u16::try_from(index).unwrap_or(u16::MAX);
    let placed = items.iter().enumerate().filter_map(|(index, item)| {
        let item = item.as_ref()?;
        Some(Wanted {
            place: place(index + 1),
            ..wanted(item, 0)
        })
    });
    let flags = if more {
        step_flag::COUNT | step_flag::OR_MORE
    } else {
        step_flag::COUNT
    };
    let count = Wanted {
        flags,
        place: place(items.len()),
        ..NOTHING
    };
    placed.chain([count]).collect()
}

/// An option in each of its forms.
fn option(name: &OptionName) -> Vec<Wanted> {
    match name {
        OptionName::Letter(byte) => vec![Wanted {
            letter: letter(*byte),
            ..NOTHING
        }],
        OptionName::Long(word) => {
            let shortened = (1..=word.len()).filter_map(|len| word.get(..len));
            let forms = shortened.flat_map(|name| [format!("--{name}\0"), format!("--{name}=")]);
            forms
                .map(|form| Wanted {
                    start: form.into_bytes(),
                    ..NOTHING
                })
                .collect()
        }
    }
}
