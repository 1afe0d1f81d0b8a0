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
#[path = "args_tests.rs"]
mod tests;
