//! Stayhand's control plane: authenticates, lets the guardrail crate decide, stores, publishes to the hosts and
//! keeps the record. The only user of the database. Never sends a command: hosts get desired state.

pub mod api;
pub mod app;
pub mod args;
pub mod authority;
pub mod authz;
pub mod clock;
pub mod config;
pub mod identity;
pub mod limits;
pub mod names;
pub mod oidc;
pub mod operator;
pub mod people;
mod places;
mod seldom;
pub mod server;
pub mod store;
