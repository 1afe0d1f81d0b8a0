//! The service for people and programs on this host: why was I stopped, how is the agent, who is that process.
//!
//! Open to everybody, so everybody is hostile here: answers are only about the caller, identity comes from the
//! kernel and is taken once per connection, and everything is bounded.

mod answer;
mod peer;
mod serve;
#[cfg(test)]
mod tests;

pub use answer::Answers;
pub use peer::Peer;
pub use serve::{LocalError, bind, serve};
