//! A fleet in one process: thousands of simulated agents against a real control plane, over real TLS on loopback, each from an
//! address of its own. Measures what the control plane costs and how soon hosts enforce what changes.
//!
//! The control plane is the shipped program with the bounds of its code and a store on disk; nothing of it is made easier, but for
//! the memory limit of its unit, which is not set here. The agents are simulated: they speak the protocol (`talk`) and enforce
//! nothing. Never shipped, and never a test of time.

mod board;
mod files;
mod fleet;
mod host;
mod join;
mod measure;
mod operator;
mod process;
mod progress;
mod report;
mod server;
mod storm;
mod talk;
mod wave;

pub use files::raise as raise_open_files;
pub use measure::{Plan, measure};
pub use report::{OneHost, Report, Spread, Storm, Wave};
