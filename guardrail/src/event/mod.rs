//! Events: what an auditor reads. One model, and an encoder to OCSF.

pub mod change;
pub mod model;
pub mod ocsf;
pub mod recorded;

pub use change::*;
pub use model::*;
pub use recorded::{Arguments, Decided, Recorded};
