//! The host agent: loads the kernel hooks, keeps the desired state enforced, carries out holds, records what was
//! decided and reports it.
//!
//! The kernel decides; the agent never does. Nothing here is on the path of an action, so that enforcement goes
//! on when the agent is killed, wedged or replaced. `main.rs` only parses, wires and runs.

pub mod agent;
pub mod args;
pub mod catalog;
pub mod clock;
pub mod config;
pub mod exit;
pub mod explain;
pub mod facts;
pub mod floor;
pub mod health;
pub mod holds;
pub mod instance;
pub mod joining;
pub mod kernel;
pub mod kernel_port;
pub mod leases;
pub mod local;
pub mod logs;
pub mod membership;
pub mod port;
pub mod reconcile;
pub mod record;
pub mod seldom;
pub mod spool;
pub mod supervise;
pub mod tell;
#[cfg(test)]
pub(crate) mod testing;
mod unguarded;
pub mod uninstall;
pub mod uplink;
pub mod users;
