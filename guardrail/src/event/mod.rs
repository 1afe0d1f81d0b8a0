//! Events: what an auditor reads. One model, one encoder to OCSF.

pub mod model;

pub use model::*;
