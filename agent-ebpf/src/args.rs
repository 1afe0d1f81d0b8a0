//! Whether an execution, by its arguments and by the process, meets the condition of an entry.
//!
//! A condition is a list of *clauses*, all of which must be met. A clause is met by any of its *sequences*, and a
//! sequence by arguments that match its *steps* in this order, with anything between them. Arguments are known by what
//! patterns of the image they match ([`Token`]), programs by the node of their label; here no string is read. A step on the
//! process is a sequence of its own. The kernel advances one comparison per round
//! of a bounded loop, so there is no loop here either.

use crate::abi::{
    image::{ArgStep, Token, step_flag, token_flag},
    task::lineage,
};

/// Whether an entry's condition is met.
pub mod met {
    /// It is not.
    pub const NO: u32 = 0;
    /// It may be: what restricts applies, what permits does not.
    pub const MAYBE: u32 = 1;
    /// It is.
    pub const YES: u32 = 2;
    /// Not decided yet.
    pub const OPEN: u32 = 3;
    /// The image is not what it should be.
    pub const FAILED: u32 = 4;
}

/// Where steps, tokens and programs are looked up.
pub trait Arguments {
    /// A step of the image.
    fn step(&self, index: u32) -> Option<ArgStep>;
    /// A token of the call; nothing behind the last one.
    fn token(&self, index: u32) -> Option<Token>;
    /// Whether the arguments are known. If not, whatever a step wants of them may be so.
    fn known(&self) -> bool;
    /// How many arguments the call has behind `argv[0]`.
    fn count(&self) -> u32;
    /// Whether a fact is so, see [`met`].
    fn fact(&self, number: u32) -> u32;
    /// Whether the process has a terminal, see [`met`].
    fn terminal(&self) -> u32;
    /// Node of a program that the process comes from, those of what starts the program first; nothing behind the last
    /// one.
    fn program(&self, index: u32) -> Option<u32>;
    /// How many of them are of what starts the program.
    fn parents(&self) -> u32;
    /// Whether there may be others, see [`lineage`]: not all could be read, or kept.
    fn lineage(&self) -> u32;
}

const MATCHING: u32 = 0;
/// This sequence failed: on to the next one of the clause.
const NEXT_SEQUENCE: u32 = 1;
/// This clause is met: on to the next one.
const NEXT_CLAUSE: u32 = 2;

/// Position in a condition; all zero at its beginning.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Matcher {
    step: u32,
    token: u32,
    mode: u32,
    /// Steps of this sequence that are met
    position: u32,
    /// Not zero: one of them only may be
    doubt: u32,
    /// Not zero: another sequence of this clause may be met
    alternative: u32,
    /// Not zero: a clause only may be met
    unsure: u32,
    /// Zero
    pad: u32,
}

impl Matcher {
    /// Makes one comparison in the condition of `len` steps from `first` on; see [`met`].
    #[inline(always)]
    pub fn advance<A: Arguments>(&mut self, arguments: &A, first: u32, len: u32) -> u32 {
        if self.step >= len {
            return met::FAILED;
        }
        let Some(step) = arguments.step(first.wrapping_add(self.step)) else {
            return met::FAILED;
        };
        if self.mode != MATCHING {
            return self.skip(&step, len);
        }
        if step.flags & step_flag::PROCESS != 0 {
            match self.process(arguments, &step) {
                met::OPEN => return met::OPEN,
                met::NO => {
                    self.mode = NEXT_SEQUENCE;
                    return met::OPEN;
                }
                met::MAYBE => self.doubt = 1,
                _ => {}
            }
        } else if !arguments.known() && step.flags & step_flag::OF_FILE == 0 {
            self.doubt = 1;
        } else if step.flags & step_flag::COUNT != 0 {
            if !counts(&step, arguments.count()) {
                self.mode = NEXT_SEQUENCE;
                return met::OPEN;
            }
        } else if step.flags & step_flag::FACT != 0 {
            let wanted = if step.flags & step_flag::NEGATED == 0 {
                met::YES
            } else {
                met::NO
            };
            match arguments.fact(u32::from(step.place)) {
                is if is == wanted => {}
                met::YES | met::NO => {
                    self.mode = NEXT_SEQUENCE;
                    return met::OPEN;
                }
                met::MAYBE => self.doubt = 1,
                _ => return met::FAILED,
            }
        } else {
            let Some(token) = arguments.token(self.token) else {
                self.mode = NEXT_SEQUENCE;
                return met::OPEN;
            };
            self.token += 1;
            let met = meets(&step, &token);
            if met == met::NO {
                return met::OPEN;
            }
            let first_words = u32::from(token.place) == self.position + 1;
            if met == met::MAYBE || (step.flags & step_flag::WORD != 0 && !first_words) {
                self.doubt = 1;
            }
            self.position += 1;
        }
        if step.flags & step_flag::SEQUENCE_ENDS == 0 {
            self.step += 1;
        } else if self.doubt == 0 {
            self.alternative = 0;
            self.mode = NEXT_CLAUSE;
        } else {
            // Another one may be met more surely.
            self.alternative = 1;
            self.mode = NEXT_SEQUENCE;
        }
        met::OPEN
    }

