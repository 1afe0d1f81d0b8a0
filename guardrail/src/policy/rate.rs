//! Rates: how often within how much time, and what becomes of the rest.

use std::fmt;

use stayhand_agent_ebpf::abi::{code::effect, rate};

use crate::{reason::Effect, time::DurationMs};

/// A rate. What counts is a bucket of `limit` that refills evenly within `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many at once, at least 1
    pub limit: u32,
    /// In how much time an empty bucket is full again
    pub per: DurationMs,
    /// What becomes of the rest
    pub then: Then,
}

/// What becomes of what is beyond a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It fails
    Deny,
    /// It waits until somebody decides
    Hold,
}

impl Then {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Deny, Self::Hold];

    /// As policies write it.
    pub fn as_str(self) -> &'static str {
        self.effect().as_str()
    }

    /// The effect that is so.
    pub fn effect(self) -> Effect {
        match self {
            Self::Deny => Effect::Deny,
            Self::Hold => Effect::Hold,
        }
    }
}

const NS_PER_MS: u64 = 1_000_000;

impl Rate {
    /// As the kernel looks it up, but for the rule.
    pub(crate) fn row(&self) -> rate::Rate {
        let per_ns = self.per.0.saturating_mul(NS_PER_MS);
        let interval_ns = per_ns / u64::from(self.limit.max(1));
        rate::Rate {
            interval_ns,
            room_ns: interval_ns.saturating_mul(u64::from(self.limit.saturating_sub(1))),
            effect: match self.then {
                Then::Deny => effect::DENY,
                Then::Hold => effect::HOLD,
            },
            ..rate::Rate::default()
        }
    }
}

/// `3 per 10m, then hold`.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, per, then } = self;
        write!(f, "{limit} per {per}, then {}", then.as_str())
    }
}
