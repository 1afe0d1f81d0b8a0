//! The kernel's questions about facts, and the map in which it looks for answers.
//!
//! Trusts nothing in a question's bytes. An answer only adds to what is there: two conditions may ask about different
//! facts of one execution.
#![expect(
    unsafe_code,
    reason = "copies plain bytes into their aligned structure"
)]

use std::{
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd},
    time::Duration,
};

use aya::maps::{MapData, RingBuf};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use stayhand_agent_ebpf::abi::{
    ABI_VERSION,
    fact::{ARGS_BYTES, Answer, FACTS_MAX, FactBits, FactKey, PATH_BYTES, Question, question_flag},
};

use stayhand_guardrail::policy::args::Met;

use super::{
    identity::ObjectId,
    pins::Pins,
    record::{Malformed, components, strings, used},
    table::{self, Hash, Table, TableError},
};

/// One version of a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Content {
    /// Bytes
    pub size: u64,
    /// Change time, seconds since 1970
    pub ctime_s: i64,
    /// Its nanoseconds
    pub ctime_ns: u32,
    /// `i_version`
    pub version: u64,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Where the answer goes
    pub key: FactKey,
    /// The image whose facts are meant, as `ACTIVE` has it
    pub active: u64,
    /// Boot clock
    pub since_boot_ns: u64,
    /// Numbers of the facts
    pub wanted: FactBits,
    /// The file
    pub object: ObjectId,
    /// Its content
    pub content: Content,
    /// Somebody has it open for writing
    pub written: bool,
    /// Its path from its file system's root; none if it did not fit
    pub path: Option<Vec<u8>>,
    /// Arguments with `argv[0]`; none if they did not fit or there are none
    pub arguments: Option<Vec<Vec<u8>>>,
    /// What the kernel judged: their number and their hash
    pub judged: (u64, u64),
    /// Who executes
    pub auid: u32,
}

impl Asked {
    /// Reads the bytes of one question.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() != size_of::<Question>() {
            return Err(Malformed::Length(bytes.len()));
        }
        // SAFETY: as many bytes as the structure has, which is integers without padding and valid for every pattern.
        let question: Box<Question> =
            Box::new(unsafe { bytes.as_ptr().cast::<Question>().read_unaligned() });
        if question.version != ABI_VERSION {
            return Err(Malformed::Version(question.version));
        }
        Self::of(&question)
    }

    fn of(question: &Question) -> Result<Self, Malformed> {
        let cut = |flag: u32| question.flags & flag != 0;
        let [size, seconds, nanoseconds, version] = question.content;
        let path = used(&question.path, question.path_len, PATH_BYTES)
            .and_then(components)
            .filter(|found| found.len() == question.path_components as usize)
            .ok_or(Malformed::Strings("path"))?;
        let arguments = used(&question.args, question.args_len, ARGS_BYTES)
            .map(strings)
            .ok_or(Malformed::Strings("arguments"))?;
        Ok(Self {
            key: question.key,
            active: question.active,
            since_boot_ns: question.since_boot_ns,
            wanted: question.wanted,
            object: ObjectId {
                ino: question.object.ino,
                dev: question.object.dev,
                igen: question.object.igen,
            },
            content: Content {
                size,
                ctime_s: seconds.cast_signed(),
                ctime_ns: u32::try_from(nanoseconds).unwrap_or(u32::MAX),
                version,
            },
            written: cut(question_flag::WRITTEN),
            path: (!cut(question_flag::PATH_CUT)).then(|| [&b"/"[..], &path.join(&b'/')].concat()),
            arguments: (!cut(question_flag::ARGS_CUT)).then_some(arguments),
            judged: (question.argc, question.args_hash),
            auid: question.auid,
        })
    }

    /// Numbers of the facts, in order.
    pub fn numbers(&self) -> impl Iterator<Item = u32> {
        let wanted = self.wanted;
        (0u32..)
            .take(FACTS_MAX)
            .filter(move |number| wanted.has(*number))
    }
}

/// The ring of questions. Only one process may read it.
pub struct Questions {
    ring: RingBuf<MapData>,
}

impl Questions {
    /// Opens it.
    pub fn open(pins: &Pins) -> Result<Self, TableError> {
        Ok(Self {
            ring: table::ring(pins, "QUESTIONS")?,
        })
    }

    /// The next one that is there; what is no question is said and passed over.
    pub fn take(&mut self) -> Option<Asked> {
        loop {
            let entry = self.ring.next()?;
            match Asked::decode(&entry) {
                Ok(asked) => return Some(asked),
                Err(error) => tracing::warn!(%error, "a question about facts is none"),
            }
        }
    }