    /// One comparison of a step on the process; open while there are other programs to compare with.
    #[inline(always)]
    fn process<A: Arguments>(&mut self, arguments: &A, step: &ArgStep) -> u32 {
        if step.flags & step_flag::TERMINAL != 0 {
            let wanted = if step.place == 0 { met::NO } else { met::YES };
            return match arguments.terminal() {
                met::MAYBE => met::MAYBE,
                found if found == wanted => met::YES,
                _ => met::NO,
            };
        }
        if step.prefix_first == 0 {
            return met::MAYBE;
        }
        let of_parent = step.flags & step_flag::ANCESTOR == 0;
        let next = if of_parent && self.token >= arguments.parents() {
            None
        } else {
            arguments.program(self.token)
        };
        let Some(node) = next else {
            let more = if of_parent {
                lineage::PARENT_UNKNOWN
            } else {
                lineage::MORE
            };
            let flags = arguments.lineage();
            return if flags & lineage::KNOWN == 0 || flags & more != 0 {
                met::MAYBE
            } else {
                met::NO
            };
        };
        self.token += 1;
        if node != step.prefix_first {
            met::OPEN
        } else if step.place == 0 {
            met::YES
        } else {
            met::MAYBE
        }
    }

    /// One step on the way to the next sequence or clause.
    #[inline(always)]
    fn skip(&mut self, step: &ArgStep, len: u32) -> u32 {
        let clause_ends = step.flags & step_flag::CLAUSE_ENDS != 0;
        let sequence_ends = step.flags & step_flag::SEQUENCE_ENDS != 0;
        if self.mode == NEXT_SEQUENCE && clause_ends && self.alternative == 0 {
            return met::NO;
        }
        self.step += 1;
        if clause_ends || (sequence_ends && self.mode == NEXT_SEQUENCE) {
            self.mode = MATCHING;
            self.token = 0;
            self.position = 0;
            self.doubt = 0;
        }
        if clause_ends {
            self.unsure |= self.alternative;
            self.alternative = 0;
        }
        if self.step < len {
            met::OPEN
        } else if self.unsure != 0 {
            met::MAYBE
        } else {
            met::YES
        }
    }
}

/// Whether the call has as many arguments as a step wants.
#[inline(always)]
fn counts(step: &ArgStep, count: u32) -> bool {
    let wanted = u32::from(step.place);
    count == wanted || (step.flags & step_flag::OR_MORE != 0 && count > wanted)
}

/// Whether one argument matches one step.
#[inline(always)]
fn meets(step: &ArgStep, token: &Token) -> u32 {
    if step.flags & step_flag::WORD != 0 && token.flags & token_flag::OPTION != 0 {
        return met::NO;
    }
    if step.place != 0 && step.place != token.place {
        return met::NO;
    }
    if step.letter != 0 {
        return if token.letters & (1 << (step.letter & 63)) != 0 {
            met::YES
        } else if token.flags & token_flag::MORE_LETTERS != 0 {
            met::MAYBE
        } else {
            met::NO
        };
    }
    if token.prefix < step.prefix_first
        || token.prefix > step.prefix_last
        || token.len < step.min_len
    {
        return met::NO;
    }
    if step.suffix_first != 0 && token.flags & token_flag::END_UNKNOWN != 0 {
        return met::MAYBE;
    }
    if token.suffix < step.suffix_first || token.suffix > step.suffix_last {
        return met::NO;
    }
    met::YES
}

/// Bit of a letter or digit in [`Token::letters`], from 1; 0 for every other byte, which no option of one letter is.
#[inline(always)]
pub const fn letter(byte: u8) -> u32 {
    let lower = byte.wrapping_sub(b'a');
    let upper = byte.wrapping_sub(b'A');
    let digit = byte.wrapping_sub(b'0');
    if lower < 26 {
        1 + lower as u32
    } else if upper < 26 {
        27 + upper as u32
    } else if digit < 10 {
        53 + digit as u32
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
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
        let call =
            |ids: &[u32]| judge(&steps, &ids.iter().map(|id| token(*id)).collect::<Vec<_>>());
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
        let call =
            |ids: &[u32]| judge(&steps, &ids.iter().map(|id| token(*id)).collect::<Vec<_>>());
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
}
