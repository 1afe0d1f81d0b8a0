//! The host agent: loads the kernel hooks, keeps the desired state enforced, carries out holds, records what was
//! decided and reports it.
//!
//! The kernel decides; the agent never does. Nothing here is on the path of an action, so that enforcement goes
//! on when the agent is killed, wedged or replaced. `main.rs` only parses, wires and runs.

pub mod args;
pub mod clock;
pub mod config;
pub mod exit;
pub mod holds;
pub mod instance;
pub mod kernel;
pub mod port;
pub mod spool;
pub mod tell;
