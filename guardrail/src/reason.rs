//! Verdicts, effects and reasons as typed words; the numbers beside them are `abi::code`'s.
//!
//! Unknown numbers never become a harmless word: a verdict reads as denied, a reason as `unknown`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use stayhand_agent_ebpf::abi::code::{self, reason as number};

/// What became of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The call went on
    Allowed,
    /// The call got `EPERM`
    Denied,
    /// The process was stopped before the call had an effect
    Held,
}

impl Verdict {
    /// Reads the kernel's number; everything unknown is a denial.
    pub fn from_code(raw: u32) -> Self {
        match code::decode_verdict(raw) {
            code::verdict::ALLOWED => Self::Allowed,
            code::verdict::HELD => Self::Held,
            _ => Self::Denied,
        }
    }

    /// As events write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Held => "held",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a rule demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Never, even with a grant
    Deny,
    /// Only with a live grant
    RequireGrant,
    /// A policy's default: never, unless a rule says that it goes on or a grant covers it
    DefaultDeny,
    /// Stop until somebody decides, unless a grant covers it
    Hold,
    /// A policy's default: stop, unless a rule says that it goes on or a grant covers it
    DefaultHold,
    /// So many times within so much time, unless a grant covers it
    Throttle,
    /// Record and go on
    Alert,
    /// Go on
    Allow,
}

impl Effect {
    /// All of them, strictest first.
    pub const ALL: [Self; 8] = [
        Self::Deny,
        Self::RequireGrant,
        Self::DefaultDeny,
        Self::Hold,
        Self::DefaultHold,
        Self::Throttle,
        Self::Alert,
        Self::Allow,
    ];

    /// Those that a rule can have.
    pub const OF_RULES: [Self; 6] = [
        Self::Deny,
        Self::RequireGrant,
        Self::Hold,
        Self::Throttle,
        Self::Alert,
        Self::Allow,
    ];

    /// As policies write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::RequireGrant => "require-grant",
            Self::DefaultDeny => "default-deny",
            Self::Hold => "hold",
            Self::DefaultHold => "default-hold",
            Self::Throttle => "throttle",
            Self::Alert => "alert",
            Self::Allow => "allow",
        }
    }

    /// Whether it can keep an action from happening.
    pub fn restricts(self) -> bool {
        !matches!(self, Self::Alert | Self::Allow)
    }

    /// Whether it is what a policy says of everything that its rules do not speak of.
    pub fn is_default(self) -> bool {
        matches!(self, Self::DefaultDeny | Self::DefaultHold)
    }

    /// Whether an action can be let through by a grant in spite of it.
    pub fn is_grantable(self) -> bool {
        self.restricts() && self != Self::Deny
    }

    /// The kernel's number.
    pub fn code(self) -> u32 {
        match self {
            Self::Deny => code::effect::DENY,
            Self::RequireGrant => code::effect::REQUIRE_GRANT,
            Self::DefaultDeny => code::effect::DEFAULT_DENY,
            Self::Hold => code::effect::HOLD,
            Self::DefaultHold => code::effect::DEFAULT_HOLD,
            Self::Throttle => code::effect::THROTTLE,
            Self::Alert => code::effect::ALERT,
            Self::Allow => code::effect::ALLOW,
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Number of a reason that the agent knows and the kernel does not.
const NOT_OF_THE_KERNEL: u32 = u32::MAX - 1;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $number:expr;)*) => {
        /// Why a verdict is what it is; mirrors `abi::code::reason`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// All of them, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The stable word in events and answers.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// The kernel's number.
            pub fn code(self) -> u32 {
                match self { $(Self::$name => $number,)* }
            }
        }
    };
}

reasons! {
    /// No rule restricts it
    Default = "default", number::DEFAULT;
    /// A rule denies it
    RuleDeny = "rule-deny", number::RULE_DENY;
    /// A rule requires a grant and no live one covers it
    NoGrant = "no-grant", number::NO_GRANT;
    /// A live grant covers it
    Grant = "grant", number::GRANT;
    /// A hold was opened
    HoldPending = "hold-pending", number::HOLD_PENDING;
    /// The hold was approved and the call went on
    HoldApproved = "hold-approved", number::HOLD_APPROVED;
    /// The hold was refused
    HoldRefused = "hold-refused", number::HOLD_REFUSED;
    /// The hold ran into its deadline
    HoldTimedOut = "hold-timed-out", number::HOLD_TIMED_OUT;
    /// The hold was cancelled because a fatal signal waits
    HoldCancelled = "hold-cancelled", number::HOLD_CANCELLED;
    /// The rule holds, but this call cannot be held
    HoldUnavailable = "hold-unavailable", number::HOLD_UNAVAILABLE;
    /// Too many holds are pending for this subject
    HoldQuota = "hold-quota", number::HOLD_QUOTA;
    /// The record that must precede the privilege could not be made
    NoRecord = "no-record", number::NO_RECORD;
    /// The path could not be judged
    WalkFailed = "walk-failed", number::WALK_FAILED;
    /// The policy image changed twice while judging, or a part of it was missing
    ImageChanged = "image-changed", number::IMAGE_CHANGED;
    /// A rule asks for a record
    RuleAlert = "rule-alert", number::RULE_ALERT;
    /// A rule allows it
    RuleAllow = "rule-allow", number::RULE_ALLOW;
    /// Monitor mode: it would have been restricted
    WouldHave = "would-have", number::WOULD_HAVE;
    /// The hold was continued more often than the bound
    HoldRestops = "hold-restops", number::HOLD_RESTOPS;
    /// A guarded subject asked for the capability that clears login uids
    CapAuditControl = "cap-audit-control", number::CAP_AUDIT_CONTROL;
    /// A program got other arguments than those that were judged
    ArgsChanged = "args-changed", number::ARGS_CHANGED;
    /// The rule asks for a fact that nobody told in time, or that nobody can tell
    FactUnknown = "fact-unknown", number::FACT_UNKNOWN;
    /// The rate of the rule is used up
    RateExceeded = "rate-exceeded", number::RATE_EXCEEDED;
    /// A rule counts it, and its rate is not used up
    WithinRate = "within-rate", number::WITHIN_RATE;
    /// No rule and no grant lets it through, and the policy's default denies that
    NotAllowed = "not-allowed", number::NOT_ALLOWED;
    /// The rule holds, no agent is alive, and a policy says that nothing waits for one
    NoAgent = "no-agent", number::NO_AGENT;
    /// The hold was refused because a stage of its approval was not complete in its time; the kernel says that it was refused
    HoldLapsed = "hold-lapsed", NOT_OF_THE_KERNEL;
    /// A number that this build does not know
    Unknown = "unknown", u32::MAX;
}

impl Reason {
    /// Reads the kernel's number.
    pub fn from_code(raw: u32) -> Self {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| reason.code() == raw && raw != NOT_OF_THE_KERNEL)
            .unwrap_or(Self::Unknown)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that is no reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a reason of a decision")]
pub struct NotAReason(String);

impl FromStr for Reason {
    type Err = NotAReason;
    fn from_str(word: &str) -> Result<Self, NotAReason> {
        let found = Self::ALL
            .iter()
            .copied()
            .find(|reason| reason.as_str() == word);
        found.ok_or_else(|| NotAReason(crate::text::safe(word)))
    }
}

impl TryFrom<String> for Reason {
    type Error = NotAReason;
    fn try_from(word: String) -> Result<Self, NotAReason> {
        word.parse()
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        reason.as_str().to_owned()
    }
}
