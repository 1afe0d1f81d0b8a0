//! Findings in a policy: place, offending text, remedy. Text from the document is always shown safely.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{limits::EXCERPT_BYTES_MAX, text::safe_cut};

/// A place in a document; both count from 1.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Place {
    /// Line
    pub line: u32,
    /// Column, in characters
    pub column: u32,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The policy is refused
    Error,
    /// The policy is accepted, and somebody should know
    Warning,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// How bad
    pub severity: Severity,
    /// Where
    pub at: Place,
    /// What
    pub message: String,
    /// The offending text, safe to show; empty where something is missing
    pub excerpt: String,
    /// What to do
    pub suggestion: Option<String>,
}

impl Diagnostic {
    /// An error about `text`.
    pub fn error(at: Place, text: &str, message: impl Into<String>) -> Self {
        let excerpt = safe_cut(text.as_bytes(), EXCERPT_BYTES_MAX);
        Self {
            severity: Severity::Error,
            at,
            message: message.into(),
            excerpt,
            suggestion: None,
        }
    }

    /// A warning about `text`.
    pub fn warning(at: Place, text: &str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(at, text, message)
        }
    }

    /// Adds what to do.
    #[must_use]
    pub fn suggest(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }
}

/// `line:column: message; suggestion`, on one line.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "",
            Severity::Warning => "warning: ",
        };
        write!(
            f,
            "{}:{}: {severity}{}",
            self.at.line, self.at.column, self.message
        )?;
        match &self.suggestion {
            Some(suggestion) => write!(f, "; {suggestion}"),
            None => Ok(()),
        }
    }
}

/// The known word that is most like `word`, if one is like it at all.
pub(super) fn nearest<'w>(word: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    /// Below this two words have nothing in common but letters.
    const LIKENESS_MIN: f64 = 0.75;
    /// Longer words are no typing mistakes, and comparing costs the product of the lengths.
    const WORD_BYTES_MAX: usize = 100;
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let word = word.to_lowercase();
    let scored = known.into_iter().map(|candidate| {
        (
            strsim::jaro_winkler(&word, &candidate.to_lowercase()),
            candidate,
        )
    });
    let best = scored.max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (best.0 >= LIKENESS_MIN).then_some(best.1)
}
