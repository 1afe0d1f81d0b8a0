//! Who may do what: Cedar policies over a closed set of actions, a shipped schema and what always counts.
//!
//! Decides about callers that are authenticated already, and is never the only guard: a guarded subject is turned away before
//! any policy is asked, and what is one's own the life cycles refuse. Reads one file at the start, and nothing after it.

mod action;
mod bounds;
mod caller;
mod calls;
mod denied;
mod entities;
mod load;
mod place;
mod resource;
mod rules;
#[cfg(test)]
mod tests;
mod withheld;

pub use action::Action;
pub use caller::{Caller, Scope, Transport};
pub use calls::CALLS;
pub use denied::{Denied, Why};
pub use load::{AuthorizationError, Problem};
pub use resource::{GrantResource, LockResource, Resource, RuleResource, TokenResource};
pub use rules::{Asked, Authorization, May};
pub use withheld::{WITHHELD, withhold};

/// What always counts.
pub const ALWAYS: &str = include_str!("../../authorization/always.cedar");
/// What counts where no other file is named.
pub const DEFAULT: &str = include_str!("../../authorization/default.cedar");
/// What policies can be about.
pub const SCHEMA: &str = include_str!("../../authorization/schema.cedarschema");

/// The rule of [`ALWAYS`] about guarded subjects.
pub const GUARDED_SUBJECTS: &str = "guarded-subjects";
/// The rule of [`ALWAYS`] about what is one's own.
pub const OWN_REQUESTS: &str = "own-requests";
/// The rule of [`ALWAYS`] about where break-glass is made.
pub const BREAK_GLASS_BY_SOCKET: &str = "break-glass-by-socket";
/// The rule of [`ALWAYS`] about what is for people alone.
pub const PROGRAMS_APPROVE_NOTHING: &str = "programs-approve-nothing";
/// Rules of [`ALWAYS`] that let everybody look after themselves. They make nobody an operator.
pub const FOR_EVERYBODY: [&str; 2] = ["own-identity", "own-access"];
