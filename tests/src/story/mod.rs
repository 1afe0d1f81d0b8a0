//! The story that the demo plays and the suite asserts.

use anyhow::{Result, bail};

/// Plays it.
pub fn demo() -> Result<()> {
    bail!("not written yet")
}
