//! Conversions, one file per subject. Every pattern names every field, so that a new field cannot be forgotten.

mod access;
mod action;
mod approval;
mod delivery;
mod enforcement;
mod event;
mod event_kind;
mod grant;
mod hold;
mod host;
mod invalid;
mod local;
pub mod lock;
mod membership;
pub mod name;
mod policy;
mod proposal;
mod rollout;
mod scalar;
mod sync;
#[cfg(test)]
mod tests;

pub(crate) mod resource {
    //! What is in a state, each by itself.
    pub(crate) use super::sync::{flag, fresh_for, lease};
}

pub use action::{sensitivity, sent_sensitivity};
pub use invalid::{Invalid, optional};
pub use scalar::{duration, required, span, timestamp, unix_ms};
