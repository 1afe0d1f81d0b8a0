//! `simulate`: the simulation of control plane, agents, people and network, over more seeds than CI, or the story of one.

use std::process::Stdio;

use anyhow::{Result, bail};

use crate::run;

/// What a person asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Tell the story of this seed.
    pub seed: Option<u64>,
    /// Try so many.
    pub count: Option<u64>,
    /// Begin with this one.
    pub first: Option<u64>,
}

/// Runs the simulation; a seed that fails ends it, with its last steps.
pub fn simulate(options: Options) -> Result<()> {
    let mut cmd = run::cargo();
    cmd.args([
        "test",
        "--package",
        "stayhand-tests",
        "--test",
        "simulation",
        "--",
    ])
    .args(["--nocapture", "whatever_goes_wrong_every_promise_is_kept"])
    .stdin(Stdio::null());
    let given = [
        ("STAYHAND_SEED", options.seed),
        ("STAYHAND_SEEDS", options.count),
        ("STAYHAND_FIRST_SEED", options.first),
    ];
    for (name, value) in given {
        match value {
            Some(value) => cmd.env(name, value.to_string()),
            None => cmd.env_remove(name),
        };
    }
    if cmd.status()?.success() {
        return Ok(());
    }
    bail!("a promise was not kept; the last steps are above")
}
