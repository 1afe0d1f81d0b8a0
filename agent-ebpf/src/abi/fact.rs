//! Questions of the kernel that the agent answers while the call waits: facts of one execution.
//!
//! The kernel writes a [`Question`] into a ring and looks for an [`Answer`] under the same digest, which is over
//! everything that the answer depends on: whoever executes the same file with the same arguments under the same image
//! has the same answer. The agent tells facts and decides nothing.

use super::image::LabelKey;

/// Questions of one image: different regular expressions and sets of hashes.
pub const FACTS_MAX: usize = 256;
const WORDS: usize = FACTS_MAX / 64;

/// Answers that are kept; the least recently used ones go first.
pub const ANSWERS_MAX: u32 = 8_192;
/// How long a call waits for an answer, if nobody says that it takes longer: a thousand times what a regular
/// expression takes. A killed agent answers nothing, and its restart takes seconds.
pub const WAIT_NS: u64 = 1_000_000_000;
/// How long it waits at most. People take a program for hung after some seconds, and a file of 1 GiB is hashed in
/// fewer.
pub const WAIT_LONG_NS: u64 = 10_000_000_000;

/// Bytes for arguments; a call with more has unknown facts about them.
pub const ARGS_BYTES: usize = 16 * 1024;
/// Bytes of one argument with its NUL; a call with a longer one has unknown facts about its arguments.
pub const ARG_BYTES: usize = 8 * 1024;
/// Bytes for path components, as in a record.
pub const PATH_BYTES: usize = super::record::PATH_BYTES;

/// A set of facts by number.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FactBits {
    /// Sixty-four per word
    pub words: [u64; WORDS],
}

impl FactBits {
    /// Whether a fact is in it.
    #[inline(always)]
    pub fn has(&self, number: u32) -> bool {
        let word = self.words.get(number as usize / 64).copied().unwrap_or(0);
        word >> (number % 64) & 1 != 0
    }

    /// Puts a fact in. One beyond the bound is none of an image, whose facts the compiler counts.
    #[inline(always)]
    pub fn set(&mut self, number: u32) {
        if let Some(word) = self.words.get_mut(number as usize / 64) {
            *word |= 1 << (number % 64);
        }
    }

    /// Facts of either.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        let mut both = *self;
        both.words
            .iter_mut()
            .zip(other.words)
            .for_each(|(word, bits)| *word |= bits);
        both
    }
}

/// What a question and its answer are found by.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FactKey {
    /// Keyed digest over the image, the file with its content's version, and the arguments
    pub digest: [u64; 2],
}

/// What the agent says.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// What it answers; here and at the end, because the place may be given to another answer while it is read
    pub key: FactKey,
    /// Facts that it tells, for ever
    pub known: FactBits,
    /// Those of them that are so
    pub so: FactBits,
    /// Facts that nobody can tell
    pub unknown: FactBits,
    /// Boot clock until which that and `working` hold; afterwards it is asked again
    pub until_boot_ns: u64,
    /// Not zero: the agent is at it, and the call is to wait
    pub working: u64,
    /// See `key`
    pub key_again: FactKey,
}

/// Flags of a [`Question`].
pub mod question_flag {
    /// The path did not fit.
    pub const PATH_CUT: u32 = 1 << 0;
    /// The arguments did not fit.
    pub const ARGS_CUT: u32 = 1 << 1;
    /// Somebody has the file open for writing: what it hashes to says nothing.
    pub const WRITTEN: u32 = 1 << 2;
}

/// One question.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Question {
    /// `ABI_VERSION`
    pub version: u16,
    /// Zero
    pub pad: u16,
    /// Bits of [`question_flag`]
    pub flags: u32,
    /// Where the answer is looked for
    pub key: FactKey,
    /// `ACTIVE[ACTIVE_IMAGE]`, whose facts are meant
    pub active: u64,
    /// When it was asked first, boot clock
    pub since_boot_ns: u64,
    /// Facts that are wanted
    pub wanted: FactBits,
    /// The executed file
    pub object: LabelKey,
    /// Size, change time (seconds, nanoseconds) and version of its content
    pub content: [u64; 4],
    /// What the kernel read as arguments: number with `argv[0]`, and hash of what is behind it
    pub argc: u64,
    /// See `argc`
    pub args_hash: u64,
    /// Pinned login uid
    pub auid: u32,
    /// Components in `path`
    pub path_components: u32,
    /// Bytes used in `path`, as in a record
    pub path_len: u32,
    /// Bytes used in `args`: arguments with `argv[0]`, each ending in NUL
    pub args_len: u32,
    /// See `path_len`
    pub path: [u8; PATH_BYTES],
    /// See `args_len`
    pub args: [u8; ARGS_BYTES],
}

const _: () = assert!(size_of::<Question>() == 160 + PATH_BYTES + ARGS_BYTES);
const _: () = assert!(size_of::<Answer>() == 144);

/// Question of the current call that is not answered yet; zero for none.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Registers of the call (hash)
    pub call: u64,
    /// What is asked
    pub key: FactKey,
    /// When it was asked first, boot clock
    pub since_boot_ns: u64,
    /// When the call was issued last, boot clock
    pub last_boot_ns: u64,
    /// Not zero: it is in the ring
    pub written: u64,
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    #[test]
    fn a_set_has_what_was_put_in_and_nothing_beyond_its_bound() {
        let mut bits = FactBits::default();
        for number in [0, 63, 64, 255, 256, u32::MAX] {
            bits.set(number);
        }
        let of = |bits: FactBits| {
            (0..300)
                .filter(|number| bits.has(*number))
                .collect::<Vec<u32>>()
        };
        assert_eq!(of(bits), [0, 63, 64, 255]);
        assert!(!bits.has(u32::MAX));
        let mut other = FactBits::default();
        other.set(7);
        assert_eq!(of(bits.or(&other)), [0, 7, 63, 64, 255]);
    }
}
