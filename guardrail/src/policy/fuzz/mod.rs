//! What every policy document is held to, whatever bytes it is made of: the properties that the fuzzer and the tests ask for.
//!
//! Not in any shipped program: compiled for tests and with the feature `fuzz`. Panics are its answer, as a fuzzer wants it.
#![expect(
    clippy::panic,
    reason = "a fuzzer's finding is a panic; nothing of this is in a program that is shipped"
)]

mod agree;
mod mutate;
mod random;
mod tree;

use crate::{
    id::Revision,
    limits::{DIAGNOSTICS_MAX, SOURCE_BYTES_MAX},
    policy::{
        Diagnostic, Policy, Severity, Versioned, case, check, compile_granted, diff, parse,
        yaml::lines,
    },
};

pub use mutate::mutated;
pub use random::Random;
#[cfg(test)]
pub(in crate::policy) use {mutate::change, tree::Tree};

/// Rules up to which a policy is also compiled, explained and compared: beyond, one document takes so long that a fuzzer
/// tries too few others, and more rules show nothing that these do not.
const RULES_LOOKED_AT: usize = 64;

/// What a document turned out to be; for counting how much a fuzzer sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// No text
    NotText,
    /// Refused by the parser
    Refused,
    /// A policy that the kernel has no room for
    NoRoom,
    /// A policy, of which so many actions were judged
    Judged(usize),
}

/// Holds one document to every property.
///
/// # Panics
///
/// If it does not keep one, with what is wrong.
pub fn examine(bytes: &[u8]) -> Seen {
    // Whoever reads a document refuses what is no UTF-8 before the parser sees it.
    let Ok(source) = std::str::from_utf8(bytes) else {
        return Seen::NotText;
    };
    match parse(source) {
        Err(findings) => {
            assert!(!findings.is_empty(), "refused without a finding");
            assert!(findings.len() <= DIAGNOSTICS_MAX + 1, "endless findings");
            for finding in &findings {
                assert_eq!(finding.severity, Severity::Error, "{finding:?}");
                is_told_well(source, finding);
            }
            Seen::Refused
        }
        Ok(policy) => {
            assert!(source.len() <= SOURCE_BYTES_MAX, "over the bound");
            accepted(source, policy)
        }
    }
}

/// A finding can be shown: its place is in the document, and no text of the document acts on a terminal.
fn is_told_well(source: &str, finding: &Diagnostic) {
    let place = finding.at;
    // One line more than there are: the end of a document that ends in a line's end.
    let line = place.line.checked_sub(1).map(|line| line as usize);
    let found = line.and_then(|line| lines(source).nth(line));
    let Some(text) = found else {
        panic!("no such line: {finding:?}");
    };
    let columns = text.chars().count() + 1;
    assert!(
        (1..=columns).contains(&(place.column as usize)),
        "no such column, of {columns}: {finding:?}"
    );
    let shown = finding.to_string();
    assert!(!shown.contains(char::is_control), "{shown:?}");
    assert!(!finding.message.is_empty());
}

fn accepted(source: &str, policy: Policy) -> Seen {
    for warning in check(&policy) {
        assert_eq!(warning.severity, Severity::Warning);
        is_told_well(source, &warning);
    }
    let host = [Versioned {
        revision: Revision(1),
        policy,
    }];
    let [Versioned { policy, .. }] = &host;
    if policy.rules.len() > RULES_LOOKED_AT || policy.tests.len() > RULES_LOOKED_AT {
        return Seen::Judged(0);
    }
    let (_, problems) = case::alone(policy);
    for problem in &problems {
        is_told_well(source, problem);
    }
    compared(policy);
    let granted = policy.examples().into_iter().collect();
    match compile_granted(&host, None, &granted) {
        Ok(image) => Seen::Judged(agree::hold(&host, &image)),
        Err(errors) => {
            assert!(!errors.is_empty(), "no room without a reason");
            for error in errors {
                let shown = error.to_string();
                assert!(!shown.is_empty() && !shown.contains(char::is_control));
            }
            Seen::NoRoom
        }
    }
}

/// A policy says the same as itself, and can be compared with what it was before somebody took rules out.
fn compared(policy: &Policy) {
    assert_eq!(diff::changes(policy, policy), [], "it differs from itself");
    let mut other = policy.clone();
    let mut keep = false;
    other.rules.retain(|_| {
        keep = !keep;
        keep
    });
    let changes = diff::changes(policy, &other);
    assert_eq!(changes.is_empty(), other.rules.len() == policy.rules.len());
    for line in changes.iter().flat_map(|change| &change.lines) {
        assert!(!line.contains(char::is_control), "{line:?}");
    }
    let outcomes = diff::samples(policy, &other, None);
    for sample in outcomes.changed {
        assert!(!sample.action.contains(char::is_control), "{sample:?}");
        assert_ne!(sample.before.0, sample.after.0, "{sample:?}");
    }
}

#[cfg(test)]
mod tests;
