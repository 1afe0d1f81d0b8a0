//! Holds on this host: from the kernel's question to the answer that the process wakes up with.
//!
//! [`step`] decides, and knows no kernel, no process and no clock; [`manager`] carries out. The kernel's map is the
//! truth and the journal remembers what the kernel does not know, so that an agent that is killed at any point
//! carries on where it was.
//!
//! Order for every answer: journal, then map, then `SIGCONT`, and the last again and again until the kernel has
//! taken the answer or the process is gone: a wake-up can fall between the hook's read and its own stop signal.

pub mod ancestors;
pub mod board;
pub mod journal;
pub mod manager;
pub mod process;
pub mod row;
pub mod run;
pub mod signals;
pub mod step;
#[cfg(test)]
mod tests;
pub mod world;

pub use board::Board;
pub use journal::Journal;
pub use manager::{Manager, World};
pub use row::Row;
pub use run::{Inbox, Message};