    /// Waits until there may be one, or for so long.
    pub fn wait(&self, most: Duration) {
        // SAFETY: the ring owns its map's descriptor and outlives this borrow.
        let descriptor = unsafe { BorrowedFd::borrow_raw(self.ring.as_raw_fd()) };
        let timeout = PollTimeout::try_from(most).unwrap_or(PollTimeout::MAX);
        // Whatever ends it, the next look at the ring tells.
        let _interrupted = poll(
            &mut [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)],
            timeout,
        );
    }
}

/// What is said about an execution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Facts that are told
    pub known: FactBits,
    /// Those of them that are so
    pub so: FactBits,
    /// Facts that nobody can tell for now
    pub unknown: FactBits,
    /// The agent is at it
    pub working: bool,
}

impl Said {
    /// What is so of a fact; one that may be so is one that nobody can tell.
    pub fn put(&mut self, number: u32, met: Met) {
        match met {
            Met::Yes => {
                self.known.set(number);
                self.so.set(number);
            }
            Met::No => self.known.set(number),
            Met::Maybe => self.unknown.set(number),
        }
    }
}

/// The map of answers.
pub struct FactAnswers<A = Hash<FactKey, Answer>> {
    answers: A,
}

impl FactAnswers {
    /// Opens it.
    pub fn open(pins: &Pins) -> Result<Self, TableError> {
        Ok(Self::with(Hash::open(pins, "FACT_ANSWERS")?))
    }
}

impl<A: Table<FactKey, Answer>> FactAnswers<A> {
    pub(super) fn with(answers: A) -> Self {
        Self { answers }
    }

    /// Adds to what was said; what is not for ever holds until `until_boot_ns`.
    pub fn say(&mut self, key: FactKey, said: Said, until_boot_ns: u64) -> Result<(), TableError> {
        let old = self.answers.get(&key)?.unwrap_or_default();
        let new = Answer {
            key,
            known: old.known.or(&said.known),
            so: old.so.or(&said.so),
            unknown: said.unknown,
            until_boot_ns,
            working: u64::from(said.working),
            key_again: key,
        };
        self.answers.put(&key, &new)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::table::fake::Fake, *};

    fn question() -> Box<Question> {
        // SAFETY: integers only.
        let mut question: Box<Question> = Box::new(unsafe { std::mem::zeroed() });
        question.version = ABI_VERSION;
        question.path[..9].copy_from_slice(b"true\0bin\0");
        (question.path_len, question.path_components) = (9, 2);
        question.args[..6].copy_from_slice(b"a\0b c\0");
        question.args_len = 6;
        question.wanted.set(3);
        question.wanted.set(200);
        question
    }

    #[test]
    fn a_question_is_read_and_what_was_cut_is_unknown() {
        let mut raw = question();
        let asked = Asked::of(&raw).unwrap();
        assert_eq!(asked.path.as_deref(), Some(&b"/bin/true"[..]));
        assert_eq!(asked.arguments, Some(vec![b"a".to_vec(), b"b c".to_vec()]));
        assert_eq!(asked.numbers().collect::<Vec<_>>(), [3, 200]);
        raw.flags = question_flag::ARGS_CUT | question_flag::PATH_CUT;
        let asked = Asked::of(&raw).unwrap();
        assert_eq!((asked.path, asked.arguments), (None, None));
    }

    #[test]
    fn damaged_questions_are_refused_and_never_read_beyond_their_place() {
        assert!(matches!(
            Asked::decode(&[0; 16]),
            Err(Malformed::Length(16))
        ));
        let zeroes = vec![0; size_of::<Question>()];
        assert!(matches!(Asked::decode(&zeroes), Err(Malformed::Version(0))));
        let damage: [fn(&mut Question); 4] = [
            |raw| raw.path_len = u32::MAX,
            |raw| raw.args_len = u32::MAX,
            |raw| raw.path_components = 3,
            |raw| raw.path[0] = b'/',
        ];
        for damage in damage {
            let mut raw = question();
            damage(&mut raw);
            assert!(matches!(Asked::of(&raw), Err(Malformed::Strings(_))));
        }
    }

    #[test]
    fn an_answer_adds_to_what_was_told_and_takes_nothing_back() {
        let mut answers = FactAnswers::with(Fake::new("FACT_ANSWERS", 8));
        let bits = |numbers: &[u32]| {
            let mut bits = FactBits::default();
            for number in numbers {
                bits.set(*number);
            }
            bits
        };
        let key = FactKey { digest: [1, 2] };
        let first = Said {
            known: bits(&[1, 2]),
            so: bits(&[2]),
            unknown: bits(&[9]),
            working: true,
        };
        answers.say(key, first, 100).unwrap();
        let second = Said {
            known: bits(&[3]),
            ..Said::default()
        };
        answers.say(key, second, 200).unwrap();
        let expected = Answer {
            key,
            known: bits(&[1, 2, 3]),
            so: bits(&[2]),
            unknown: FactBits::default(),
            until_boot_ns: 200,
            working: 0,
            key_again: key,
        };
        assert_eq!(answers.answers.rows[&key], expected);
    }
}
