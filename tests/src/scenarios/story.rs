//! The story of the README, chapter by chapter, each on a machine of its own.

use crate::scenario::Scenario;

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[];
