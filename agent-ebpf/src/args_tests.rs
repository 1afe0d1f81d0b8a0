//! The matcher, without a kernel: steps, tokens and programs are given.

extern crate std;

use std::{vec, vec::Vec};

use super::*;

#[derive(Default)]
struct Call {
    steps: Vec<ArgStep>,
    tokens: Option<Vec<Token>>,
    terminal: u32,
    programs: Vec<u32>,
    parents: u32,
    lineage: u32,
}

impl Arguments for Call {
    fn step(&self, index: u32) -> Option<ArgStep> {
        self.steps.get(index as usize).copied()
    }

    fn token(&self, index: u32) -> Option<Token> {
        self.tokens.as_ref()?.get(index as usize).copied()
    }

    fn count(&self) -> u32 {
        u32::try_from(self.tokens.as_ref().map_or(0, Vec::len)).unwrap()
    }

    fn known(&self) -> bool {
        self.tokens.is_some()
    }

    fn terminal(&self) -> u32 {
        self.terminal
    }

    fn program(&self, index: u32) -> Option<u32> {
        self.programs.get(index as usize).copied()
    }

    fn parents(&self) -> u32 {
        self.parents
    }

    fn lineage(&self) -> u32 {
        self.lineage
    }

    /// Facts by their numbers: no, perhaps, yes, then none.
    fn fact(&self, number: u32) -> u32 {
        if number <= met::YES {
            number
        } else {
            met::FAILED
        }
    }
}

fn step(id: u32, flags: u16) -> ArgStep {
    ArgStep {
        prefix_first: id,
        prefix_last: id,
        suffix_last: u32::MAX,
        flags,
        ..ArgStep::default()
    }
}

fn token(prefix: u32) -> Token {
    Token {
        prefix,
        len: 1,
        ..Token::default()
    }
}

const LAST: u16 = step_flag::SEQUENCE_ENDS;
const END: u16 = step_flag::SEQUENCE_ENDS | step_flag::CLAUSE_ENDS;

fn judge(steps: &[ArgStep], tokens: &[Token]) -> u32 {
    judge_call(&Call {
        steps: steps.to_vec(),
        tokens: Some(tokens.to_vec()),
        ..Call::default()
    })
}

fn judge_call(call: &Call) -> u32 {
    let mut matcher = Matcher::default();
    let len = u32::try_from(call.steps.len()).unwrap();
    for _ in 0..1_000 {
        match matcher.advance(call, 0, len) {
            met::OPEN => {}
            decided => return decided,
        }
    }
    panic!("never decided")
}

#[test]
fn a_sequence_must_come_in_its_order_with_anything_between() {
    let steps = [step(1, 0), step(2, END)];
    let call = |ids: &[u32]| judge(&steps, &ids.iter().map(|id| token(*id)).collect::<Vec<_>>());
    assert_eq!(call(&[]), met::NO);
    assert_eq!(call(&[1]), met::NO);
    assert_eq!(call(&[2, 1]), met::NO);
    assert_eq!(call(&[1, 2]), met::YES);
    assert_eq!(call(&[9, 1, 9, 9, 2, 9]), met::YES);
}

#[test]
fn every_clause_must_be_met_by_any_of_its_sequences() {
    let steps = [
        step(1, LAST),
        step(2, END),
        step(3, 0),
        step(4, LAST),
        step(5, END),
    ];
    let call = |ids: &[u32]| judge(&steps, &ids.iter().map(|id| token(*id)).collect::<Vec<_>>());
    assert_eq!(call(&[3, 4]), met::NO);
    assert_eq!(call(&[1, 4, 3]), met::NO);
    assert_eq!(call(&[3, 4, 1]), met::YES);
    assert_eq!(call(&[5, 2]), met::YES);
}

#[test]
fn what_is_unknown_is_possible_and_never_certain() {
    let option = ArgStep {
        letter: letter(b'r'),
        flags: END,
        ..step(0, 0)
    };
    let cluster = |letters: u64, flags: u16| Token {
        letters,
        flags,
        ..token(0)
    };
    assert_eq!(judge(&[option], &[cluster(1 << letter(b'f'), 0)]), met::NO);
    assert_eq!(judge(&[option], &[cluster(1 << letter(b'r'), 0)]), met::YES);
    let long = cluster(0, token_flag::MORE_LETTERS);
    assert_eq!(judge(&[option], &[long]), met::MAYBE);
    let suffix = ArgStep {
        suffix_first: 3,
        suffix_last: 4,
        prefix_last: u32::MAX,
        flags: END,
        ..ArgStep::default()
    };
    let cut = cluster(0, token_flag::END_UNKNOWN);
    assert_eq!(judge(&[suffix], &[cut]), met::MAYBE);
    assert_eq!(judge(&[suffix], &[token(0)]), met::NO);
}

