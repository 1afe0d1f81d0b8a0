//! Guests under software emulation: boot, watch, report.
//!
//! The build machines refuse LSM programs, so everything about enforcement is shown in here.

mod console;
pub mod machine;
pub mod protocol;
pub mod report;
pub mod suite;
mod tail;
