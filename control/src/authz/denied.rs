//! Why somebody may not: which rule says so, or which would have to, and how to ask for it.

use std::fmt;

use stayhand_guardrail::id::UserName;

use super::Action;

/// Rules that one message names; of more it says how many.
const NAMED_MAX: usize = 6;

/// A refusal. It is told to its caller, so it names rules and never what they say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.told())]
pub struct Denied {
    /// Who asked
    pub user: UserName,
    /// For what
    pub action: Action,
    /// Of what; none where it came to no one thing
    pub resource: Option<String>,
    /// Why not
    pub why: Why,
    /// How to ask for it, as rules say it
    pub ask: Vec<String>,
}

/// Why somebody may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// These rules forbid it
    Forbidden {
        /// Their ids
        rules: Vec<String>,
    },
    /// No rule permits it
    NotPermitted {
        /// Rules that permit the action to somebody, or of something else
        rules: Vec<String>,
    },
    /// No rule permits the caller anything at all
    Stranger {
        /// Rules that permit the action to somebody
        rules: Vec<String>,
    },
    /// The token by which it was asked does not have the action
    OutOfScope {
        /// For what the token is, shown safely
        purpose: String,
    },
    /// The rules could not be asked, which permits nothing
    Failed {
        /// What happened, shown safely
        cause: String,
    },
}

impl Denied {
    /// Rules that it names.
    pub fn rules(&self) -> &[String] {
        match &self.why {
            Why::Forbidden { rules } | Why::NotPermitted { rules } | Why::Stranger { rules } => {
                rules
            }
            Why::OutOfScope { .. } | Why::Failed { .. } => &[],
        }
    }

    /// What to do now.
    pub fn remedy(&self) -> String {
        if !self.ask.is_empty() {
            return self.ask.join("; ");
        }
        match self.why {
            Why::Failed { .. } => "the control plane's log says more; its rules have to be mended",
            Why::OutOfScope { .. } => {
                "make a token that has it: `stayhand token create --allow`; what it may do cannot be changed afterwards"
            }
            _ => "`stayhand whoami` shows what you may do; whoever keeps `authorization.policies` of control.toml can change it",
        }
        .to_owned()
    }

    fn told(&self) -> String {
        let Self {
            user,
            action,
            resource,
            why,
            ask: _,
        } = self;
        let of = resource.as_ref();
        let of = of.map_or_else(String::new, |of| format!(" of {of}"));
        match why {
            Why::Forbidden { rules } => {
                let (word, verb) = if rules.len() == 1 {
                    ("rule", "forbids")
                } else {
                    ("rules", "forbid")
                };
                format!(
                    "`{user}` may not do `{action}`{of}: {word} {} {verb} it",
                    Ids(rules)
                )
            }
            Why::NotPermitted { rules } => {
                format!(
                    "`{user}` may not do `{action}`{of}: no rule permits it, {}",
                    Others(rules)
                )
            }
            Why::Stranger { rules } => {
                format!(
                    "`{user}` is no operator: no rule permits `{user}` anything here; of `{action}`, {}",
                    Others(rules)
                )
            }
            Why::OutOfScope { purpose } => {
                format!(
                    "the token for `{purpose}`, with which this acts for `{user}`, may not do `{action}`{of}"
                )
            }
            Why::Failed { cause } => {
                format!(
                    "`{user}` may not do `{action}`{of}: the rules could not be asked, which permits nothing: {cause}"
                )
            }
        }
    }
}

/// ``rule `a` permits it to others``.
struct Others<'r>(&'r [String]);

impl fmt::Display for Others<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("nor to anybody else"),
            [one] => write!(
                f,
                "only rule `{one}` permits it, to others or of something else"
            ),
            several => write!(
                f,
                "only rules {} permit it, to others or of something else",
                Ids(several)
            ),
        }
    }
}

struct Ids<'r>(&'r [String]);

impl fmt::Display for Ids<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, id) in self.0.iter().take(NAMED_MAX).enumerate() {
            let before = if at == 0 { "" } else { ", " };
            write!(f, "{before}`{id}`")?;
        }
        match self.0.len().saturating_sub(NAMED_MAX) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
