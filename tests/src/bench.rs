//! Measurements: what one action costs in instructions, one `@bench` line each.

use anyhow::{Result, bail};

/// Measures everything.
pub fn run() -> Result<()> {
    bail!("nothing is measured yet")
}
