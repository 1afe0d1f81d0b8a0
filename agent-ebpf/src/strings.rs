//! How arguments and environment become words of a digest: different vectors always give different words.
//!
//! Strings are read in pieces, because the kernel side has a buffer and no memory. Every piece says how long it is
//! and whether its string ends with it, every vector says that it ends, so the words can be read back in one way
//! only. Reads nothing itself.

use crate::siphash::{Sip, last_word};

/// Bytes per piece with the NUL behind them; the scratch buffer has one word of slack behind it.
pub const PIECE: u32 = 256;
/// No piece begins with this bit.
const VECTOR_ENDS: u64 = 1 << 63;
/// The string ends with this piece.
const STRING_ENDS: u64 = 1 << 32;

/// The word before a piece of `len` bytes, NUL included (1 to [`PIECE`]).
#[inline(always)]
pub const fn head(len: u64, string_ends: bool) -> u64 {
    len | if string_ends { STRING_ENDS } else { 0 }
}

/// The word behind a vector of that many strings.
#[inline(always)]
pub const fn vector_end(strings: u64) -> u64 {
    VECTOR_ENDS | strings
}

/// Where the next piece of the same string begins: the helper always writes a NUL as the last byte of a full one.
#[inline(always)]
pub const fn next_offset(offset: u64) -> u64 {
    offset + PIECE as u64 - 1
}

/// The hash that the kernel side keeps of these strings; host side.
pub fn hash<'s>(secret: [u64; 2], strings: impl IntoIterator<Item = &'s [u8]>) -> u64 {
    let mut sip = Sip::narrow(secret);
    for string in strings {
        take_in(&mut sip, string);
    }
    sip.word(last_word(0, 0));
    sip.finish()
}

/// Piece by piece; of each, the words that its NUL is in come before the whole ones, as the kernel side has it.
fn take_in(sip: &mut Sip, mut rest: &[u8]) {
    const TEXT: usize = PIECE as usize - 1;
    loop {
        let (text, behind) = rest.split_at(rest.len().min(TEXT));
        let ends = behind.is_empty();
        let len = text.len() + 1;
        sip.word(head(len as u64, ends));
        let mut words = text.chunks_exact(8);
        sip.word(if len.is_multiple_of(8) {
            0
        } else {
            word(words.remainder())
        });
        for whole in &mut words {
            sip.word(word(whole));
        }
        if len.is_multiple_of(8) {
            // Its last byte is the NUL.
            sip.word(word(words.remainder()));
        }
        if ends {
            return;
        }
        rest = behind;
    }
}

/// Little-endian, with zeroes behind.
fn word(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |word, byte| (word << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::{vec, vec::Vec};

    use proptest::prelude::*;

    use super::*;

    type Vector = Vec<Vec<u8>>;

    /// What the kernel side takes in, in its order.
    fn words(vectors: &[Vector; 2]) -> Vec<u64> {
        let mut words = vec![];
        for vector in vectors {
            for string in vector {
                let mut offset = 0;
                loop {
                    let rest: Vec<u8> = string.iter().copied().skip(offset).collect();
                    let ends = rest.len() < PIECE as usize;
                    let mut piece = rest;
                    piece.truncate(PIECE as usize - 1);
                    piece.push(0);
                    words.push(head(piece.len() as u64, ends));
                    words.extend(piece.chunks(8).map(|bytes| {
                        bytes
                            .iter()
                            .rev()
                            .fold(0, |word, byte| (word << 8) | u64::from(*byte))
                    }));
                    if ends {
                        break;
                    }
                    offset = usize::try_from(next_offset(offset as u64)).unwrap();
                }
            }
            words.push(vector_end(vector.len() as u64));
        }
        words
    }

    /// Strings about as long as pieces, of one letter, so that borders can be anywhere.
    fn vector() -> impl Strategy<Value = Vector> {
        let len = prop_oneof![0..4usize, 253..258usize, 508..514usize];
        prop::collection::vec(len.prop_map(|len| vec![b'a'; len]), 0..4)
    }

    /// The same bytes cut elsewhere: what an injective encoding must tell apart.
    fn moved(vectors: &[Vector; 2], cut: usize) -> [Vector; 2] {
        let all: Vec<u8> = vectors.iter().flatten().flatten().copied().collect();
        let (left, right) = all.split_at(cut.min(all.len()));
        [vec![left.to_vec(), right.to_vec()], vec![]]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]
        #[test]
        fn different_vectors_give_different_words(a in [vector(), vector()], b in [vector(), vector()], cut in 0..1_100usize) {
            for other in [b, moved(&a, cut)] {
                prop_assert_eq!(a == other, words(&a) == words(&other));
            }
        }
    }

    #[test]
    fn every_string_and_every_border_counts_in_the_hash() {
        let of = |strings: &[&[u8]]| hash([1, 2], strings.iter().copied());
        let long = [b'a'; 255];
        let longer = [b'a'; 256];
        let all = [
            of(&[]),
            of(&[b""]),
            of(&[b"", b""]),
            of(&[b"a"]),
            of(&[b"ab"]),
            of(&[b"a", b"b"]),
            of(&[b"1234567"]),
            of(&[b"12345678"]),
            of(&[&long]),
            of(&[&longer]),
            of(&[&long, b"a"]),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(!all.iter().take(index).any(|other| other == one), "{index}");
        }
        assert_ne!(of(&[b"a"]), hash([2, 1], [&b"a"[..]]));
    }

    #[test]
    fn a_border_at_the_end_of_a_piece_cannot_be_moved() {
        let full = vec![b'a'; PIECE as usize - 1];
        let mut longer = full.clone();
        longer.push(b'b');
        let apart = [vec![full, vec![b'b'], vec![]], vec![]];
        let joined = [vec![longer, vec![], vec![]], vec![]];
        assert_ne!(words(&apart), words(&joined));
    }
}