#[test]
fn a_word_is_no_option_and_only_surely_a_subcommand_where_it_comes_first() {
    let word = |id: u32, flags: u16| step(id, flags | step_flag::WORD);
    let at = |place: u16, id: u32| Token { place, ..token(id) };
    let option = Token {
        flags: token_flag::OPTION,
        ..at(1, 1)
    };
    assert_eq!(judge(&[word(1, END)], &[option]), met::NO);
    assert_eq!(judge(&[word(1, END)], &[option, at(2, 1)]), met::MAYBE);
    assert_eq!(judge(&[word(1, END)], &[at(1, 1)]), met::YES);
    let two = [word(1, 0), word(2, END)];
    assert_eq!(judge(&two, &[at(1, 1), at(2, 2)]), met::YES);
    assert_eq!(judge(&two, &[at(1, 1), at(3, 2)]), met::MAYBE);
    // The surest alternative counts, whichever comes first.
    for alternatives in [[word(2, LAST), word(1, END)], [word(1, LAST), word(2, END)]] {
        assert_eq!(judge(&alternatives, &[at(1, 1), at(2, 2)]), met::YES);
        assert_eq!(judge(&alternatives, &[at(2, 1)]), met::MAYBE);
        assert_eq!(judge(&alternatives, &[at(1, 9)]), met::NO);
    }
}

#[test]
fn places_and_numbers_of_arguments_are_exact() {
    let at = |place: u16, id: u32| Token { place, ..token(id) };
    let steps = |count: u16, flags: u16| {
        let first = ArgStep {
            place: 1,
            ..step(1, 0)
        };
        let second = ArgStep {
            place: count,
            ..step(0, END | step_flag::COUNT | flags)
        };
        [first, second]
    };
    assert_eq!(judge(&steps(1, 0), &[at(1, 1)]), met::YES);
    assert_eq!(judge(&steps(2, 0), &[at(1, 1)]), met::NO);
    assert_eq!(judge(&steps(1, 0), &[at(1, 1), at(2, 9)]), met::NO);
    let more = step_flag::OR_MORE;
    assert_eq!(judge(&steps(1, more), &[at(1, 1), at(2, 9)]), met::YES);
    assert_eq!(judge(&steps(2, 0), &[at(1, 9), at(2, 1)]), met::NO);
    assert_eq!(judge(&steps(3, more), &[at(1, 1), at(2, 9)]), met::NO);
}

#[test]
fn letters_have_bits_of_their_own() {
    let all: Vec<u32> = (0..=u8::MAX).map(letter).filter(|bit| *bit != 0).collect();
    let mut distinct = all.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(
        (all.len(), distinct.len(), *distinct.last().unwrap()),
        (62, 62, 62)
    );
}

#[test]
fn a_fact_that_is_not_known_is_possible_whichever_way_it_is_wanted() {
    let fact = |is: u32, flags: u16| ArgStep {
        place: u16::try_from(is).unwrap(),
        ..step(0, step_flag::FACT | flags)
    };
    let not = step_flag::NEGATED;
    for (is, so, not_so) in [
        (met::NO, met::NO, met::YES),
        (met::MAYBE, met::MAYBE, met::MAYBE),
        (met::YES, met::YES, met::NO),
    ] {
        assert_eq!(judge(&[fact(is, END)], &[]), so);
        assert_eq!(judge(&[fact(is, END | not)], &[]), not_so);
    }
    assert_eq!(judge(&[fact(9, END)], &[]), met::FAILED);
    let unknown = |steps: &[ArgStep]| {
        judge_call(&Call {
            steps: steps.to_vec(),
            ..Call::default()
        })
    };
    let of_file = step_flag::OF_FILE;
    assert_eq!(unknown(&[fact(met::YES, END)]), met::MAYBE);
    assert_eq!(unknown(&[step(1, END), fact(met::NO, END)]), met::MAYBE);
    let no_file = [step(1, END), fact(met::NO, END | of_file)];
    assert_eq!(unknown(&no_file), met::NO);
    assert_eq!(unknown(&[fact(met::YES, END | of_file)]), met::YES);
    let either = [step(1, END), fact(met::MAYBE, END)];
    assert_eq!(judge(&either, &[token(1)]), met::MAYBE);
    assert_eq!(judge(&either, &[token(2)]), met::NO);
}

