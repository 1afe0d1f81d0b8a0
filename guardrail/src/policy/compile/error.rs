//! Why a set of policies cannot be enforced on one host.

use stayhand_agent_ebpf::abi::image::SUBJECT_SETS_MAX;

use crate::id::PolicyName;

/// Why a set of policies cannot be enforced on one host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// The same name twice.
    #[error("policy `{0}` is there twice")]
    Duplicate(PolicyName),
    /// More policies than bits.
    #[error("{0} policies are more than the {SUBJECT_SETS_MAX} that one host can have")]
    TooManyPolicies(usize),
    /// Some object meets too many entries or ranges.
    #[error(
        "{place} meets {count} {what}, more than the {max} that the kernel judges; put fewer rules on it and above it: {rules}"
    )]
    TooMuchAtOnce {
        /// The path or the address range
        place: String,
        /// How many
        count: usize,
        /// Entries or directories
        what: &'static str,
        /// The bound
        max: usize,
        /// Some of the rules
        rules: String,
    },
    /// The image is larger than the kernel's maps.
    #[error(
        "the policies compile to {count} {what}, more than the {max} that the kernel has room for"
    )]
    TooLarge {
        /// How many
        count: usize,
        /// Of what
        what: &'static str,
        /// The bound
        max: usize,
    },
    /// Two names have the same key.
    #[error("`{0}` and `{1}` have the same key in the kernel; rename one of them")]
    SameKey(String, String),
}
