//! What programs and people are shown: views made from wire types, written as a versioned contract.
//!
//! A field is only ever added, never renamed or removed while `api_version` is `stayhand/v1`. Nothing is decided
//! here, and nothing is made up: what the wire does not say is left out.

mod access;
mod approval;
mod authority;
mod caller;
mod explanation;
mod flag;
mod grant;
mod hold;
mod host;
mod lock;
mod membership;
mod parts;
mod policy;
mod proposal;
mod rollout;
mod status;
#[cfg(test)]
mod tests;
mod token;

pub(crate) use access::{AccessToken, NewAccessToken, Session};
pub(crate) use authority::Authority;
pub(crate) use caller::Caller;
pub(crate) use explanation::Explanation;
pub(crate) use flag::Flag;
pub(crate) use grant::Grant;
pub(crate) use hold::Hold;
pub(crate) use host::Host;
pub(crate) use lock::Lock;
pub(crate) use parts::{HostEnforcement, Subject, Time, cell, cut, prose};
pub(crate) use policy::{Applied, Finding, Policy};
pub(crate) use proposal::Proposal;
pub(crate) use rollout::{PolicyStatus, Rollout};
pub(crate) use status::{AgentStatus, Identity};
pub(crate) use token::{NewToken, Token};