#[test]
fn a_condition_without_its_steps_fails() {
    let mut matcher = Matcher::default();
    assert_eq!(matcher.advance(&Call::default(), 0, 1), met::FAILED);
}

/// Programs 7 and 8 start the program, 9 is above them.
fn process(steps: &[ArgStep], terminal: u32, flags: u32) -> u32 {
    judge_call(&Call {
        steps: steps.to_vec(),
        terminal,
        programs: vec![7, 8, 9],
        parents: 2,
        lineage: flags,
        ..Call::default()
    })
}

#[test]
fn a_terminal_is_there_or_not_and_what_is_unknown_may_be_either() {
    for (wanted, found, then) in [
        (0, met::NO, met::YES),
        (0, met::YES, met::NO),
        (0, met::MAYBE, met::MAYBE),
        (1, met::NO, met::NO),
        (1, met::YES, met::YES),
        (1, met::MAYBE, met::MAYBE),
    ] {
        let step = ArgStep {
            place: wanted,
            ..step(0, END | step_flag::TERMINAL)
        };
        assert_eq!(process(&[step], found, 0), then, "{wanted} {found}");
    }
}

#[test]
fn a_parent_is_no_other_ancestor_and_what_was_not_read_may_be_any() {
    use lineage::{KNOWN, MORE, PARENT_UNKNOWN};
    let parent = |node| [step(node, END | step_flag::PARENT)];
    let ancestor = |node| [step(node, END | step_flag::ANCESTOR)];
    for (node, of_parent, of_ancestor) in [
        (7, met::YES, met::YES),
        (8, met::YES, met::YES),
        (9, met::NO, met::YES),
        (5, met::NO, met::NO),
    ] {
        assert_eq!(process(&parent(node), 0, KNOWN), of_parent, "{node}");
        assert_eq!(process(&ancestor(node), 0, KNOWN), of_ancestor, "{node}");
    }
    assert_eq!(process(&parent(9), 0, KNOWN | MORE), met::NO);
    assert_eq!(process(&ancestor(5), 0, KNOWN | MORE), met::MAYBE);
    assert_eq!(process(&parent(9), 0, KNOWN | PARENT_UNKNOWN), met::MAYBE);
    assert_eq!(process(&parent(7), 0, KNOWN | PARENT_UNKNOWN), met::YES);
    assert_eq!(process(&parent(5), 0, 0), met::MAYBE);
    assert_eq!(process(&ancestor(5), 0, 0), met::MAYBE);
}

#[test]
fn a_program_that_cannot_be_told_is_no_certainty_and_each_alternative_counts() {
    let ancestor = |node, flags| step(node, flags | step_flag::ANCESTOR);
    assert_eq!(process(&[ancestor(0, END)], 0, lineage::KNOWN), met::MAYBE);
    let alias = ArgStep {
        place: 1,
        ..ancestor(7, END)
    };
    assert_eq!(process(&[alias], 0, lineage::KNOWN), met::MAYBE);
    for (first, second, then) in [
        (5, 6, met::NO),
        (5, 9, met::YES),
        (9, 5, met::YES),
        (0, 5, met::MAYBE),
        (0, 9, met::YES),
    ] {
        let steps = [ancestor(first, LAST), ancestor(second, END)];
        let found = process(&steps, 0, lineage::KNOWN);
        assert_eq!(found, then, "{first} {second}");
    }
}

#[test]
fn the_process_decides_although_arguments_are_unknown() {
    let terminal = ArgStep {
        place: 1,
        ..step(0, END | step_flag::TERMINAL)
    };
    let word = step(3, END | step_flag::WORD);
    let count = step(0, END | step_flag::COUNT);
    for argument in [word, count] {
        for steps in [[argument, terminal], [terminal, argument]] {
            assert_eq!(process(&steps, met::NO, 0), met::NO);
            assert_eq!(process(&steps, met::YES, 0), met::MAYBE);
        }
    }
}
