//! One question and what can be said of it at once.

use stayhand_agent_ebpf::strings;
use stayhand_guardrail::{
    image::Image,
    policy::args::{Arguments, Call, Fact, Met, Sha256},
};

use crate::kernel::questions::{Asked, Said};

/// What becomes of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// This is said
    Said(Said),
    /// This is said, and the file has to be read for the rest
    Read(Said),
    /// Nothing is said: the arguments were changed between the kernel's judgement and its question
    Changed,
}

/// Says what is known. `hash` is that of the file, as far as it was read before.
pub(super) fn answer(
    asked: &Asked,
    image: &Image,
    secret: [u64; 2],
    hash: Option<Sha256>,
) -> Outcome {
    let arguments = match behind_name(asked, secret) {
        Ok(arguments) => arguments,
        Err(Changed) => return Outcome::Changed,
    };
    let call = Call {
        arguments: arguments.map_or(Arguments::Unknown, Arguments::Known),
        // Nobody can say what a file hashes to that is being written.
        sha256: hash.filter(|_| !asked.written),
        ..Call::UNKNOWN
    };
    let (mut said, mut read) = (Said::default(), false);
    for number in asked.numbers() {
        match fact(image, number).map(|fact| (fact, fact.holds(call))) {
            Some((fact, Met::Maybe)) if waits_for_file(asked, fact) => read = true,
            found => said.put(number, found.map_or(Met::Maybe, |(_, met)| met)),
        }
    }
    said.working = read;
    if read {
        Outcome::Read(said)
    } else {
        Outcome::Said(said)
    }
}

/// What is said of facts about the file once it was read, or could not be.
pub(super) fn about_file(asked: &Asked, image: &Image, hash: Option<Sha256>) -> Said {
    let call = Call {
        sha256: hash,
        ..Call::UNKNOWN
    };
    let mut said = Said::default();
    for number in asked.numbers() {
        if let Some(fact) = fact(image, number).filter(|fact| fact.is_of_file()) {
            said.put(number, fact.holds(call));
        }
    }
    said
}

fn fact(image: &Image, number: u32) -> Option<&Fact> {
    image.arguments.facts.get(number as usize)
}

fn waits_for_file(asked: &Asked, fact: &Fact) -> bool {
    fact.is_of_file() && !asked.written && asked.path.is_some()
}

struct Changed;

/// The arguments that the kernel judged, or none if it told too few of them. Another thread of the caller may have
/// changed them before they were copied into the question: what was judged has the hash.
fn behind_name(asked: &Asked, secret: [u64; 2]) -> Result<Option<&[Vec<u8>]>, Changed> {
    let Some(arguments) = &asked.arguments else {
        return Ok(None);
    };
    let rest = arguments.get(1..).unwrap_or_default();
    let hash = strings::hash(secret, rest.iter().map(Vec::as_slice));
    let same = (arguments.len() as u64, hash) == asked.judged;
    if same { Ok(Some(rest)) } else { Err(Changed) }
}
