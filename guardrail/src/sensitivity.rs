//! How much depends on what a rule is about: a word of the policy's, by which people and alarms are put in order.
//!
//! Never decides anything: a rule restricts the same with and without it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// How sensitive what a rule is about is; the more, the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sensitivity {
    /// Good to know
    Low,
    /// Somebody looks at it in time
    Medium,
    /// Somebody looks at it soon
    High,
    /// Somebody looks at it now
    Critical,
}

impl Sensitivity {
    /// All of them, the least first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// As policies and events write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Sensitivity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that says nothing of how sensitive something is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not one of `low`, `medium`, `high` and `critical`")]
pub struct NoSensitivity(String);

impl FromStr for Sensitivity {
    type Err = NoSensitivity;
    fn from_str(text: &str) -> Result<Self, NoSensitivity> {
        let mut all = Self::ALL.into_iter();
        let found = all.find(|one| one.as_str() == text);
        found.ok_or_else(|| NoSensitivity(crate::text::safe(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_other_word_is_read_and_the_words_are_in_order() {
        for word in ["", "High", "CRITICAL", "none", "highest", " low", "3"] {
            assert!(word.parse::<Sensitivity>().is_err(), "{word:?}");
        }
        assert!(Sensitivity::ALL.is_sorted());
        for one in Sensitivity::ALL {
            assert_eq!(one.as_str().parse(), Ok(one));
            let stored = serde_json::to_string(&one).unwrap();
            assert_eq!(stored, format!("\"{one}\""));
        }
    }
}
